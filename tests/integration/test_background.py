"""A run in the background: cells go on beside it, and nothing of it is lost or silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, RunError, WorkspaceError
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.01)


def make_inputs(number: int = 4) -> Path:
    Path("inputs").mkdir(exist_ok=True)
    Path("started").mkdir(exist_ok=True)
    for count in range(number):
        Path("inputs", f"{count}.txt").touch()
    return Path("inputs")


@pytest.fixture
def waits(workspace: Workspace) -> Iterator[None]:
    """A pipeline whose jobs wait for a file, and four inputs of it."""

    @fk.pipeline("p")
    def wait(path: Path) -> dict[str, Any]:
        (path.parent.parent / "started" / path.name).touch()
        while not (path.parent.parent / "go on").exists():
            time.sleep(0.01)
        return {"name": path.name}

    fk.register_jobs(make_inputs(), "p")
    yield
    Path("go on").touch()
    until(lambda: not workspace.live_runs, "the end of the run")


def statuses() -> dict[str, int]:
    return {name: int(n) for name, n in fk.jobs_frame().status.value_counts().items() if n}


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_cells_go_on_beside_it_and_wait_comes_back_to_it(
    workspace: Workspace, executor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fk.run_jobs("p", executor=executor, workers=2, background=True, progress=False)
    until(lambda: len(list(Path("started").iterdir())) == 2, "two jobs")
    assert run.is_running
    assert "working" in repr(run)
    until(lambda: statuses().get("running"), "running jobs in the ledger")
    assert fk.bootstrap() is workspace  # the cell again: nothing changes
    assert statuses()["running"] >= 2
    with pytest.raises(WorkspaceError, match="a run works in"):
        fk.bootstrap("elsewhere")
    with pytest.raises(WorkspaceError, match="has a run that works"):
        workspace.close()
    assert run.wait(timeout=0.1).is_running
    (Path("inputs") / "more.txt").touch()
    assert fk.register_jobs("inputs", "p").added == 1
    Path("go on").touch()
    assert run.wait() is run
    assert (run.ended_by, run.completed, run.is_running) == ("finished", 5, False)
    assert statuses() == {"completed": 5}
    assert "p: 5 completed" in capsys.readouterr().out  # it was told before wait came back


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_bootstrap_and_registering_the_same_source_again_beside_it_change_nothing(
    workspace: Workspace, executor: str
) -> None:
    run = fk.run_jobs("p", executor=executor, workers=2, background=True, progress=False)
    until(lambda: len(list(Path("started").iterdir())) == 2, "two jobs")
    until(lambda: statuses().get("running"), "running jobs in the ledger")
    queries = (
        "SELECT job_id, status, attempts, interruptions, run_id, position FROM jobs ORDER BY ALL",
        "SELECT * FROM job_attempts",
        "SELECT * FROM runs",
        "SELECT name, kind, root FROM sources",
    )
    before = [fk.sql(query) for query in queries]
    assert fk.bootstrap() is workspace
    registered = fk.register_jobs("inputs", "p")
    assert (registered.added, registered.changed, registered.unchanged) == (0, 0, 4)
    for query, frame in zip(queries, before, strict=True):
        pd.testing.assert_frame_equal(fk.sql(query), frame)
    Path("go on").touch()
    run.wait()
    assert statuses() == {"completed": 4}
    assert len(fk.attempts_frame()) == len(fk.results_frame("p")) == 4


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_stop_returns_when_all_is_recorded_or_pending(workspace: Workspace, executor: str) -> None:
    run = fk.run_jobs("p", executor=executor, workers=2, background=True, progress=False)
    until(lambda: len(list(Path("started").iterdir())) == 2, "two jobs")
    assert run.stop() is run
    assert (run.ended_by, run.left, run.error) == ("stopped", 4, None)
    assert statuses() == {"pending": 4}
    assert not workspace.live_runs
    run.stop()
    assert run.wait().ended_by == "stopped"
    Path("go on").touch()
    assert fk.run_jobs("p", executor=executor, progress=False).completed == 4


@pytest.mark.usefixtures("workspace")
def test_error_in_it_is_told_and_raised_by_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise LedgerError("the disk is full")

    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(), "p")
    monkeypatch.setattr("foregsyte_kaggle.loop.record_group", full)
    run = fk.run_jobs("p", executor="threads", background=True, progress=False)
    with pytest.raises(LedgerError, match="the disk is full"):
        run.wait()
    assert run.ended_by == "error"
    out = ""

    def told() -> bool:
        nonlocal out
        out += capsys.readouterr().out
        return "the background run of p ended with LedgerError: the disk is full" in out

    until(told, "the message")
    assert statuses() == {"pending": 4}


@pytest.mark.usefixtures("workspace")
def test_first_failure_ends_it_where_that_was_asked_for() -> None:
    def fails(path: Path) -> None:
        raise ValueError("no")

    fk.pipeline("p")(fails)
    fk.register_jobs(make_inputs(1), "p")
    run = fk.run_jobs("p", executor="threads", on_error="raise", background=True, progress=False)
    with pytest.raises(RunError, match="failed: ValueError: no"):
        run.wait()


@pytest.mark.usefixtures("waits")
def test_batch_session_runs_in_the_foreground_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "10000h")  # this machine may be up for days
    Path("go on").touch()
    run = fk.run_jobs("p", executor="threads", background=True, progress=False)
    assert (run.is_running, run.completed) == (False, 4)
    assert "this run is in the foreground" in capsys.readouterr().out


@pytest.mark.usefixtures("waits")
def test_nothing_can_go_on_beside_a_run_in_this_thread() -> None:
    with pytest.raises(InvalidArgumentError, match="executor='inline' runs jobs in this thread"):
        fk.run_jobs("p", executor="inline", background=True)
    assert statuses() == {"pending": 4}


@pytest.mark.usefixtures("waits")
def test_run_in_the_foreground_and_one_in_the_background_share_the_jobs() -> None:
    run = fk.run_jobs("p", executor="threads", workers=2, background=True, progress=False)
    until(lambda: len(list(Path("started").iterdir())) == 2, "two jobs")
    threading.Timer(0.3, Path("go on").touch).start()
    other = fk.run_jobs("p", executor="threads", workers=2, progress=False)
    run.wait()
    assert run.completed + other.completed == 4
    assert len(fk.attempts_frame()) == len(fk.results_frame("p")) == 4


SCRIPT = """
import sys, time
from pathlib import Path
import foregsyte_kaggle as fk

@fk.pipeline("p")
def p(path):
    Path("started", path.name).touch()
    time.sleep(0 if path.stem == "0" else 1000)
    return {"name": path.name}

fk.bootstrap()
fk.register_jobs("inputs", "p")
run = fk.run_jobs("p", executor=sys.argv[1], workers=2, background=True, progress=False)
while run.completed < 1 or len(list(Path("started").iterdir())) < 3:
    time.sleep(0.01)
"""


@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_end_of_the_process_stops_it_and_that_is_recorded(
    begun: Path, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    monkeypatch.chdir(begun)
    make_inputs()
    Path("script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", executor],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with duckdb.connect("data/foregsyte.duckdb") as connection:
        assert connection.execute(
            "SELECT status::VARCHAR, count(*), max(interruptions) FROM jobs GROUP BY ALL ORDER BY 1"
        ).fetchall() == [("completed", 1, 0), ("pending", 3, 0)]
        assert connection.execute("SELECT ended_by, completed FROM runs").fetchall() == [
            ("stopped", 1)
        ]


DEFINE = """
@fk.pipeline('p')
def p(path):
    folder = path.parent.parent
    (folder / 'started' / path.name).touch()
    while not (folder / 'go on').exists():
        time.sleep(0.01)
    return {'name': path.name}
"""
CELLS = [
    "import os, time\nfrom pathlib import Path\nimport foregsyte_kaggle as fk\nfk.bootstrap();",
    DEFINE,
    "fk.register_jobs('inputs', 'p');",
]
POOL = (
    "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
    "pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn'))"
)


@pytest.fixture
def kernel(real_kernel: Any) -> Any:
    make_inputs()
    for cell in CELLS:
        real_kernel.run(cell)
    return real_kernel


@pytest.mark.parametrize("executor", ["'processes'", "'threads'", "pool"])
def test_stop_of_another_cell_does_not_hurt_it(kernel: Any, executor: str) -> None:
    kernel.run(POOL)
    kernel.run(f"run = fk.run_jobs('p', executor={executor}, workers=2, background=True)")
    until(lambda: len(list(Path("started").iterdir())) == 2, "two jobs")
    request = kernel.begin("Path('sleeping').touch()\ntime.sleep(1000)")
    until(Path("sleeping").exists, "the other cell")
    kernel.manager.interrupt_kernel()
    assert kernel.end(request)[1].startswith("KeyboardInterrupt")
    request = kernel.begin("Path('waiting').touch()\nrun.wait()")
    until(Path("waiting").exists, "the cell that waits")
    time.sleep(0.2)
    kernel.manager.interrupt_kernel()
    assert kernel.end(request)[1].startswith("KeyboardInterrupt")
    assert kernel.run("print(run.is_running)") == "True\n"
    kernel.run("Path('go on').touch()")
    printed = kernel.run("print(run.wait())")
    assert "<Run p: 4 completed, 0 failed, finished>" in printed
    outcomes = kernel.run("print(*fk.attempts_frame().outcome)")
    assert outcomes == "completed completed completed completed\n"


def test_restart_of_the_kernel_stops_it_and_that_is_recorded(kernel: Any) -> None:
    kernel.run("run = fk.run_jobs('p', workers=2, background=True)")
    until(lambda: len(list(Path("started").iterdir())) == 2, "two jobs")
    kernel.manager.shutdown_kernel(now=False)
    with duckdb.connect("data/foregsyte.duckdb") as connection:
        found = connection.execute("SELECT ended_by FROM runs").fetchall()
        assert found == [("stopped",)]
        found = connection.execute("SELECT DISTINCT status::VARCHAR, interruptions FROM jobs")
        assert found.fetchall() == [("pending", 0)]


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_interrupt_of_the_whole_group_does_not_reach_workers(kernel: Any) -> None:
    pid = int(kernel.run("print(os.getpid())"))
    kernel.run("run = fk.run_jobs('p', workers=2, background=True)")
    until(lambda: len(list(Path("started").iterdir())) == 2, "two jobs")
    os.killpg(os.getpgid(pid), signal.SIGINT)
    time.sleep(0.3)
    kernel.run("Path('go on').touch()")
    assert "<Run p: 4 completed, 0 failed, finished>" in kernel.run("print(run.wait())")
