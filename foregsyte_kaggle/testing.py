"""Helpers for tests of code that uses this package: ledgers in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foregsyte_kaggle import schema
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.ledger import begin_session
from foregsyte_kaggle.workspace import Workspace, activate

__all__ = ["memory_database", "memory_workspace"]


def memory_database() -> Database:
    """Return a ledger in memory, at the newest revision; close it when done."""
    database = Database(None)
    schema.upgrade(database)
    begin_session(database)
    return database


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
