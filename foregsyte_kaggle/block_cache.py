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
EMPTY_EVERY_SECONDS = 0.1


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
        """Let go of all blocks that no query uses now.

        A limit is the only means that DuckDB has for this. Where more is in use it lets go of the rest and
        then refuses the limit; where nothing is, a query that begins at this moment has no memory.
        """
        import duckdb

        if _memory_limit(connection) != self._limit_shown:
            return  # the user's own, which DuckDB tells only rounded, so that it could not be set again
        try:
            connection.execute("SET memory_limit = '1KiB'")
        except duckdb.OutOfMemoryException:
            pass
        finally:
            connection.execute(f"SET memory_limit = '{self._limit}'")


@contextmanager
def repeatedly(act: Callable[[], None]) -> Iterator[None]:
    """Have a thread beside do something every 0.1 s, until this ends, or DuckDB refuses it."""
    import duckdb

    ended = threading.Event()

    def repeat() -> None:
        try:
            while not ended.wait(EMPTY_EVERY_SECONDS):
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
