"""Alembic's environment: runs the chain on the ledger's one engine, never on a second one.

From ``bootstrap()`` the connection is handed in. From the shell it is the ledger of the current folder,
``data/foregsyte.duckdb``, or another one: ``alembic -x ledger=PATH upgrade head``.
"""

from logging.config import fileConfig
from pathlib import Path

from alembic import context
from alembic.ddl.impl import DefaultImpl

from foregsyte_kaggle import models, schema  # noqa: F401  (models fills the metadata)
from foregsyte_kaggle.database import LEDGER_FILE, Base, Database, borrowed_database
from foregsyte_kaggle.ledger import has_jobs
from foregsyte_kaggle.transfer import keep_copy

READS_ONLY = object()

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
    file = Path(context.get_x_argument(as_dictionary=True).get("ledger", LEDGER_FILE))
    destination = _destination()
    if destination is READS_ONLY and not file.exists():
        _run_alone(Database(None))
        return
    with borrowed_database(file) as database:
        before = schema.current_revision(database)
        if (
            destination is not READS_ONLY
            and before not in (None, destination)
            and has_jobs(database)
        ):
            print(f"a copy of {file} at revision {before} is {keep_copy(database, before)}")
        _run_alone(database)


def _destination() -> object:
    """Return the revision asked for, None for base, READS_ONLY for commands such as `current`."""
    try:
        found = context.get_revision_argument()
    except KeyError:
        return READS_ONLY
    if isinstance(found, tuple):  # of `heads`, of which there is one
        found = found[0] if found else None
    return found or None


def _run_alone(database: Database) -> None:
    with database.exclusive(), database.engine.begin() as connection:
        _run(connection)


def _run(connection) -> None:  # noqa: ANN001
    context.configure(connection=connection, target_metadata=target_metadata)
    with context.begin_transaction():
        context.run_migrations()


if config.config_file_name and config.cmd_opts is not None:  # called from the shell
    fileConfig(config.config_file_name, disable_existing_loggers=False)

if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
