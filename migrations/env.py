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
from foregsyte_kaggle.errors import ForegsyteError
from foregsyte_kaggle.ledger import has_jobs
from foregsyte_kaggle.transfer import keep_copy

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
    if not file.exists() and not _may_change_it():
        _run_alone(Database(None))
        return
    with borrowed_database(file) as database:
        schema.check_revision(database)
        before = schema.current_revision(database)
        if before is not None and _may_change_it() and _has_steps(database) and has_jobs(database):
            print(f"a copy of {file} at revision {before} is {keep_copy(database, before)}")
        _run_alone(database)


def _may_change_it() -> bool:
    """Whether the command takes a revision to go to, unlike `current`."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _has_steps(database: Database) -> bool:
    """Whether the command will change the revision; Alembic refuses one that is unknown."""
    with database.engine.connect() as connection:
        context.configure(connection=connection)
        migration = context.get_context()
        return bool(list(migration.opts["fn"](migration.get_current_heads(), migration)))


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
    try:
        run_migrations_online()
    except ForegsyteError as error:
        if config.cmd_opts is None or config.cmd_opts.raiseerr:
            raise
        raise SystemExit(str(error)) from None  # the shell is told what and why, not where
