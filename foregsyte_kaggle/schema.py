"""The ledger's revisions: which one a file is at, which ones this package knows, and upgrading.

The only module that calls Alembic, and it imports it only when there is something to upgrade.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import LedgerError, LedgerVersionError, translated
from foregsyte_kaggle.models import Job

if TYPE_CHECKING:
    from alembic.config import Config

    from foregsyte_kaggle.database import Database

__all__ = [
    "alembic_config",
    "check_revision",
    "current_revision",
    "head_revision",
    "migrations_directory",
    "other_tables",
    "tables_beside",
    "upgrade",
]


def migrations_directory() -> Path:
    """Return the folder of the migrations: inside an installed wheel, beside the package elsewhere."""
    package = Path(__file__).resolve().parent
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


@cache
def revision_chain() -> dict[str, str | None]:
    """Return each known revision with the one before it, read from the migration files as text."""
    chain: dict[str, str | None] = {}
    for file in sorted((migrations_directory() / "versions").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        revision = re.search(r"^revision = ['\"](\w+)['\"]", text, re.MULTILINE)
        before = re.search(r"^down_revision = (?:['\"](\w+)['\"]|None)", text, re.MULTILINE)
        if revision and before:
            chain[revision.group(1)] = before.group(1)
    return chain


def head_revision() -> str:
    """Return the newest revision that this package knows."""
    chain = revision_chain()
    heads = [revision for revision in chain if revision not in chain.values()]
    if len(heads) != 1:
        raise LedgerError(
            f"the migrations in {migrations_directory()} have {len(heads)} newest revisions {heads}; "
            "expected one. Reinstall foregsyte-kaggle."
        )
    return heads[0]


def current_revision(database: Database) -> str | None:
    """Return the revision that a ledger is at; None for a file without any."""
    with database.reading() as cursor:
        found = []
        if _has_table(cursor, "alembic_version"):
            found = cursor.execute("SELECT version_num FROM alembic_version").fetchall()
        if not found and _has_table(cursor, "jobs"):
            raise LedgerError(
                f"{database.path} has a table 'jobs' but no revision, so foregsyte_kaggle did not "
                "make it. Call bootstrap() on another directory, or move the file away."
            )
    return str(found[0][0]) if found else None


def other_tables(database: Database) -> list[str]:
    """Return the tables of a file without a revision that are not what a downgrade left there."""
    with database.reading() as cursor:
        rows = cursor.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary"
            " AND database_name = current_database() AND schema_name <> 'results'"
            " AND table_name <> 'alembic_version' ORDER BY table_name"
        ).fetchall()
    return [name for (name,) in rows]


def tables_beside(database: Database) -> list[str]:
    """Return the tables of a file that are neither the ledger's nor results."""
    known = set(Job.metadata.tables)
    return [name for name in other_tables(database) if name not in known]


def check_revision(database: Database) -> bool:
    """Return whether a ledger is at the newest revision.

    Raises
    ------
    LedgerVersionError
        If its revision is unknown here, because a newer version of this package wrote it.
    """
    current, chain = current_revision(database), revision_chain()
    if current is not None and current not in chain:
        raise LedgerVersionError(
            f"{database.path} is at revision {current}, which this version of foregsyte_kaggle does not "
            f"know (its newest is {head_revision()}). A newer version wrote it: run "
            "`pip install -U foregsyte-kaggle`, restart the kernel and bootstrap again."
        )
    return current == head_revision()


def upgrade(database: Database, revision: str = "head") -> None:
    """Run the missing migrations in one transaction: all of them take effect, or none.

    Parameters
    ----------
    database
        The open ledger.
    revision
        Where to stop; the newest one by default.
    """
    from alembic import command

    config = alembic_config()
    with (
        database.exclusive(),
        translated(database.path, "upgrade"),
        database.engine.begin() as connection,
    ):
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def alembic_config() -> Config:
    """Return the configuration that Alembic's commands take, for the migrations found here."""
    from alembic.config import Config

    config = Config()
    # A percent sign would be taken as an interpolation.
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    return config


def _has_table(cursor: object, name: str) -> bool:
    rows = cursor.execute(  # type: ignore[attr-defined]
        "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'main' AND NOT internal "
        "AND database_name = current_database() AND table_name = ?",
        [name],
    ).fetchall()
    return bool(rows)
