"""Copies of a ledger."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.database import STORAGE_VERSION, Database, check_path
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, translated
from foregsyte_kaggle.workspace import Workspace, active_workspace, as_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


__all__ = ["copy_ledger", "fill_ledger", "keep_copy", "snapshot"]


def snapshot(path: str | Path, *, workspace: Workspace | None = None) -> Path:
    """Write a consistent copy of the ledger, also while a run works.

    Parameters
    ----------
    path
        The new file; must not exist. Any DuckDB from 1.3 on opens it.
    workspace
        The active one by default.

    Returns
    -------
    pathlib.Path
        The copy.

    Raises
    ------
    InvalidArgumentError
        If ``path`` is no path, or exists already.
    LedgerError
        If it cannot be written.
    """
    return copy_ledger(active_workspace(workspace).database, as_path("path", path))


def keep_copy(database: Database, revision: str) -> Path:
    """Copy a ledger into ``backups`` beside it, before its revision changes; return the copy.

    Raises
    ------
    LedgerError
        If there is no room for it, or it cannot be written.
    """
    file = database.path
    if file is None:
        raise LedgerError(
            "the ledger in memory has no folder to keep a copy in; use snapshot(path)"
        )
    needed, free = os.stat(file).st_size, shutil.disk_usage(file.parent).free
    if needed > free:
        raise LedgerError(
            f"before its revision changes, the ledger {file} is copied, and there is no room for that: "
            f"{needed:,} bytes needed, {free:,} free. Free some room and try again."
        )
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return copy_ledger(database, file.parent / "backups" / f"foregsyte-{revision}-{moment}.duckdb")


def copy_ledger(database: Database, target: Path) -> Path:
    """Copy an open ledger, also one that may only be read, to a new file that appears whole or not at all."""
    if target.exists():
        raise InvalidArgumentError(
            f"{target} exists already; choose another name or remove it first"
        )
    check_path(target)
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        _write_copy(database, partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise LedgerError(
            f"the copy {target} cannot be written: {error.strerror or error}"
        ) from error
    finally:
        with suppress(OSError):
            _remove(partial)
    return target


def fill_ledger(database: Database, source: Path) -> None:
    """Copy all tables of a ledger file, which nobody has open, into an empty ledger."""
    literal = str(source).replace("'", "''")
    with database.exclusive() as connection, translated(source, "read"):
        target = _quoted_name(connection)
        connection.execute(f"ATTACH '{literal}' AS foregsyte_copy (READ_ONLY)")
        try:
            connection.execute(f"COPY FROM DATABASE foregsyte_copy TO {target}")
        finally:
            connection.execute("DETACH foregsyte_copy")


def _remove(partial: Path) -> None:
    for leftover in (partial, _log_of(partial)):
        leftover.unlink(missing_ok=True)


def _write_copy(database: Database, partial: Path) -> None:
    # Inside one exclusive section nothing of this package writes, so the file stays as checkpointed.
    with database.exclusive() as connection:
        if database.path is not None and (database.is_read_only or database.checkpoint()):
            with (
                open(database.file_descriptor(), "rb", closefd=False) as source,
                partial.open("wb") as copy,
            ):
                source.seek(0)
                shutil.copyfileobj(source, copy, 2**20)
            if database.is_read_only:
                _take_log(database.path, partial)
        else:
            # A session of the user's is open (or the ledger is in memory): DuckDB copies what is
            # committed, table by table, in one transaction.
            _copy_tables(connection, partial)


def _take_log(file: Path, partial: Path) -> None:
    """Put what a process that died left in a ledger's write-ahead log into the copy."""
    log = _log_of(file)
    if log.exists():
        shutil.copyfile(log, _log_of(partial))
        Database(partial).close()


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.wal")


def _copy_tables(connection: DuckDBPyConnection, partial: Path) -> None:
    literal = str(partial).replace("'", "''")
    with translated(partial, "write"):
        connection.execute(
            f"ATTACH '{literal}' AS foregsyte_copy (STORAGE_VERSION '{STORAGE_VERSION}')"
        )
    try:
        connection.execute(f"COPY FROM DATABASE {_quoted_name(connection)} TO foregsyte_copy")
        connection.execute("CHECKPOINT foregsyte_copy")
    finally:
        connection.execute("DETACH foregsyte_copy")


def _quoted_name(connection: DuckDBPyConnection) -> str:
    name = str(connection.execute("SELECT current_database()").fetchall()[0][0])
    return '"' + name.replace('"', '""') + '"'
