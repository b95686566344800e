"""An Arrow table as a view, for the time of some queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

__all__ = ["arrow_view"]


@contextmanager
def arrow_view(connection: DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[None]:
    """Let queries read an Arrow table under a name.

    In a transaction that a failed query aborted the view cannot be dropped; the rollback does it, and
    the query's own error is what the caller gets.
    """
    import duckdb

    connection.register(name, table)
    try:
        yield
    finally:
        with suppress(duckdb.Error):
            connection.unregister(name)
