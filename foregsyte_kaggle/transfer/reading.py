"""Ledger files that are read for what they say about themselves, and are not touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.database import Database, is_open
from foregsyte_kaggle.errors import (
    LedgerError,
    LedgerVersionError,
    WorkspaceError,
    translated,
)
from foregsyte_kaggle.layouts import parts_below
from foregsyte_kaggle.surroundings import input_roots
from foregsyte_kaggle.transfer.lineage import LedgerCopy, read_copy

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHOOSE", "attaching", "read_one", "reading"]

CHOOSE = 'resume="owner/notebook", the path of one of them, or resume=False for a new ledger'


def read_one(ledger: Path) -> LedgerCopy | None:
    """Return what a ledger file says about itself; None if it is no ledger."""
    with reading([ledger]) as (_, copies):
        return copies[0] if copies else None


@contextmanager
def reading(paths: Sequence[Path]) -> Iterator[tuple[DuckDBPyConnection, list[LedgerCopy]]]:
    """Open ledgers side by side, to read only, in a database in memory."""
    memory = Database(None)
    try:
        with memory.exclusive() as connection, ExitStack() as attached:
            found = [
                attached.enter_context(attaching(connection, path, f"copy_{number}"))
                for number, path in enumerate(paths)
            ]
            yield connection, [copy for copy in found if copy is not None]
    finally:
        memory.close()


@contextmanager
def attaching(
    connection: DuckDBPyConnection, path: Path, catalog: str
) -> Iterator[LedgerCopy | None]:
    """Attach a ledger to a connection, to read only, and give what it says; None if it is no ledger.

    Raises
    ------
    LedgerError
        If it cannot be read; of one among the inputs with what can be done about that there.
    WorkspaceError
        If it is open in this process.
    """
    if is_open(path):
        raise WorkspaceError(
            f"the ledger {path} is open in this process; close its workspace first (workspace.close())"
        )
    literal = str(path).replace("'", "''")
    try:
        with translated(path, "open"):
            connection.execute(f"ATTACH '{literal}' AS {catalog} (READ_ONLY)")
    except LedgerError as error:
        if not parts_below(path, input_roots()):
            raise
        # Most such errors advise what can be done with a ledger of one's own.
        keeps = isinstance(error, LedgerVersionError)
        fault = str(error) if keeps else f"{str(error).split('. ')[0].rstrip('.')}."
        raise type(error)(
            f"{fault} It is among the inputs: detach it, or say which ledger to continue: {CHOOSE}."
        ) from error.__cause__
    try:
        with translated(path, "read"):
            copy = read_copy(connection, catalog, path)
        yield copy
    finally:
        connection.execute(f"DETACH {catalog}")
