"""Opening, closing and copying workspaces, and what a session that died left in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import select

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, WorkspaceError
from foregsyte_kaggle.testing import memory_workspace
from foregsyte_kaggle.workspace import active_workspace, current_workspace, open_workspaces

pytestmark = pytest.mark.integration

Run = Callable[..., subprocess.CompletedProcess[str]]


def add_jobs(*names: str) -> None:
    with fk.SessionLocal() as session:
        session.add_all(fk.Job(pipeline_id="p", input_path=name) for name in names)
        session.commit()


def ask(file: Path | None, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file)) as connection:
        return connection.execute(query).fetchall()


# Opening


def test_bootstrap_makes_the_ledger_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = fk.bootstrap()
    file = tmp_path / "data" / "foregsyte.duckdb"
    assert workspace.ledger_path == file
    assert workspace.directory == tmp_path
    assert workspace.outputs == tmp_path / "data" / "outputs"
    assert repr(workspace) == f"<Workspace {tmp_path}>"
    assert capsys.readouterr().out == f"foregsyte: created {file}: no jobs yet\n"


def test_bootstrap_again_is_the_same_workspace_and_changes_and_says_nothing(
    workspace: fk.Workspace, persisted: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    add_jobs("a")
    capsys.readouterr()
    query = "SELECT (FROM (SELECT count(*) FROM ledger_info)), * FROM jobs"
    before = persisted(workspace.ledger_path, query)
    assert fk.bootstrap() is workspace
    assert fk.bootstrap(workspace.directory) is workspace
    assert fk.bootstrap(str(workspace.directory / "data" / "..")) is workspace
    assert persisted(workspace.ledger_path, query) == before
    assert capsys.readouterr().out == ""


def test_bootstrap_of_a_ledger_with_jobs_counts_them(
    workspace: fk.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    add_jobs("a", "b")
    workspace.close()
    capsys.readouterr()
    fk.bootstrap()
    said = capsys.readouterr().out
    assert said == f"foregsyte: opened {workspace.ledger_path}: jobs: 2 pending\n"


def test_a_second_directory_becomes_the_default_and_says_so(
    tmp_path: Path, workspace: fk.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    second = fk.bootstrap("second")
    assert (
        f"the default workspace is now {tmp_path / 'second'} (it was {tmp_path})"
        in capsys.readouterr().out
    )
    assert active_workspace() is second
    add_jobs("a")
    assert len(fk.jobs_frame()) == 1
    assert len(fk.jobs_frame(workspace=workspace)) == 0
    assert fk.bootstrap() is workspace
    assert active_workspace() is workspace
    assert (
        f"the default workspace is now {tmp_path} (it was {tmp_path / 'second'})"
        in capsys.readouterr().out
    )


def test_a_second_directory_is_refused_while_a_run_works_in_the_first(
    tmp_path: Path, workspace: fk.Workspace
) -> None:
    workspace.live_runs.add(uuid.uuid4())
    with pytest.raises(WorkspaceError, match=r"a run works in .*; wait for it or stop it"):
        fk.bootstrap("second")
    assert not (tmp_path / "second").exists()
    assert fk.bootstrap() is workspace
    assert active_workspace() is workspace
    with pytest.raises(WorkspaceError, match="has a run that works; stop it before closing"):
        workspace.close()
    workspace.live_runs.clear()
    fk.bootstrap("second")


def test_threads_that_bootstrap_at_once_get_one_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[fk.Workspace] = []
    threads = [threading.Thread(target=lambda: made.append(fk.bootstrap())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 4
    assert len(set(map(id, made))) == 1


def test_bootstrap_takes_a_path_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fk.bootstrap("~/work").directory == tmp_path / "work"


def test_each_session_that_opens_the_ledger_is_noted(workspace: fk.Workspace) -> None:
    workspace.close()
    fk.bootstrap().close()
    rows = ask(
        workspace.ledger_path,
        "SELECT generation, parent_session_id, session_id, ledger_id, duckdb_version"
        " FROM ledger_info ORDER BY generation",
    )
    first, second = rows
    assert (first[0], second[0]) == (1, 2)
    assert first[1] is None
    assert second[1] == first[2]
    assert second[3] == first[3]
    assert second[4] == duckdb.__version__


# Closing


def test_a_closed_workspace_can_be_opened_again(workspace: fk.Workspace) -> None:
    add_jobs("a")
    workspace.close()
    workspace.close()
    assert repr(workspace) == f"<Workspace {workspace.directory} (closed)>"
    assert current_workspace() is None
    with pytest.raises(WorkspaceError, match=r"call foregsyte_kaggle.bootstrap\(\) first"):
        fk.jobs_frame()
    with pytest.raises(WorkspaceError, match=r"was closed; call bootstrap\(\) again"):
        fk.jobs_frame(workspace=workspace)
    again = fk.bootstrap()
    assert again is not workspace
    assert len(fk.jobs_frame()) == 1


def test_a_workspace_whose_database_was_closed_is_opened_again(workspace: fk.Workspace) -> None:
    workspace.database.close()
    again = fk.bootstrap()
    assert again is not workspace
    assert len(fk.jobs_frame()) == 0


def test_closing_leaves_one_file_that_another_program_can_read(workspace: fk.Workspace) -> None:
    add_jobs("a")
    workspace.close()
    assert [file.name for file in (workspace.directory / "data").iterdir()] == ["foregsyte.duckdb"]
    assert ask(workspace.ledger_path, "SELECT input_path FROM jobs") == [("a",)]


def test_closing_one_workspace_leaves_the_others_open(workspace: fk.Workspace) -> None:
    second = fk.bootstrap("second")
    workspace.close()
    assert active_workspace() is second
    assert list(open_workspaces.values()) == [second]
    second.close()
    assert current_workspace() is None


def test_a_workspace_in_memory_leaves_the_open_one_of_its_folder_alone(
    workspace: fk.Workspace,
) -> None:
    with memory_workspace(workspace.directory) as memory:
        assert active_workspace() is memory
        add_jobs("a")
    assert active_workspace() is workspace
    assert fk.bootstrap() is workspace
    assert len(fk.jobs_frame()) == 0


def test_a_process_that_just_ends_leaves_a_closed_ledger(tmp_path: Path, run_python: Run) -> None:
    run_python(
        """
import foregsyte_kaggle as fk
from sqlalchemy import select
fk.bootstrap()
with fk.SessionLocal() as session:
    session.add(fk.Job(pipeline_id="p", input_path="x"))
    session.commit()
session = fk.SessionLocal()
session.scalars(select(fk.Job)).first()  # left open, with a result that was not fetched to its end
"""
    )
    assert ask(tmp_path / "data" / "foregsyte.duckdb", "SELECT input_path FROM jobs") == [("x",)]


# Recovery

DIES_WHILE_JOBS_RUN = """
import os, signal, sys, uuid
import foregsyte_kaggle as fk
from foregsyte_kaggle import ledger
from foregsyte_kaggle.ledger import Selection

workspace = fk.bootstrap()
if "first" in sys.argv:
    with fk.SessionLocal() as session:
        session.add_all(fk.Job(pipeline_id="p", input_path=name) for name in "abc")
        session.commit()
run_id = uuid.uuid4()
ledger.begin_run(workspace.database, run_id, "p", "inline", 1, alive=[run_id])
ledger.claim(workspace.database, run_id, Selection("p"), code_version="v1", first=1, last=2,
             limit=2 if "first" in sys.argv else 1, interrupted="second" in sys.argv)
session = fk.SessionLocal()
session.add(fk.Job(pipeline_id="p", input_path="not committed"))
session.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_jobs_that_a_killed_process_left_running_are_pending_again_and_the_second_time_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_python: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    query = (
        "SELECT status::VARCHAR, attempts, interruptions, error_type FROM jobs ORDER BY input_path"
    )

    run_python(DIES_WHILE_JOBS_RUN, "first", status=-signal.SIGKILL)
    workspace = fk.bootstrap()
    assert "2 jobs that it left running are pending again" in capsys.readouterr().out
    waiting = ("pending", 1, 1, None)
    assert rows(workspace, query) == [waiting, waiting, ("pending", 0, 0, None)]
    assert rows(workspace, "SELECT ended_by, finished_at IS NULL FROM runs") == [("died", False)]
    assert rows(workspace, "SELECT outcome, attempt FROM job_attempts") == [("interrupted", 1)] * 2
    workspace.close()

    run_python(DIES_WHILE_JOBS_RUN, "second", status=-signal.SIGKILL)
    workspace = fk.bootstrap()
    assert ": 1 that it took down twice failed" in capsys.readouterr().out
    expected = [("failed", 2, 2, "Interrupted"), waiting, ("pending", 0, 0, None)]
    assert rows(workspace, query) == expected
    message = rows(workspace, "SELECT DISTINCT error_message FROM jobs WHERE status = 'failed'")
    assert "ended twice while this job ran" in message[0][0]
    workspace.close()

    assert "running" not in capsys.readouterr().out
    fk.bootstrap()
    assert rows(fk.bootstrap(), query) == expected
    assert fk.retry_jobs() == 1
    assert rows(fk.bootstrap(), query)[0] == ("pending", 2, 0, None)


def rows(workspace: fk.Workspace, query: str) -> list[tuple[Any, ...]]:
    with workspace.database.reading() as cursor:
        return cursor.execute(query).fetchall()


def test_bootstrap_again_leaves_the_jobs_of_a_live_run_alone(workspace: fk.Workspace) -> None:
    add_jobs("a")
    run_id = uuid.uuid4()
    workspace.live_runs.add(run_id)
    with workspace.database.transaction() as connection:
        connection.execute("UPDATE jobs SET status = 'running', run_id = ?", [run_id])
    fk.bootstrap()
    assert rows(workspace, "SELECT status::VARCHAR FROM jobs") == [("running",)]


# What it costs


def test_a_ledger_that_is_current_is_opened_without_alembic(
    workspace: fk.Workspace, run_python: Run
) -> None:
    workspace.close()
    done = run_python(
        "import sys, foregsyte_kaggle as fk; fk.bootstrap();"
        " print([name for name in ('alembic', 'mako', 'ipywidgets') if name in sys.modules])"
    )
    assert done.stdout.splitlines()[-1] == "[]"


# Copies

CONTENT = {
    "jobs": "SELECT * FROM jobs ORDER BY position",
    "results": "SELECT * FROM results.p ORDER BY job_id",
    "revision": "FROM alembic_version",
    "columns": "SELECT schema_name, table_name, column_name, data_type, is_nullable, column_default"
    " FROM duckdb_columns() WHERE database_name = current_database() AND NOT internal ORDER BY ALL",
    "constraints": "SELECT table_name, constraint_type, constraint_column_names"
    " FROM duckdb_constraints() WHERE database_name = current_database() ORDER BY ALL",
    "types": "SELECT type_name, labels FROM duckdb_types()"
    " WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal ORDER BY ALL",
}


def fill(workspace: fk.Workspace) -> None:
    add_jobs("a", 'it\'s "b"', "試合")
    with workspace.database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET position = rowid, params = '{\"x\": [1, 2]}', status = 'completed'"
        )
        connection.execute(
            "CREATE SCHEMA results;"
            " CREATE TABLE results.p (job_id UUID NOT NULL, x DOUBLE, words VARCHAR[], deep JSON);"
            " INSERT INTO results.p SELECT job_id, 0.1, ['a', NULL], '{\"y\": null}' FROM jobs"
        )


def content(workspace: fk.Workspace) -> dict[str, list[tuple[Any, ...]]]:
    return {part: rows(workspace, query) for part, query in CONTENT.items()}


def check_copy(copy: Path, expected: dict[str, list[tuple[Any, ...]]]) -> None:
    """Compare a copy with the ledger, and open it as a ledger of its own."""
    assert sorted(file.name for file in copy.parent.iterdir()) == [copy.name]
    assert copy.read_bytes()[12:20] == (64).to_bytes(8, "little"), "DuckDB 1.3 reads version 64"
    assert {part: ask(copy, query) for part, query in CONTENT.items()} == expected
    home = copy.parent / "data" / "foregsyte.duckdb"
    home.parent.mkdir()
    copy.rename(home)
    assert content(fk.bootstrap(home.parents[1])) == expected


def test_a_snapshot_is_equal_and_opens_anywhere(tmp_path: Path, workspace: fk.Workspace) -> None:
    fill(workspace)
    expected = content(workspace)
    copy = fk.snapshot("copies/one.duckdb")
    assert copy == tmp_path / "copies" / "one.duckdb"
    add_jobs("later")
    check_copy(copy, expected)


def test_a_snapshot_beside_an_open_session_has_what_was_committed(
    tmp_path: Path, workspace: fk.Workspace
) -> None:
    fill(workspace)
    expected = content(workspace)
    with fk.SessionLocal() as session:
        session.scalars(select(fk.Job)).first()
        session.add(fk.Job(pipeline_id="p", input_path="not committed"))
        session.flush()
        copy = fk.snapshot(tmp_path / "copies" / "one.duckdb")
        session.commit()
    assert len(fk.jobs_frame()) == 4
    check_copy(copy, expected)


def test_a_snapshot_of_a_ledger_in_memory_is_a_file(tmp_path: Path) -> None:
    with memory_workspace(tmp_path) as memory:
        fill(memory)
        expected = content(memory)
        copy = fk.snapshot(tmp_path / "copies" / "one.duckdb")
    check_copy(copy, expected)


def test_a_snapshot_can_be_taken_of_a_workspace_that_is_not_the_default(
    tmp_path: Path, workspace: fk.Workspace
) -> None:
    add_jobs("a")
    fk.bootstrap("second")
    copy = fk.snapshot(tmp_path / "one.duckdb", workspace=workspace)
    assert ask(copy, "SELECT count(*) FROM jobs") == [(1,)]


def test_a_snapshot_while_threads_read_and_write_is_one_state(
    tmp_path: Path, workspace: fk.Workspace
) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_busy(work: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:
            failures.append(error)

    def write() -> None:
        with workspace.database.transaction() as connection:
            for table in ("one", "two"):
                connection.execute(f"INSERT INTO {table} SELECT count(*) FROM {table}")

    with workspace.database.transaction() as connection:
        connection.execute("CREATE TABLE one (n BIGINT); CREATE TABLE two (n BIGINT)")
    works = [write, lambda: rows(workspace, "SELECT count(*) FROM one"), fk.jobs_frame]
    threads = [threading.Thread(target=keep_busy, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    copies = [fk.snapshot(tmp_path / f"{n}.duckdb") for n in range(5)]
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures
    for copy in copies:
        assert ask(copy, "SELECT (SELECT count(*) FROM one) = (SELECT count(*) FROM two)") == [
            (True,)
        ]


def test_a_snapshot_over_a_file_that_exists_is_refused(
    tmp_path: Path, workspace: fk.Workspace
) -> None:
    (tmp_path / "one.duckdb").write_text("precious")
    with pytest.raises(InvalidArgumentError, match=r"one\.duckdb exists already; choose another"):
        fk.snapshot("one.duckdb")
    assert (tmp_path / "one.duckdb").read_text() == "precious"
    with pytest.raises(InvalidArgumentError, match="exists already"):
        fk.snapshot(workspace.ledger_path or "")


@pytest.mark.parametrize("session_is_open", [False, True])
def test_a_snapshot_that_cannot_be_written_says_so_and_leaves_nothing(
    tmp_path: Path,
    workspace: fk.Workspace,
    session_is_open: bool,
) -> None:
    (tmp_path / "file").write_text("x")
    with fk.SessionLocal() as session:
        if session_is_open:
            session.scalars(select(fk.Job)).first()
        with pytest.raises(LedgerError, match=r"the copy .*one\.duckdb cannot be written"):
            fk.snapshot(tmp_path / "file" / "one.duckdb")
        with pytest.raises(LedgerError, match="a question mark"):
            fk.snapshot("what?.duckdb")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "file"]
    add_jobs("a")


@pytest.mark.parametrize("session_is_open", [False, True])
def test_a_snapshot_that_fails_half_way_leaves_nothing_and_the_next_one_works(
    tmp_path: Path,
    workspace: fk.Workspace,
    monkeypatch: pytest.MonkeyPatch,
    session_is_open: bool,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    add_jobs("a")
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / ".one.duckdb.partial").write_text("of a process that was killed")
    with fk.SessionLocal() as session:
        if session_is_open:
            session.scalars(select(fk.Job)).first()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", fail)
            with pytest.raises(LedgerError, match="cannot be written: No space left on device"):
                fk.snapshot("copies/one.duckdb")
        assert not list((tmp_path / "copies").iterdir())
        copy = fk.snapshot("copies/one.duckdb")
    assert ask(copy, "SELECT count(*) FROM jobs") == [(1,)]


# Other programs


def test_another_program_reads_the_ledger_only_when_it_is_closed(
    workspace: fk.Workspace, run_python: Run
) -> None:
    code = f"import duckdb; duckdb.connect({str(workspace.ledger_path)!r}, read_only=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Could not set lock" in done.stderr
    workspace.close()
    run_python(code)
