"""A notebook's process that is stopped or killed in the middle of a run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import foregsyte_kaggle as fk

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("begun"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups"),
]

ROOT = Path(__file__).parents[2]
SHORT, LONG = 6, 6

# A cell that runs jobs, as the kernel would: the first are quick, the others wait for a file.
NOTEBOOK = """
import json, os, signal, sys, threading, time
from pathlib import Path

import foregsyte_kaggle as fk

executor, scene = sys.argv[1:]

# As a kernel does, whatever was inherited: a shell starts what runs in the background deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)
if scene == "many":  # so that a Stop that comes late, after the run, hurts nothing here
    signal.signal(signal.SIGINT, lambda *_: None)

if scene == "kill":  # note what was acknowledged, durably, after each commit
    from foregsyte_kaggle import loop
    record = loop.record_group

    def record_and_note(*args):
        written = record(*args)
        with open("acknowledged.txt", "a") as side:
            side.writelines(f"{e.job_id} {e.outcome.outcome}\\n" for e in written if e.final)
            side.flush()
            os.fsync(side.fileno())
        return written

    loop.record_group = record_and_note

@fk.pipeline("p")
def wait(path):
    Path("started", f"{path.stem}-{os.getpid()}").touch()
    number = int(path.stem)
    print("job", number)
    if "deaf" in scene:
        time.sleep(0.3)  # long enough that none waits behind another: a deaf worker gives nothing back
    while number >= SHORT and not Path("go on").exists():
        if "child" in scene:
            import subprocess
            child = subprocess.Popen(["sleep", "1000"], start_new_session="session" in scene)
            Path("started", f"child-{child.pid}").touch()
            if "deaf" not in scene:
                child.wait()
        if "deaf" in scene:  # in native code that lets no other thread of this process run
            import ctypes
            ctypes.PyDLL(None).sleep(1000)
        time.sleep(0.01)
    return {"number": number, "rows": [number] * 10}

@fk.pipeline("quick")
def quick(path):
    return [{"text": str(path) * 10}] * 2

fk.bootstrap()
if scene == "kill":
    import pandas as pd
    fk.register_jobs(pd.DataFrame({"id": [str(n) for n in range(20_000)]}), "quick", name="ids")
    print("running", flush=True)
    fk.run_jobs("quick", executor=executor, workers=2, progress=False)
    print("over", flush=True)
    sys.exit()
fk.register_jobs("inputs", "p")
try:
    print("running", flush=True)
    fk.run_jobs("p", executor=executor, workers=2, progress=False)
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
state = dict(fk.sql("SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL").itertuples(index=False, name=None))
print("state", json.dumps({key: int(value) for key, value in state.items()}), flush=True)
if scene == "again":
    Path("go on").touch()
    print(fk.run_jobs("p", executor=executor, workers=2, progress=False), flush=True)
""".replace("SHORT", str(SHORT))


class Kernel:
    """The process, in a group of its own as jupyter_client starts it."""

    def __init__(self, executor: str, scene: str) -> None:
        Path("started").mkdir()
        Path("inputs").mkdir()
        for number in range(SHORT + LONG):
            Path("inputs", f"{number:02}.txt").touch()
        Path("notebook.py").write_text(NOTEBOOK)
        self.process = subprocess.Popen(
            [sys.executable, "notebook.py", executor, scene],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Do what the notebook's Stop does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def output(self) -> str:
        out, _ = self.process.communicate(timeout=60)
        return out


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], Kernel]]:
    monkeypatch.chdir(tmp_path)
    kernels: list[Kernel] = []

    def start_kernel(executor: str, scene: str = "") -> Kernel:
        kernels.append(Kernel(executor, scene))
        return kernels[-1]

    yield start_kernel
    for kernel in kernels:
        kernel.process.kill()
        kernel.process.communicate()
    for pid in started_pids():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def started_pids(kind: str = "") -> set[int]:
    names = [path.name.partition("-") for path in Path("started").iterdir()]
    return {int(pid) for name, _, pid in names if not kind or name == kind}


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.01)


def started(number: int) -> bool:
    return any(path.name.startswith(f"{number:02}-") for path in Path("started").iterdir())


def long_jobs_run(many: int = 2) -> bool:
    return all(map(started, range(SHORT + many)))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def assert_gone(pids: set[int]) -> None:
    until(lambda: not any(map(is_alive, pids)), f"the end of {pids}", 15)


def plain(query: str) -> list[tuple[Any, ...]]:
    """Ask the ledger without this package."""
    with duckdb.connect("data/foregsyte.duckdb") as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("executor", ["processes", "threads", "inline"])
@pytest.mark.parametrize(
    "times", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)]
)
def test_stop_ends_the_run_and_keeps_what_finished(
    start: Callable[..., Kernel], executor: str, times: int
) -> None:
    kernel = start(executor, "many" if times > 1 else "")
    until(lambda: long_jobs_run(1 if executor == "inline" else 2), "long jobs")
    begun = time.monotonic()
    for _ in range(times):
        kernel.stop()
        time.sleep(0.05)
    out = kernel.output()
    took = time.monotonic() - begun
    assert "interrupted\n" in out, out
    assert "not interrupted" not in out
    assert "Traceback" not in out
    (state,) = [line.partition(" ")[2] for line in out.splitlines() if line.startswith("state ")]
    assert json.loads(state) == {"completed": SHORT, "pending": LONG}
    assert took < 30  # a watchdog, not a measure
    assert plain(
        "SELECT status::VARCHAR, count(*), max(attempts), max(interruptions) FROM jobs GROUP BY 1"
        " ORDER BY 1"
    ) == [("completed", SHORT, 1, 0), ("pending", LONG, 0, 0)]
    assert plain("SELECT count(*), count(DISTINCT job_id) FROM results.p") == [(SHORT, SHORT)]
    assert plain("SELECT count(*) FROM job_attempts") == [(SHORT,)]
    assert plain("SELECT ended_by, completed FROM runs") == [("stopped", SHORT)]
    if executor == "processes":
        assert_gone(started_pids())


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "threads", "inline"])
def test_run_after_a_stop_goes_on_where_it_stopped(
    start: Callable[..., Kernel], executor: str
) -> None:
    kernel = start(executor, "again")
    until(lambda: long_jobs_run(1), "a long job")
    kernel.stop()
    assert f"<Run p: {LONG} completed, 0 failed, finished>" in kernel.output()
    assert plain("SELECT count(*), count(DISTINCT job_id) FROM results.p") == [
        (SHORT + LONG, SHORT + LONG)
    ]
    assert plain("SELECT DISTINCT status::VARCHAR, attempts FROM jobs") == [("completed", 1)]


@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_kill_in_the_middle_of_commits_loses_nothing_acknowledged(
    start: Callable[..., Kernel], executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = start(executor, "kill")
    side = Path("acknowledged.txt")
    until(lambda: side.exists() and side.stat().st_size > 200_000, "acknowledged jobs")
    os.kill(kernel.process.pid, signal.SIGKILL)
    out = kernel.output()
    assert "over" not in out, "the run was over before it was killed: register more jobs"
    log = Path("data/foregsyte.duckdb.wal")
    assert log.stat().st_size > 0, "nothing was in the write-ahead log: the test shows nothing"
    lines = side.read_text().rpartition("\n")[0].splitlines()
    acknowledged = {tuple(line.split()) for line in lines}
    assert len(acknowledged) == len(lines) > 1000

    found = {
        (str(job_id), outcome)
        for job_id, outcome in plain("SELECT job_id, outcome FROM job_attempts")
    }
    assert acknowledged <= found, f"{len(acknowledged - found)} acknowledged jobs are lost"
    completed = {str(row[0]) for row in plain("SELECT job_id FROM jobs WHERE status = 'completed'")}
    assert {job_id for job_id, outcome in acknowledged if outcome == "completed"} <= completed
    rows = dict(plain("SELECT job_id::VARCHAR, count(*) FROM results.quick GROUP BY 1"))
    assert rows == dict.fromkeys(completed, 2), (
        "each completed job has its two rows, and no other has any"
    )

    monkeypatch.setattr("foregsyte_kaggle.opening.say", lambda _message: None)
    workspace = fk.bootstrap()
    states = dict(plain_of(workspace, "SELECT status::VARCHAR, count(*) FROM jobs GROUP BY 1"))
    assert states == {"completed": len(completed), "pending": 20_000 - len(completed)}
    interrupted = plain_of(workspace, "SELECT count(*) FROM jobs WHERE interruptions > 0")[0][0]
    assert interrupted < 20_000 - len(completed)
    assert plain_of(workspace, "SELECT ended_by FROM runs") == [("died",)]


def plain_of(workspace: fk.Workspace, query: str) -> list[tuple[Any, ...]]:
    with workspace.database.reading() as cursor:
        return cursor.execute(query).fetchall()


SCENES = ["", "deaf", "child"]
if sys.platform == "linux":
    SCENES += ["child with a session", "deaf, child with a session"]


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_workers_die_with_the_kernel(start: Callable[..., Kernel], scene: str) -> None:
    """Those in native code too, and what their jobs started."""
    kernel = start("processes", scene)
    until(long_jobs_run, "long jobs")
    if "child" in scene:
        until(lambda: len(started_pids("child")) == 2, "children of the jobs")
    os.kill(kernel.process.pid, signal.SIGKILL)
    kernel.output()
    assert_gone(started_pids())
    assert plain("SELECT count(*) FROM jobs WHERE status = 'running'") != [(0,)]


def test_bootstrap_after_a_kill_leaves_no_job_running_and_the_rest_is_done(
    start: Callable[..., Kernel],
) -> None:
    kernel = start("processes")
    until(long_jobs_run, "long jobs")
    time.sleep(2)  # let what finished be recorded
    os.kill(kernel.process.pid, signal.SIGKILL)
    kernel.output()
    fk.bootstrap()
    jobs = fk.jobs_frame()
    assert jobs.status.to_list() == ["completed"] * SHORT + ["pending"] * LONG
    assert set(jobs.interruptions[:SHORT]) == {0}
    assert jobs.interruptions[SHORT : SHORT + 2].to_list() == [1, 1]
    outcomes = fk.attempts_frame().outcome.to_list()
    assert outcomes.count("completed") == SHORT
    assert outcomes.count("interrupted") == jobs.interruptions.sum()
    fk.pipeline("p")(lambda path: {"number": int(path.stem), "rows": [0]})
    made = fk.run_jobs("p", executor="threads", progress=False)
    assert made.completed == LONG
    assert sorted(fk.results_frame("p").number) == list(range(SHORT + LONG))


# A real kernel


@pytest.fixture
def kernel(real_kernel: Any) -> Iterator[Any]:
    Path("started").mkdir()
    Path("inputs").mkdir()
    for number in range(SHORT + LONG):
        Path("inputs", f"{number:02}.txt").touch()
    yield real_kernel
    real_kernel.shut_down()
    assert_gone(started_pids())


CELLS = [
    "import os, time, threading\nfrom pathlib import Path\nimport foregsyte_kaggle as fk\nfk.bootstrap();",
    """
FACTOR = 10

class Tally(dict):
    def row(self, path):
        return {"number": int(path.stem) * FACTOR, "pid": os.getpid()}

@fk.pipeline("p")
def work(path, job):
    Path("started", f"{path.stem}-{os.getpid()}").touch()
    print("printed by", path.stem)
    job.progress(0.5)
    while int(path.stem) >= 6 and not Path("go on").exists():
        time.sleep(0.01)
    return Tally().row(path)
""",
    "fk.register_jobs('inputs', 'p')",
]


def test_pipeline_of_a_cell_runs_in_processes_and_its_prints_are_kept(kernel: Any) -> None:
    for cell in CELLS:
        kernel.run(cell)
    kernel.run("Path('go on').touch()")
    printed = kernel.run("run = fk.run_jobs('p')")
    assert "p: 12 completed" in printed
    assert "printed by" not in printed
    assert kernel.run("print(sorted(fk.results_frame('p').number.to_list()))").split() == str(
        [10 * number for number in range(12)]
    ).split()  # fmt: skip
    assert kernel.run("print(os.getpid() in set(fk.results_frame('p').pid))") == "False\n"
    assert kernel.run("print(*sorted(fk.attempts_frame().output), sep='', end='')") == "".join(
        sorted(f"printed by {number:02}\n" for number in range(12))
    )


@pytest.mark.parametrize("executor", ["processes", "threads", "inline"])
def test_kernel_s_interrupt_ends_the_run_and_the_next_cell_goes_on(
    kernel: Any, executor: str
) -> None:
    for cell in CELLS:
        kernel.run(cell)
    request = kernel.begin(f"fk.run_jobs('p', executor={executor!r}, workers=2)")
    until(lambda: long_jobs_run(1), "a long job")
    kernel.manager.interrupt_kernel()
    printed, error = kernel.end(request)
    assert error == "KeyboardInterrupt: "
    assert f"p: {SHORT} completed, " in printed
    assert "back to pending" in printed
    state = "fk.sql('SELECT status::VARCHAR AS s, count(*) AS n FROM jobs GROUP BY ALL ORDER BY 1')"
    assert kernel.run(f"print({state}.to_dict('records'))").split("'s': ")[1:] == [
        "'completed', 'n': 6}, {",
        "'pending', 'n': 6}]\n",
    ]
    if executor == "processes":
        assert_gone(started_pids())
    kernel.run("Path('go on').touch()")
    assert "6 completed" in kernel.run(f"fk.run_jobs('p', executor={executor!r})")


def test_interrupt_of_an_awaiting_cell_ends_the_run_too(kernel: Any) -> None:
    """There ipykernel takes the signal in a way that would wait for the run's end."""
    for cell in CELLS:
        kernel.run(cell)
    request = kernel.begin("import asyncio\nawait asyncio.sleep(0)\nfk.run_jobs('p', workers=2)")
    until(lambda: long_jobs_run(1), "a long job")
    kernel.manager.interrupt_kernel()
    printed, error = kernel.end(request)
    assert error.startswith(("KeyboardInterrupt", "CancelledError"))
    assert f"p: {SHORT} completed, " in printed
