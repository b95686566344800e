"""The one engine of a ledger: sessions, transactions, readers, and the locks between them."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import select, text

from foregsyte_kaggle import database as databases
from foregsyte_kaggle import ledger
from foregsyte_kaggle.database import (
    Database,
    SessionLocal,
    borrowed_database,
    check_path,
    get_db,
    open_database,
)
from foregsyte_kaggle.errors import LedgerError, WorkspaceError
from foregsyte_kaggle.models import Job
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

Persisted = Callable[[Path | None, str], list[tuple[Any, ...]]]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A file with one table, and no more than that."""
    made = open_database(tmp_path / "plain.duckdb")
    with made.transaction() as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
    return made


def insert(database: Database, number: int) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO numbers VALUES (?)", [number])


def numbers(database: Database) -> list[int]:
    with database.reading() as cursor:
        rows = cursor.execute("SELECT number FROM numbers ORDER BY number").fetchall()
    return [number for (number,) in rows]


def join(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), f"{thread.name} hangs"


# Sessions


def test_a_session_before_bootstrap_says_to_call_it() -> None:
    with SessionLocal() as session, pytest.raises(WorkspaceError, match=r"call .*bootstrap\(\)"):
        session.execute(text("SELECT 1"))


def test_get_db_before_bootstrap_says_to_call_it() -> None:
    with pytest.raises(WorkspaceError, match=r"call .*bootstrap\(\)"):
        next(get_db())


def test_get_db_gives_a_session_on_the_active_ledger_and_closes_it(workspace: Workspace) -> None:
    given = get_db()
    db = next(given)
    db.add(Job(pipeline_id="p", input_path="x"))
    db.commit()
    assert db.scalars(select(Job.input_path)).all() == ["x"]
    assert workspace.database.open_sessions == 1
    with pytest.raises(StopIteration):
        next(given)
    assert workspace.database.open_sessions == 0


def test_get_db_closes_its_session_when_the_caller_fails(memory_workspace: Workspace) -> None:
    given = get_db()
    next(given).execute(text("SELECT 1"))
    with pytest.raises(ZeroDivisionError):
        given.throw(ZeroDivisionError())
    assert memory_workspace.database.open_sessions == 0


def test_sessions_see_what_the_ledger_wrote_and_it_sees_theirs(
    memory_workspace: Workspace,
) -> None:
    with SessionLocal() as session:
        session.add(Job(pipeline_id="p", input_path="x"))
        session.commit()
        with memory_workspace.database.transaction() as connection:
            connection.execute("UPDATE jobs SET source = 's'")
        assert session.scalars(select(Job.source)).all() == ["s"]


def test_a_session_of_a_closed_workspace_says_so(workspace: Workspace) -> None:
    engine = workspace.engine
    workspace.close()
    with pytest.raises(WorkspaceError, match=r"was closed; call bootstrap\(\) again"):
        engine.connect()


# Transactions


def test_a_transaction_commits_at_its_end(database: Database, persisted: Persisted) -> None:
    insert(database, 1)
    assert persisted(database.path, "FROM numbers") == [(1,)]


def test_a_transaction_that_fails_leaves_nothing(database: Database, persisted: Persisted) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("INSERT INTO numbers VALUES (1)")
        raise ZeroDivisionError
    assert numbers(database) == []
    assert persisted(database.path, "FROM numbers") == []
    insert(database, 2)
    assert numbers(database) == [2]


def test_a_nested_transaction_commits_with_the_outer_one(
    database: Database, persisted: Persisted
) -> None:
    with database.transaction():
        insert(database, 1)
        assert numbers(database) == []
    assert persisted(database.path, "FROM numbers") == [(1,)]


def test_a_nested_transaction_is_rolled_back_with_the_outer_one(
    database: Database, persisted: Persisted
) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        insert(database, 1)
        raise ZeroDivisionError
    assert persisted(database.path, "FROM numbers") == []


def test_a_statement_that_fails_rolls_back_and_is_our_error(database: Database) -> None:
    with pytest.raises(LedgerError, match="cannot write to the ledger") as raised:
        with database.transaction() as connection:
            connection.execute("INSERT INTO numbers VALUES (1)")
            connection.execute("INSERT INTO letters VALUES (1)")
    assert isinstance(raised.value.__cause__, duckdb.CatalogException)
    insert(database, 2)
    assert numbers(database) == [2]


def test_a_commit_that_fails_is_our_error_and_the_next_one_works(
    memory_workspace: Workspace,
) -> None:
    database = memory_workspace.database
    row = (
        "INSERT INTO sources VALUES ('s', 'folder', NULL, NULL, now()::TIMESTAMP, now()::TIMESTAMP)"
    )
    with SessionLocal() as session:
        session.execute(text(row))
        with pytest.raises(LedgerError), database.transaction() as connection:
            connection.execute(row)
            session.commit()
    ledger.begin_session(database)
    with database.reading() as cursor:
        assert cursor.execute("SELECT name FROM sources").fetchall() == [("s",)]


def test_threads_write_one_after_the_other(database: Database) -> None:
    def work(start: int) -> None:
        for number in range(start, start + 20):
            insert(database, number)

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    join(*threads)
    assert len(numbers(database)) == 80


# Reading


def test_a_reading_is_read_only(database: Database) -> None:
    with pytest.raises(LedgerError, match="cannot read"), database.reading() as cursor:
        cursor.execute("INSERT INTO numbers VALUES (1)")
    assert numbers(database) == []


def test_a_reading_sees_one_state_while_others_write(database: Database) -> None:
    insert(database, 1)
    with database.reading() as cursor:
        assert cursor.execute("SELECT count(*) FROM numbers").fetchall() == [(1,)]
        writer = threading.Thread(target=insert, args=(database, 2))
        writer.start()
        join(writer)
        assert cursor.execute("SELECT count(*) FROM numbers").fetchall() == [(1,)]
    assert numbers(database) == [1, 2]


def test_a_reading_inside_a_reading_is_let_through(database: Database) -> None:
    with database.reading():
        assert numbers(database) == []


def test_writing_inside_a_reading_of_the_same_thread_is_refused_at_once(
    database: Database,
) -> None:
    with database.reading():
        with pytest.raises(LedgerError, match="this thread still reads"):
            insert(database, 1)
        with pytest.raises(LedgerError, match="this thread still reads"):
            database.checkpoint()
    insert(database, 1)


# Alone


def test_exclusive_waits_for_readers_and_new_readers_for_it(database: Database) -> None:
    order: list[str] = []
    reading, done_reading, inside, leave = (threading.Event() for _ in range(4))

    def read() -> None:
        with database.reading():
            reading.set()
            done_reading.wait(60)
            order.append("first reader left")

    def change() -> None:
        with database.exclusive():
            order.append("alone")
            inside.set()
            leave.wait(60)
            order.append("no longer alone")

    def read_later() -> None:
        with database.reading():
            order.append("second reader")

    first, alone, second = (
        threading.Thread(target=target, name=target.__name__)
        for target in (read, change, read_later)
    )
    first.start()
    assert reading.wait(60)
    alone.start()
    while not database._waits_for_readers:
        threading.Event().wait(0.001)
    second.start()  # comes while `alone` waits, and must not overtake it
    done_reading.set()
    assert inside.wait(60)
    leave.set()
    join(first, alone, second)
    assert order == ["first reader left", "alone", "no longer alone", "second reader"]


def test_a_thread_that_reads_already_may_read_on_while_another_waits_to_be_alone(
    database: Database,
) -> None:
    with database.reading():
        alone = threading.Thread(target=database.checkpoint)
        alone.start()
        while not database._waits_for_readers:
            threading.Event().wait(0.001)
        assert numbers(database) == []
    join(alone)


def test_exclusive_holds_back_new_sessions_of_other_threads(workspace: Workspace) -> None:
    order: list[str] = []

    def use_session() -> None:
        with SessionLocal() as session:
            session.execute(text("SELECT 1"))
            order.append("session")

    user = threading.Thread(target=use_session)
    with workspace.database.exclusive():
        user.start()
        while not workspace.database.open_sessions:
            threading.Event().wait(0.001)
        with workspace.engine.connect():  # this thread's own is not held back
            order.append("alone")
    join(user)
    assert order == ["alone", "session"]


def test_readers_go_on_while_a_writer_writes_and_checkpoints(database: Database) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            last = 0
            while not stop.is_set():
                found = numbers(database)
                assert found == list(range(len(found)))
                assert len(found) >= last
                last = len(found)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read, name=f"reader {n}") for n in range(4)]
    for reader in readers:
        reader.start()
    try:
        for number in range(60):
            insert(database, number)
            if number % 3 == 0:
                assert database.checkpoint()
    finally:
        stop.set()
    join(*readers)
    assert not failures


# The write-ahead log. DuckDB before 1.5 spins for ever in a checkpoint, also in the one that it makes
# inside a commit by itself, while a result is open that was not fetched to its end.


def test_a_checkpoint_empties_the_log(database: Database) -> None:
    log = Path(f"{database.path}.wal")
    insert(database, 1)
    assert log.exists()
    assert database.checkpoint()
    assert not log.exists() or log.stat().st_size == 0


def test_a_checkpoint_waits_for_another_day_while_a_session_is_open(
    workspace: Workspace, persisted: Persisted
) -> None:
    with SessionLocal() as session:
        session.add_all(Job(pipeline_id="p", input_path=str(n)) for n in range(3))
        session.commit()
        session.scalars(select(Job)).first()
        assert not workspace.database.checkpoint()
        assert persisted(workspace.ledger_path, "SELECT count(*) FROM jobs") == [(3,)]
    assert workspace.database.checkpoint()


def test_a_long_log_is_checkpointed_after_the_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Path(f"{database.path}.wal")
    insert(database, 1)
    monkeypatch.setattr(databases, "LOG_BYTES", 1)
    insert(database, 2)
    assert not log.exists() or log.stat().st_size == 0
    assert numbers(database) == [1, 2]


def test_a_shorter_log_is_checkpointed_where_it_is_asked_for_and_nothing_is_in_the_way(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Path(f"{database.path}.wal")

    def insert_and_ask(number: int) -> None:
        with database.transaction(log_bytes=1) as connection:
            connection.execute(f"INSERT INTO numbers VALUES ({number})")

    def write_beside_a_reader() -> None:
        reads, may_end = threading.Event(), threading.Event()

        def read() -> None:
            with database.reading():
                reads.set()
                may_end.wait(30)

        reader = threading.Thread(target=read)
        reader.start()
        reads.wait(30)
        insert_and_ask(2)
        may_end.set()
        reader.join()

    insert(database, 1)
    write_beside_a_reader()
    assert log.stat().st_size > 0
    with monkeypatch.context() as patched:
        patched.setattr(databases, "disk_space", lambda _folder: (10**6, 10**9))
        insert_and_ask(3)
    assert log.stat().st_size > 0
    with database.transaction() as connection:
        insert_and_ask(4)
        connection.execute("INSERT INTO numbers VALUES (5)")
    assert log.stat().st_size > 0
    insert_and_ask(6)
    assert not log.exists() or log.stat().st_size == 0
    assert numbers(database) == [1, 2, 3, 4, 5, 6]


def test_checkpoint_of_a_long_log_leaves_no_block_of_the_file_in_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cached() -> int:
        with database.reading() as cursor:
            query = "SELECT memory_usage_bytes FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
            return int(cursor.execute(query).fetchall()[0][0])

    def settings() -> object:
        with database.reading() as cursor:
            query = "SELECT current_setting('memory_limit'), current_setting('max_vacuum_tasks')"
            return cursor.execute(query).fetchall()

    before = settings()
    with database.transaction() as connection:
        connection.execute("CREATE TABLE big AS SELECT hash(range) AS i FROM range(1_000_000)")
    assert database.checkpoint()
    with database.reading() as cursor:
        total = cursor.execute("SELECT sum(i) FROM big").fetchall()
    assert cached() > 4 * 2**20
    monkeypatch.setattr(databases, "LOG_BYTES", 1)
    insert(database, 1)
    assert cached() < 2 * 2**20
    assert settings() == before, "the limit is not as it was"
    with database.reading() as cursor:
        assert cursor.execute("SELECT sum(i) FROM big").fetchall() == total


def test_checkpoint_of_a_long_log_leaves_a_memory_limit_of_the_users_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOG_BYTES", 1)
    with database.exclusive() as connection:
        connection.execute("SET memory_limit = '3GiB'")
    for number in range(3):
        insert(database, number)
    with database.reading() as cursor:
        limit = cursor.execute("SELECT current_setting('memory_limit')").fetchall()
    assert limit == [("3.0 GiB",)]


def test_small_parts_of_a_table_are_merged_but_not_while_much_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parts() -> int:
        with database.reading() as cursor:
            query = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('parts')"
            return int(cursor.execute(query).fetchall()[0][0])

    def write() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO parts SELECT range FROM range(100)")

    with database.transaction() as connection:
        connection.execute("CREATE TABLE parts (i INTEGER)")
    with monkeypatch.context() as patched:
        patched.setattr(databases, "LOG_BYTES", 1)
        for _ in range(5):
            write()
    several = parts()
    write()
    assert database.checkpoint()
    assert parts() == 1
    # DuckDB 1.3 appends to the last part.
    assert several == (5 if duckdb.__version__ >= "1.4" else 1)


def test_a_commit_beside_a_session_that_reads_returns_however_long_the_log(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOG_BYTES", 1)
    database = workspace.database
    with database.transaction() as connection:
        connection.execute("CREATE TABLE big AS SELECT range AS i FROM range(10)")
    with SessionLocal() as session:
        assert session.execute(text("SELECT i FROM big")).first() == (0,)
        with database.transaction() as connection:
            connection.execute("INSERT INTO big SELECT range FROM range(5_000_000)")
        assert Path(f"{database.path}.wal").stat().st_size > 0
    assert database.checkpoint()


def test_a_commit_stands_when_the_checkpoint_after_it_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bool:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(databases, "LOG_BYTES", 1)
    monkeypatch.setattr(database, "checkpoint", fail)
    insert(database, 1)
    monkeypatch.undo()
    assert numbers(database) == [1]


# Opening and closing


def test_a_file_has_one_database(tmp_path: Path) -> None:
    one = open_database(tmp_path / "a.duckdb")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert open_database(str(tmp_path / "a.duckdb")) is one
    assert open_database(tmp_path / "link" / ".." / tmp_path.name / "a.duckdb") is one
    assert open_database(tmp_path / "link" / "a.duckdb") is one
    assert open_database(tmp_path / "b.duckdb") is not one


def test_a_closed_file_is_opened_anew(database: Database) -> None:
    insert(database, 1)
    database.close()
    again = open_database(database.path or "")
    assert again is not database
    assert numbers(again) == [1]


def test_a_closed_database_says_so_however_it_is_used(database: Database) -> None:
    database.close()
    assert database.closed
    for use in (database.transaction, database.reading, database.exclusive):
        with pytest.raises(WorkspaceError, match=r"was closed; call bootstrap\(\) again"), use():
            pass
    with pytest.raises(WorkspaceError, match="was closed"):
        database.checkpoint()
    with pytest.raises(WorkspaceError, match="was closed"):
        database.engine.connect()


def test_closing_twice_does_nothing(database: Database) -> None:
    database.close()
    database.close()


def test_closing_beside_a_session_that_reads_returns_and_the_session_lets_go(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    session = SessionLocal()
    session.add(Job(pipeline_id="p", input_path="x"))
    session.commit()
    session.scalars(select(Job)).first()
    workspace.close()
    said = capsys.readouterr().out
    assert "1 session of SessionLocal is still open and keeps" in said
    assert "locked; close it too" in said
    session.close()
    with duckdb.connect(str(workspace.ledger_path)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchall() == [(1,)]


def test_a_borrowed_database_stays_open_only_where_it_was_open(tmp_path: Path) -> None:
    with borrowed_database(tmp_path / "a.duckdb") as borrowed:
        assert not borrowed.closed
    assert borrowed.closed
    kept = open_database(tmp_path / "a.duckdb")
    with borrowed_database(tmp_path / "a.duckdb") as borrowed:
        assert borrowed is kept
    assert not kept.closed


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("what?", "a question mark"),
        ("back\\slash", "a backslash"),
        (os.fsdecode(b"latin \xe9"), "bytes that are not Unicode"),
    ],
    ids=["question mark", "backslash", "undecodable"],
)
def test_a_path_that_duckdb_would_misread_is_refused(
    tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(LedgerError, match=f"{reason}.*choose another directory"):
        open_database(tmp_path / name / "a.duckdb")
    assert not (tmp_path / name).exists()


def test_a_path_with_other_odd_characters_is_taken() -> None:
    check_path(Path('/a b/100%/it\'s/"quoted"/試合 ⚽/a#b;c=d&e'))


# What the file and its connections are like


def test_every_connection_is_in_utc(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    query = "SELECT current_setting('TimeZone')"
    with workspace.database.reading() as cursor:
        assert cursor.execute(query).fetchall() == [("UTC",)]
    with workspace.database.transaction() as connection:
        assert connection.execute(query).fetchall() == [("UTC",)]
    with SessionLocal() as one, SessionLocal() as other:
        assert one.scalar(text(query)) == "UTC"
        assert other.scalar(text(query)) == "UTC"


def test_the_file_is_of_a_version_that_duckdb_1_3_reads(workspace: Workspace) -> None:
    path = workspace.ledger_path
    assert path is not None
    workspace.close()
    with path.open("rb") as file:
        file.seek(8)
        magic, version = struct.unpack("<4sQ", file.read(12))
    assert magic == b"DUCK"
    assert version == 64, f"DuckDB 1.3 reads versions 64 to 66; this one is {version}"


def test_memory_and_threads_are_left_for_the_workers(workspace: Workspace) -> None:
    with workspace.database.reading() as cursor:
        limit, spill = cursor.execute(
            "SELECT current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchall()[0]
    assert limit.endswith("iB")
    assert str(workspace.directory) not in spill


def test_ledgers_in_memory_are_apart_and_each_is_seen_by_all_its_connections() -> None:
    with closing(Database(None)) as one, closing(Database(None)) as other:
        with one.transaction() as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS i")
        with one.engine.connect() as first, one.engine.connect() as second:
            assert first.scalar(text("SELECT i FROM t")) == 1
            assert second.scalar(text("SELECT i FROM t")) == 1
        with pytest.raises(LedgerError), other.reading() as cursor:
            cursor.execute("FROM t")
        with pytest.raises(WorkspaceError, match="in memory has no file"):
            one.file_descriptor()


def test_checkpoint_is_left_out_where_the_disk_may_be_too_full_for_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, free = workspace.database, [10**6]
    monkeypatch.setattr(databases, "disk_space", lambda _folder: (free[0], 10**9))
    with database.transaction() as connection:
        connection.execute("CREATE TABLE many AS SELECT range AS n FROM range(1000)")
    log = Path(f"{database.path}.wal")
    assert not database.checkpoint_if_there_is_room()
    assert log.stat().st_size > 0
    free[0] = 10**9
    assert database.checkpoint_if_there_is_room()
    assert not log.exists() or log.stat().st_size == 0
    assert not database.checkpoint_if_there_is_room()  # nothing to move
