"""DuckDB's cache of a ledger's blocks, which a limit of its memory empties."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["BlockCache", "repeatedly"]

#: DuckDB reads some tens of megabytes in this time.
SHRINK_EVERY_SECONDS = 0.1
#: So much of the cache stays, and is left to queries while the rest goes.
SPARE_BYTES = 32 * 2**20


class BlockCache:
    """The blocks of the file that DuckDB keeps in memory until its limit is reached; the system has them too.

    Parameters
    ----------
    limit
        The limit of DuckDB's memory, in its words, which is that of the connection too.
    connection
        To the ledger.
    """

    def __init__(self, limit: str, connection: DuckDBPyConnection) -> None:
        self._limit = limit
        self._limit_shown = _memory_limit(connection)

    def empty(self, connection: DuckDBPyConnection) -> None:
        """Let go of all that no query uses now; for a moment no query has memory, so none may begin."""
        self._limit_to(connection, "1KiB")

    def shrink(self, connection: DuckDBPyConnection) -> None:
        """Let go of the blocks of the file, and of nothing that queries keep; at this moment they have little more."""
        used = "SELECT tag = 'BASE_TABLE', sum(memory_usage_bytes)::BIGINT FROM duckdb_memory() GROUP BY ALL"
        of = dict(connection.execute(used).fetchall())
        if of.get(True, 0) > SPARE_BYTES:
            self._limit_to(connection, f"{of.get(False, 0) + SPARE_BYTES}B")

    def _limit_to(self, connection: DuckDBPyConnection, low: str) -> None:
        """Set a low limit and the old one again, since DuckDB has no other means; it takes blocks of the file first."""
        import duckdb

        if _memory_limit(connection) != self._limit_shown:
            return  # the user's own, which DuckDB tells only rounded, so that it could not be set again
        again = f"SET memory_limit = '{self._limit}'"
        try:
            connection.execute(f"SET memory_limit = '{low}'; {again}")
        except duckdb.Error as error:
            connection.execute(again)
            if not isinstance(error, duckdb.OutOfMemoryException):
                raise  # else more is in use than that, and what could go has gone


@contextmanager
def repeatedly(act: Callable[[], None]) -> Iterator[None]:
    """Have a thread beside do something every 0.1 s, until this ends, or DuckDB refuses it."""
    import duckdb

    ended = threading.Event()

    def repeat() -> None:
        try:
            while not ended.wait(SHRINK_EVERY_SECONDS):
                act()
        except duckdb.Error:  # as where the disk has no room for what a query beside spills
            return

    thread = threading.Thread(target=repeat, name="foregsyte-block-cache", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _memory_limit(connection: DuckDBPyConnection) -> str:
    return str(connection.execute("SELECT current_setting('memory_limit')").fetchall()[0][0])
