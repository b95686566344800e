"""Helpers for tests of code that uses this package: ledgers in memory, and an empty one to copy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from foregsyte_kaggle import schema
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.ledger import begin_session
from foregsyte_kaggle.transfer import copy_ledger, fill_ledger
from foregsyte_kaggle.workspace import Workspace, activate

__all__ = ["empty_ledger", "memory_database", "memory_workspace"]


def memory_database() -> Database:
    """Return a ledger in memory, at the newest revision; close it when done."""
    database = Database(None)
    fill_ledger(database, empty_ledger())
    begin_session(database)
    return database


def empty_ledger() -> Path:
    """Return a ledger file without jobs, at the newest revision, which stays as it is until this process ends.

    A copy of it at ``data/foregsyte.duckdb`` is there for ``bootstrap`` 0.1 s sooner than migrations are.
    """
    return Path(_folder().name, "empty.duckdb")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="foregsyte-empty-")
    database = Database(None)
    schema.upgrade(database)
    copy_ledger(database, Path(folder.name, "empty.duckdb"))
    database.close()
    return folder


@contextmanager
def memory_workspace(directory: str | Path = ".") -> Iterator[Workspace]:
    """Give an active workspace whose ledger is in memory, and close it afterwards.

    Parameters
    ----------
    directory
        Where relative paths count from and output files go.
    """
    workspace = Workspace(Path(directory).resolve(), memory_database())
    previous = activate(workspace)
    try:
        yield workspace
    finally:
        workspace.close()
        activate(previous)
