"""Copies of a ledger."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = ["copy_ledger", "snapshot"]


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
        If ``path`` exists already.
    LedgerError
        If it cannot be written.
    """
    return copy_ledger(active_workspace(workspace).database, Path(path).expanduser().resolve())


def copy_ledger(database: Database, target: Path) -> Path:
    """Copy an open ledger to a new file that appears whole or not at all."""
    if target.exists():
        raise InvalidArgumentError(f"{target} exists already; choose another name or remove it first")
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_copy(database, partial)
        os.replace(partial, target)
    except OSError as error:
        raise LedgerError(f"the copy {target} cannot be written: {error.strerror}") from error
    finally:
        for leftover in (partial, partial.with_name(partial.name + ".wal")):
            leftover.unlink(missing_ok=True)
    return target


def _write_copy(database: Database, partial: Path) -> None:
    # Inside one exclusive section nothing of this package writes, so the file stays as checkpointed.
    with database.exclusive() as connection:
        if database.path is not None and database.checkpoint():
            shutil.copyfile(database.path, partial)
            return
        # A session of the user's has a transaction open (or the ledger is in memory): DuckDB copies
        # what is committed, table by table, in one transaction.
        name = "foregsyte_copy"
        literal = str(partial).replace("'", "''")
        connection.execute(f"ATTACH '{literal}' AS {name} (STORAGE_VERSION 'v1.0.0')")
        try:
            source = connection.execute("SELECT current_database()").fetchall()[0][0]
            quoted = '"' + source.replace('"', '""') + '"'
            connection.execute(f"COPY FROM DATABASE {quoted} TO {name}")
        finally:
            connection.execute(f"DETACH {name}")
