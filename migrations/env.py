"""Alembic's environment: runs the chain on the ledger's one engine, never on a second one.

From ``bootstrap()`` the connection is handed in. From the shell it is the ledger of the current folder,
``data/foregsyte.duckdb``, or another one: ``alembic -x ledger=PATH upgrade head``.
"""

from logging.config import fileConfig

from alembic import context
from alembic.ddl.impl import DefaultImpl

from foregsyte_kaggle import models  # noqa: F401  (fills the metadata)
from foregsyte_kaggle.database import LEDGER_FILE, Base, open_database

config = context.config
target_metadata = Base.metadata


class DuckDBImpl(DefaultImpl):
    """Alembic ships none; its PostgreSQL one cannot change a column's type here."""

    __dialect__ = "duckdb"
    transactional_ddl = True


def run_migrations_offline() -> None:
    """Write the SQL of the chain instead of running it (``--sql``)."""
    context.configure(
        dialect_name="duckdb",
        target_metadata=target_metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    """Run the chain on the connection handed in, or on the engine of the ledger named."""
    connection = config.attributes.get("connection")
    if connection is not None:
        _run(connection)
        return
    ledger = context.get_x_argument(as_dictionary=True).get("ledger", LEDGER_FILE)
    with open_database(ledger).engine.begin() as connection:
        _run(connection)


def _run(connection) -> None:  # noqa: ANN001
    context.configure(connection=connection, target_metadata=target_metadata)
    with context.begin_transaction():
        context.run_migrations()


if config.config_file_name and "connection" not in config.attributes:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
