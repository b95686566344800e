"""Jobs that end, hang or damage the process they run in: each costs itself alone, with the reason."""

# ruff: noqa: ARG002 - a pipeline takes a path, also where it does not look at it

from __future__ import annotations

import ctypes
import datetime as dt
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.workspace import Workspace

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.usefixtures("workspace"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups"),
]

GONE_SECONDS = 10


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    print("about to crash", flush=True)
    ctypes.string_at(0)


def exit_at_once() -> None:
    print("about to exit")
    os._exit(3)


def abort() -> None:
    os.abort()


def use_all_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    held = []
    while True:
        held.append(bytearray(2**24))


def close_all_descriptors() -> None:
    os.closerange(0, 256)


def close_and_open_another() -> None:
    """What was the worker's pipe is a file of the user's then, which must stay as it is."""
    os.closerange(0, 256)
    for number in range(20):
        os.open(f"precious-{number}", os.O_CREAT | os.O_RDWR)
        os.pwrite(number, b"precious", 0)


ENDINGS: dict[str, tuple[Callable[[], None], str, str]] = {
    "SIGKILL": (
        kill_itself,
        "died",
        r"ended by SIGKILL while it ran this job: most likely .* memory",
    ),
    "SIGSEGV": (crash, "died", r"ended by SIGSEGV while it ran this job: a native library crashed"),
    "SIGABRT": (abort, "died", r"ended by SIGABRT while it ran this job: a native library gave up"),
    "exit": (exit_at_once, "died", r"ended with exit code 3 while it ran this job"),
    "descriptors closed": (close_all_descriptors, "died", r"a file descriptor was closed"),
    "descriptors taken": (close_and_open_another, "died", r"a file descriptor was closed"),
}


def add_jobs(count: int) -> None:
    fk.register_jobs(
        pd.DataFrame({"id": [str(number) for number in range(count)]}), "p", name="ids"
    )


def run(**options: Any) -> fk.Run:
    return fk.run_jobs("p", **{"workers": 2, "progress": False, **options})


def query(text: str) -> list[tuple[Any, ...]]:
    return list(fk.sql(text).itertuples(index=False, name=None))


def statuses() -> dict[str, int]:
    return dict(query("SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL"))


def assert_one_failed(count: int, failed: str, outcome: str, message: str) -> str:
    """All others are completed with one row each; return what the failed one printed."""
    assert statuses() == {"completed": count - 1, "failed": 1}
    ((name, kind, said, output),) = query(
        "SELECT input_path, outcome, a.error_message, a.output FROM job_attempts AS a"
        " JOIN jobs USING (job_id) WHERE outcome <> 'completed'"
    )
    assert (name, kind) == (failed, outcome)
    assert re.search(message, said), said
    assert query("SELECT count(*), count(DISTINCT job_id) FROM results.p") == [
        (count - 1, count - 1)
    ]
    assert query("SELECT count(*), count(DISTINCT job_id) FROM job_attempts") == [(count, count)]
    return "" if pd.isna(output) else str(output)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def assert_gone(*pids: int) -> None:
    until = time.monotonic() + GONE_SECONDS
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < until, f"still alive: {[pid for pid in pids if is_alive(pid)]}"
        time.sleep(0.02)


@pytest.mark.parametrize("how", ENDINGS)
def test_job_that_ends_its_process_fails_alone(how: str, workspace: Workspace) -> None:
    end, outcome, message = ENDINGS[how]

    @fk.pipeline("p")
    def ends(name: str) -> dict[str, Any]:
        print("job", name)
        if name == "4":
            end()
        return {"name": name}

    add_jobs(10)
    made = run()
    assert made.failures.keys() == {"WorkerDied"}
    output = assert_one_failed(10, "4", outcome, message)
    if how in {"SIGSEGV", "exit"}:
        assert output.startswith(f"job 4\nabout to {'crash' if how == 'SIGSEGV' else 'exit'}\n")
    if how == "SIGSEGV":
        assert "Fatal Python error: Segmentation fault" in output
    for file in workspace.directory.glob("precious-*"):
        assert file.read_text() == "precious"


@pytest.mark.parametrize("how", ENDINGS)
def test_job_that_ends_its_process_among_tiny_ones_fails_alone(how: str) -> None:
    end, outcome, message = ENDINGS[how]

    @fk.pipeline("p")
    def ends(name: str) -> dict[str, Any]:
        if name == "777":
            end()
        return {"name": name}

    add_jobs(1500)
    run()
    assert_one_failed(1500, "777", outcome, message)


def test_several_that_end_their_process_fail_each_for_itself() -> None:
    deadly = {str(number) for number in range(50, 1000, 200)}

    @fk.pipeline("p")
    def ends(name: str) -> dict[str, Any]:
        if name in deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"name": name}

    add_jobs(1000)
    assert run().failed == len(deadly)
    assert {
        name for (name,) in query("SELECT input_path FROM jobs WHERE status = 'failed'")
    } == deadly
    assert query("SELECT count(*), count(DISTINCT job_id) FROM results.p") == [(995, 995)]


@pytest.mark.parametrize("count", [6, 1500], ids=["alone", "among tiny ones"])
def test_job_that_takes_all_memory_fails_alone(count: int) -> None:
    failing = str(count // 2)

    @fk.pipeline("p")
    def takes(name: str) -> dict[str, Any]:
        if name == failing:
            use_all_memory()
        return {"name": name}

    add_jobs(count)
    assert run().failures.keys() == {"MemoryError"}
    assert_one_failed(count, failing, "failed", "MemoryError")


# Time limits


@pytest.mark.parametrize("count", [6, 600], ids=["alone", "among tiny ones"])
def test_job_that_hangs_is_killed_with_its_children(count: int, tmp_path: Path) -> None:
    """The child ignores signals and never returns, and the job waits for it in native code."""
    pids = tmp_path / "pids"

    @fk.pipeline("p")
    def hangs(name: str) -> dict[str, Any]:
        if name == "3":
            print("hanging")
            ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
            child = subprocess.Popen([sys.executable, "-c", f"{ignore}; time.sleep(1000)"])
            pids.write_text(f"{os.getpid()} {child.pid}")
            child.wait()
        return {"name": name}

    add_jobs(count)
    made = run(job_timeout=1.0)
    assert made.failures.keys() == {"JobTimeout"}
    output = assert_one_failed(count, "3", "timeout", r"longer than job_timeout=1 s and was killed")
    assert output == "hanging\n"
    assert_gone(*map(int, pids.read_text().split()))
    ((seconds,),) = query("SELECT duration_seconds FROM job_attempts WHERE outcome = 'timeout'")
    assert seconds >= 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_job_that_hangs_is_killed_with_children_that_have_a_session_of_their_own(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    child = (
        "import os, subprocess, sys, time;"
        "one = subprocess.Popen(['sleep', '1000'], start_new_session=True);"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {one.pid} ');"
        "time.sleep(1000)"
    )

    @fk.pipeline("p")
    def hangs(name: str) -> dict[str, Any]:
        if name == "3":
            command = [sys.executable, "-c", child, str(pids)]
            subprocess.run(command, start_new_session=True, check=False)
        return {"name": name}

    add_jobs(6)
    run(job_timeout=3.0)
    assert_one_failed(6, "3", "timeout", "was killed")
    assert_gone(*map(int, pids.read_text().split()))


@pytest.mark.parametrize("limit", ["0.5s", dt.timedelta(seconds=0.5)], ids=str)
def test_job_timeout_may_be_text_or_a_timedelta(limit: Any) -> None:
    @fk.pipeline("p")
    def hangs(name: str) -> dict[str, Any]:
        time.sleep(1000 if name == "1" else 0)
        return {"name": name}

    add_jobs(3)
    run(job_timeout=limit)
    assert_one_failed(3, "1", "timeout", "longer than job_timeout=0.5 s and was killed")


def test_loading_a_class_is_not_the_job_s_time() -> None:
    @fk.pipeline("p")
    class Slow:
        def __init__(self) -> None:
            time.sleep(1.5)

        def __call__(self, name: str) -> dict[str, Any]:
            return {"name": name}

    add_jobs(3)
    assert run(job_timeout=0.5, workers=1).completed == 3


def test_job_that_hangs_in_native_code_is_killed() -> None:
    """Without letting other threads of its process run."""

    @fk.pipeline("p")
    def hangs(name: str) -> dict[str, Any]:
        if name == "1":
            ctypes.PyDLL(None).sleep(1000)
        return {"name": name}

    add_jobs(4)
    run(job_timeout=1.0)
    assert_one_failed(4, "1", "timeout", "was killed")


def test_worker_that_is_stopped_does_not_hold_up_the_others() -> None:
    """Not even when more waits for it than its pipe holds."""

    @fk.pipeline("p")
    def stops(name: str) -> dict[str, Any]:
        if name.startswith("0"):
            os.kill(os.getpid(), signal.SIGSTOP)
        return {"size": len(name)}

    names = [f"{number}-{'x' * 200_000}" for number in range(12)]
    fk.register_jobs(pd.DataFrame({"id": names}), "p", name="ids")
    made = run(job_timeout=1.0)
    assert (made.completed, made.failed) == (11, 1)


# Before a job begins


def test_class_that_ends_its_process_when_built_ends_the_run_with_everything_pending() -> None:
    @fk.pipeline("p")
    class Deadly:
        def __init__(self) -> None:
            print("loading")
            os._exit(9)

        def __call__(self, name: str) -> None:
            raise AssertionError

    add_jobs(1000)
    said = "exit code 9 while it started or built the pipeline\nIt printed: loading"
    with pytest.raises(RunError, match=f"no job of p can begin: .* {said}"):
        run()
    assert statuses() == {"pending": 1000}
    assert query("SELECT count(*) FROM job_attempts") == [(0,)]
    assert query("SELECT max(attempts) FROM jobs") == [(0,)]


def test_params_that_end_the_process_when_built_fail_their_jobs_only() -> None:
    @fk.pipeline("p")
    class Model:
        def __init__(self, weights: str) -> None:
            if weights == "broken":
                os._exit(9)

        def __call__(self, name: str) -> dict[str, Any]:
            return {"name": name}

    weights = ["broken", "small", "small", "broken", "small", "large"]
    frame = pd.DataFrame({"id": [str(number) for number in range(6)], "weights": weights})
    fk.register_jobs(frame, "p", name="ids")
    run()
    assert query("SELECT input_path, status::VARCHAR FROM jobs ORDER BY position") == [
        (str(number), "failed" if kind == "broken" else "completed")
        for number, kind in enumerate(weights)
    ]


def test_class_that_raises_when_built_fails_each_job_with_the_reason() -> None:
    @fk.pipeline("p")
    class Broken:
        def __init__(self) -> None:
            raise OSError("no weights")

        def __call__(self, name: str) -> None:
            raise AssertionError

    add_jobs(3)
    assert run().failures == {"OSError": (3, "no weights")}


def test_python_that_cannot_start_ends_the_run_with_everything_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fk.pipeline("p")(print)
    add_jobs(3)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(RunError, match="a worker process cannot be started"):
        run()
    assert statuses() == {"pending": 3}


def test_worker_that_dies_idle_costs_no_job(tmp_path: Path) -> None:
    pid, go_on = tmp_path / "pid", tmp_path / "go on"

    @fk.pipeline("p")
    def leaves_a_bomb(name: str) -> dict[str, Any]:
        if name == "0":
            pid.write_text(str(os.getpid()))
            threading.Timer(0.3, os._exit, [1]).start()
        elif name == "1":
            while not go_on.exists():
                time.sleep(0.01)
        return {"name": name}

    add_jobs(2)
    ended: list[fk.Run] = []
    runner = threading.Thread(target=lambda: ended.append(run()))
    runner.start()
    while not pid.exists() or not pid.read_text():
        time.sleep(0.01)
    assert_gone(int(pid.read_text()))
    add_jobs(30)
    go_on.touch()
    runner.join(60)
    assert (ended[0].completed, ended[0].failed) == (30, 0)


# What jobs do to their streams


@pytest.mark.parametrize("way", ["close objects", "close descriptors", "replace", "redirect"])
def test_job_that_takes_its_streams_away_leaves_the_next_ones_theirs(
    way: str, tmp_path: Path
) -> None:
    @fk.pipeline("p")
    def prints(name: str) -> dict[str, Any]:
        print("line of", name)
        if name in {"2", "3"}:
            if way == "close objects":
                sys.stdout.close()
                sys.stderr.close()
            elif way == "close descriptors":
                os.close(1)
                os.close(2)
                for number in range(2):
                    (tmp_path / f"{name}-{number}").write_text("precious")
                    os.open(tmp_path / f"{name}-{number}", os.O_RDWR)
            elif way == "replace":
                sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as users do
            else:
                target = os.open(os.devnull, os.O_WRONLY)
                os.dup2(target, 1)
        return {"name": name}

    add_jobs(30)
    assert run().completed == 30
    found = dict(query("SELECT input_path, output FROM job_attempts JOIN jobs USING (job_id)"))
    assert found == {str(number): f"line of {number}\n" for number in range(30)}
    for file in tmp_path.glob("[23]-[01]"):
        assert file.read_text() == "precious"


def test_output_of_children_is_kept_too() -> None:
    @fk.pipeline("p")
    def calls(name: str) -> None:
        subprocess.run(["sh", "-c", f"echo child of {name}; echo and its error >&2"], check=True)

    add_jobs(2)
    run()
    assert sorted(fk.attempts_frame().output) == [
        "child of 0\nand its error\n",
        "child of 1\nand its error\n",
    ]


def test_job_that_prints_100_megabytes_keeps_the_end_and_no_disk_is_filled() -> None:
    @fk.pipeline("p")
    def prints(name: str) -> dict[str, Any]:
        line = "x" * 1023
        for _ in range(100):
            for _ in range(1024):
                print(line)
            time.sleep(0.005)
        print("the end")
        return {"blocks": os.fstat(2).st_blocks}

    add_jobs(1)
    assert run().completed == 1
    ((output,),) = query("SELECT output FROM job_attempts")
    assert len(output) == 8192
    assert output.endswith("x\nthe end\n")
    ((blocks,),) = query("SELECT blocks FROM results.p")
    assert blocks * 512 < 100 * 2**20


# What comes back


def test_result_that_cannot_be_read_here_fails_its_job_only() -> None:
    @fk.pipeline("p")
    def returns(name: str) -> dict[str, Any]:
        class Odd(dict):  # type: ignore[type-arg]
            def __reduce__(self) -> tuple[Any, ...]:
                return eval, ("1 / 0",)

        return {"name": Odd() if name == "7" else name}

    add_jobs(20)
    made = run()
    assert made.failures.keys() == {"ResultError"}
    assert_one_failed(
        20, "7", "failed", r"cannot be read in the notebook's process: ZeroDivisionError"
    )


def test_result_that_cannot_be_read_here_among_tiny_ones_fails_its_job_only() -> None:
    @fk.pipeline("p")
    def returns(name: str) -> dict[str, Any]:
        class Odd(dict):  # type: ignore[type-arg]
            def __reduce__(self) -> tuple[Any, ...]:
                return eval, ("1 / 0",)

        return {"name": Odd() if name == "700" else name}

    add_jobs(1500)
    run()
    assert_one_failed(1500, "700", "failed", "cannot be read")


def test_file_of_a_job_whose_result_cannot_travel_is_removed(workspace: Workspace) -> None:
    @fk.pipeline("p")
    def writes(name: str, job: fk.JobContext) -> dict[str, Any]:
        job.output_path("a.txt").write_text("x")
        return {"lock": threading.Lock() if name == "1" else 1}

    add_jobs(3)
    assert run().failed == 1
    assert len([path for path in workspace.outputs.rglob("*") if path.is_file()]) == 2


def test_file_that_a_dead_job_left_is_removed_by_the_next_run(workspace: Workspace) -> None:
    @fk.pipeline("p")
    def dies(name: str, job: fk.JobContext) -> None:
        job.output_path("a.txt").write_text("half")
        if job.attempt == 1:
            os._exit(1)

    add_jobs(1)
    run()
    fk.retry_jobs()
    assert run().completed == 1
    left = [path.name for path in workspace.outputs.rglob("*") if path.is_file()]
    assert left == [f"{query('SELECT job_id::VARCHAR FROM jobs')[0][0]}-a.txt"]


# Children that outlive their job's process


@pytest.mark.parametrize("how", ["in its group", "in a group of its own"])
def test_death_is_noticed_while_a_forked_child_holds_the_pipe(how: str, tmp_path: Path) -> None:
    """As the workers of a torch DataLoader do, when the system kills the process that forked them."""
    pids = tmp_path / "pid"

    @fk.pipeline("p")
    def forks(name: str) -> dict[str, Any]:
        if name == "1":
            child = os.fork()
            if not child:
                if how == "in a group of its own":
                    os.setsid()
                pids.write_text(str(os.getpid()))
                time.sleep(60)
                os._exit(0)
            while not pids.exists() or not pids.read_text():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"name": name}

    add_jobs(4)
    run()
    assert_one_failed(4, "1", "died", "SIGKILL")
    child = int(pids.read_text())
    if how == "in its group":
        assert_gone(child)
    elif is_alive(child):
        os.kill(child, signal.SIGKILL)


def test_workers_are_gone_when_the_run_is_over() -> None:
    @fk.pipeline("p")
    def where(name: str) -> dict[str, Any]:
        child = subprocess.Popen(["sleep", "1000"])
        return {"worker": os.getpid(), "child": child.pid}

    add_jobs(4)
    run()
    found = query("SELECT worker, child FROM results.p")
    assert_gone(*{pid for row in found for pid in row})
    assert not [
        pid
        for pid in os.listdir("/proc")
        if pid.isdigit() and is_alive(int(pid)) and parent_of(int(pid)) == os.getpid()
        and "foregsyte" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    ]  # fmt: skip


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
