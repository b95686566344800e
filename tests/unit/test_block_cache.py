"""DuckDB's cache of a ledger's blocks, while much is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from foregsyte_kaggle import block_cache
from foregsyte_kaggle.block_cache import BlockCache
from foregsyte_kaggle.database import Database

pytestmark = pytest.mark.unit

WAIT_SECONDS = 20
READ = "SELECT sum(i) FROM big"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    made = Database(tmp_path / "ledger.duckdb")
    with made.transaction() as connection:
        connection.execute("CREATE TABLE big AS SELECT hash(range) AS i FROM range(1_000_000)")
    assert made.checkpoint()
    monkeypatch.setattr(block_cache, "SPARE_BYTES", 2**20)
    yield made
    made.close()


def cached(cursor: duckdb.DuckDBPyConnection) -> int:
    """Return how many bytes of the file DuckDB keeps."""
    query = "SELECT memory_usage_bytes FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
    while True:
        with suppress(duckdb.OutOfMemoryException):  # a query while it is emptied has no memory
            return int(cursor.execute(query).fetchall()[0][0])


def limit(database: Database) -> str:
    with database.reading() as cursor:
        return str(cursor.execute("SELECT current_setting('memory_limit')").fetchall()[0][0])


def test_it_is_emptied_while_a_thread_reads_and_no_more_afterwards(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_cache, "SHRINK_EVERY_SECONDS", 0.01)
    before, threads = limit(database), threading.active_count()
    with database.reading() as cursor, database.kept_lean(cursor):
        with suppress(duckdb.OutOfMemoryException):
            cursor.execute(READ).fetchall()
        until = time.monotonic() + WAIT_SECONDS
        while cached(cursor) > 2 * 2**20:
            assert time.monotonic() < until, "the blocks that were read stay"
            time.sleep(0.02)
    assert threading.active_count() == threads
    with database.reading() as cursor:
        cursor.execute(READ).fetchall()
        time.sleep(0.1)
        assert cached(cursor) > 4 * 2**20
    assert limit(database) == before


@pytest.mark.parametrize("who", ["a reader", "a session", "a writer"])
def test_nobody_else_meets_the_low_limit(
    database: Database, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    emptied = []
    monkeypatch.setattr(block_cache, "SHRINK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(BlockCache, "shrink", lambda *_: emptied.append(who))
    other = {
        "a reader": database.reading,
        "a session": database.engine.connect,
        "a writer": database.transaction,
    }[who]
    inside, ended = threading.Event(), threading.Event()

    def use() -> None:
        with other():
            inside.set()
            ended.wait(WAIT_SECONDS)

    thread = threading.Thread(target=use)
    with database.reading() as cursor:
        thread.start()
        assert inside.wait(WAIT_SECONDS)
        with database.kept_lean(cursor):
            time.sleep(0.05)
            assert not emptied
            ended.set()
            thread.join()
            until = time.monotonic() + WAIT_SECONDS
            while not emptied:
                assert time.monotonic() < until, "not even when the other has ended"
                time.sleep(0.01)


def test_a_limit_of_the_users_own_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_cache, "SHRINK_EVERY_SECONDS", 0.0)
    with database.reading() as cursor:
        cursor.execute(READ).fetchall()  # so that there is something to let go of
        cursor.execute("SET memory_limit = '3GiB'")
        with database.kept_lean(cursor):
            time.sleep(0.05)
    assert limit(database) == "3.0 GiB"


def test_it_goes_on_without_where_duckdb_refuses(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise duckdb.IOException("no room to spill")

    monkeypatch.setattr(block_cache, "SHRINK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(BlockCache, "shrink", refuse)
    with database.reading() as cursor, database.kept_lean(cursor):
        time.sleep(0.05)
        assert cursor.execute("SELECT count(*) FROM big").fetchall() == [(1_000_000,)]
