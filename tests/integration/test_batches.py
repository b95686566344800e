"""Batch pipelines: a list of inputs in one call, and only the bad one fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.worker import PARTIAL_FOLDER, JobContext
from foregsyte_kaggle.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("workspace")]

EXECUTORS = (
    "processes",
    "threads",
    # These differ by their Python and not by what is installed.
    pytest.param("inline", marks=pytest.mark.slow),
    pytest.param("ThreadPoolExecutor", marks=pytest.mark.slow),
    pytest.param("ProcessPoolExecutor", marks=pytest.mark.slow),
)
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[str | Executor]:
    if request.param == "ThreadPoolExecutor":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    elif request.param == "ProcessPoolExecutor":
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    else:
        yield request.param


def add_jobs(*names: str, **params: Any) -> None:
    fk.register_jobs(pd.DataFrame({"id": names}), "p", name="ids", params=params or None)


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def run(**options: Any) -> fk.Run:
    return fk.run_jobs("p", **{"workers": 2, "progress": False, **options})


def query(text: str) -> list[tuple[Any, ...]]:
    return list(fk.sql(text).itertuples(index=False, name=None))


def attempts() -> dict[str, tuple[Any, ...]]:
    """Each job's attempt, by its input; fails where one has several."""
    found = query(
        "SELECT input_path, outcome, a.error_message, a.output FROM job_attempts AS a"
        " JOIN jobs USING (job_id)"
    )
    assert len(found) == len({name for name, *_ in found}), "a job has more than one attempt"
    return {name: tuple(None if pd.isna(one) else one for one in rest) for name, *rest in found}


def calls(log: Path) -> list[list[str]]:
    """Which inputs each call got, where the pipeline notes them."""
    return [line.split() for line in log.read_text().splitlines()]


def test_each_call_gets_up_to_the_batch_size(executor: str | Executor, tmp_path: Path) -> None:
    log = tmp_path / "log"

    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str], scale: int = 1) -> list[dict[str, Any]]:
        with log.open("a") as file:
            file.write(" ".join(names) + "\n")
        return [{"value": int(name) * scale} for name in names]

    add_jobs(*numbers(10), scale=3)
    made = run(executor=executor)
    assert (made.completed, made.failed) == (10, 0)
    rows = query("SELECT input_path, value FROM results.p JOIN jobs USING (job_id)")
    assert sorted(rows) == sorted((name, int(name) * 3) for name in numbers(10))
    assert sorted(calls(log)) == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9"]]
    assert {outcome for outcome, *_ in attempts().values()} == {"completed"}


def test_bad_input_in_the_middle_of_a_batch_fails_alone(
    executor: str | Executor, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    @fk.pipeline("p", batch_size=8)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        with log.open("a") as file:
            file.write(" ".join(names) + "\n")
        print("got", *names)
        if "3" in names:
            raise ValueError("3 is bad")
        return [{"name": name, "pid": os.getpid()} for name in names]

    add_jobs(*numbers(8))
    made = run(executor=executor)
    assert (made.completed, made.failed) == (7, 1)
    assert calls(log) == [numbers(8), *([name] for name in numbers(8))]
    expected: dict[str, tuple[Any, ...]] = {
        name: ("completed", None, f"got {name}\n") for name in numbers(8)
    }
    expected["3"] = ("failed", "3 is bad", "got 3\n")
    assert attempts() == expected
    assert query("SELECT count(DISTINCT pid) FROM results.p") == [(1,)], "another worker took over"


def test_wrong_length_fails_as_if_it_raised(executor: str | Executor) -> None:
    @fk.pipeline("p", batch_size=8)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        return [{"name": name} for name in names if name != "2"]

    add_jobs(*numbers(5))
    made = run(executor=executor)
    assert (made.completed, made.failed) == (4, 1)
    outcome, message, _ = attempts()["2"]
    assert outcome == "failed"
    assert message.startswith(
        "the batch pipeline returned a list of length 0 for 1 input; expected"
    )


def test_items_are_all_that_a_pipeline_may_return(executor: str | Executor) -> None:
    @fk.pipeline("p", batch_size=5)
    def batch(names: list[str]) -> list[Any]:
        made = {
            "0": None,
            "1": {"n": 1},
            "2": [{"n": 2}, {"n": 3}],
            "3": pd.DataFrame({"n": [4]}),
            "4": pa.table({"n": [5, 6, 7]}),
        }
        return [made[name] for name in names]

    add_jobs(*numbers(5))
    assert run(executor=executor).completed == 5
    rows = query("SELECT input_path, n FROM results.p JOIN jobs USING (job_id) ORDER BY n")
    assert rows == [("1", 1), ("2", 2), ("2", 3), ("3", 4), ("4", 5), ("4", 6), ("4", 7)]


def test_only_jobs_with_the_same_params_travel_together(
    executor: str | Executor, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str], size: int) -> list[dict[str, Any]]:
        with log.open("a") as file:
            file.write(" ".join(f"{name}:{size}" for name in names) + "\n")
        return [{"size": size} for _ in names]

    frame = pd.DataFrame({"id": numbers(8), "size": [1, 2] * 4})
    fk.register_jobs(frame, "p", name="ids")
    assert run(executor=executor).completed == 8
    sizes = [[name.partition(":")[2] for name in call] for call in calls(log)]
    assert all(len(set(one)) == 1 for one in sizes)
    assert max(map(len, sizes)) > 1, "jobs with other params between them keep jobs apart"


def test_class_pipeline_is_built_once_and_gets_lists(executor: str | Executor) -> None:
    @fk.pipeline("p", batch_size=3)
    class Model:
        def __init__(self, weights: str) -> None:
            self.weights = weights
            self.calls = 0

        def __call__(self, names: list[str], threshold: float) -> list[dict[str, Any]]:
            self.calls += 1
            return [
                {"weights": self.weights, "threshold": threshold, "inputs": len(names)}
                for _ in names
            ]

    add_jobs(*numbers(6), weights="large", threshold=0.5)
    assert run(executor=executor).completed == 6
    assert query("SELECT DISTINCT weights, threshold, inputs FROM results.p") == [("large", 0.5, 3)]


def test_files_of_a_batch_are_kept_for_each_job_and_dropped_where_it_raised(
    executor: str | Executor, workspace: Workspace
) -> None:
    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str], job: list[JobContext]) -> list[None]:
        for one in job:
            one.output_path("a.txt").write_text(f"{one.input_path} of {len(names)}")
            if len(names) > 1:
                one.output_path("only-in-the-batch.txt").write_text("x")
        if "1" in names:
            raise ValueError("bad")
        return [None] * len(names)

    add_jobs(*numbers(8))
    made = run(executor=executor, workers=1)
    assert (made.completed, made.failed) == (7, 1)
    files = sorted(file.read_text() for file in (workspace.outputs / "p").glob("*-a.txt"))
    assert files == ["0 of 1", "2 of 1", "3 of 1", *(f"{name} of 4" for name in "4567")]
    assert len(list((workspace.outputs / "p").glob("*-only-in-the-batch.txt"))) == 4
    assert not (workspace.outputs / "p" / PARTIAL_FOLDER).exists()


def test_what_a_batch_printed_is_kept_with_its_first_job() -> None:
    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str]) -> list[None]:
        print("all of", *names)
        return [None] * len(names)

    add_jobs(*numbers(4))
    run(executor="inline")
    assert {name: printed for name, (*_, printed) in attempts().items()} == {
        "0": "all of 0 1 2 3\n",
        "1": None,
        "2": None,
        "3": None,
    }


def test_retried_job_travels_alone(executor: str | Executor, tmp_path: Path) -> None:
    log = tmp_path / "log"

    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str], job: list[JobContext]) -> list[dict[str, Any]]:
        with log.open("a") as file:
            file.write(" ".join(f"{one.input_path}:{one.attempt}" for one in job) + "\n")
        if any(one.attempt == 1 for one in job if one.input_path in {"1", "2"}):
            raise ValueError("not yet")
        return [{"name": name} for name in names]

    add_jobs(*numbers(4))
    made = run(executor=executor, workers=1, max_attempts=2)
    assert (made.completed, made.failed) == (4, 0)
    first = [["0:1", "1:1", "2:1", "3:1"], ["0:1"], ["1:1"], ["2:1"], ["3:1"]]
    assert calls(log)[:5] == first
    assert sorted(calls(log)[5:]) == [["1:2"], ["2:2"]]


@needs_signals
@pytest.mark.parametrize("raises_too", [False, True])
def test_job_that_ends_its_process_in_a_batch_fails_alone(raises_too: bool) -> None:
    """Also while the jobs of a batch that raised are tried one by one."""

    @fk.pipeline("p", batch_size=6)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        if raises_too and len(names) > 1:
            raise ValueError("one by one")
        if "4" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        return [{"name": name} for name in names]

    add_jobs(*numbers(12))
    made = run(workers=1)
    assert (made.completed, made.failed) == (11, 1)
    outcome, message, _ = attempts()["4"]
    assert outcome == "died"
    assert "ended by SIGKILL while it ran this job" in message
    assert query("SELECT count(*), count(DISTINCT job_id) FROM results.p") == [(11, 11)]


@needs_signals
def test_batch_that_takes_its_streams_away_and_raises_is_tried_one_by_one() -> None:
    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        if len(names) > 1:
            os.close(1)
            os.close(2)
            raise ValueError("and no streams")
        return [{"name": name} for name in names]

    add_jobs(*numbers(8))
    made = run()
    assert (made.completed, made.failed) == (8, 0)
    assert len(attempts()) == 8


@needs_signals
def test_job_that_hangs_in_a_batch_fails_alone() -> None:
    @fk.pipeline("p", batch_size=3)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        if "1" in names:
            time.sleep(600)
        return [{"name": name} for name in names]

    add_jobs(*numbers(3))
    made = run(job_timeout=0.5)
    assert (made.completed, made.failed) == (2, 1)
    outcome, message, _ = attempts()["1"]
    assert (outcome, message) == (
        "timeout",
        "it took longer than job_timeout=0.5 s and was killed",
    )


@needs_signals
def test_job_that_hangs_by_itself_after_its_batch_raised_fails_alone() -> None:
    @fk.pipeline("p", batch_size=3)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        if len(names) > 1:
            raise ValueError("one by one")
        if "1" in names:
            time.sleep(600)
        return [{"name": name} for name in names]

    add_jobs(*numbers(3))
    made = run(job_timeout=1.0)
    assert (made.completed, made.failed) == (2, 1)
    assert attempts()["1"][0] == "timeout"


@needs_signals
def test_batch_may_take_the_time_of_all_its_jobs_and_each_of_them_its_own_afterwards() -> None:
    """It takes 3 of 4 times the limit; then each takes half of it, together more than once."""

    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        if len(names) > 1:
            time.sleep(3.0)
            raise ValueError("one by one")
        time.sleep(0.5)
        return [{"name": name} for name in names]

    add_jobs(*numbers(4))
    made = run(job_timeout=1.0)
    assert (made.completed, made.failed) == (4, 0)
    assert {outcome for outcome, *_ in attempts().values()} == {"completed"}


def test_progress_of_each_job_in_a_batch_is_known(tmp_path: Path) -> None:
    @fk.pipeline("p", batch_size=2)
    def batch(names: list[str], job: list[JobContext]) -> list[None]:
        job[0].progress(0.25)
        job[1].progress(0.75)
        until = time.monotonic() + 60
        while not (tmp_path / "seen").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        return [None] * len(names)

    add_jobs(*numbers(2))
    runner = threading.Thread(target=run)
    runner.start()
    until = time.monotonic() + 60
    found: list[float] = []
    while found != [0.25, 0.75] and time.monotonic() < until:
        found = [one for (one,) in query("SELECT progress FROM jobs ORDER BY position")]
        time.sleep(0.05)
    (tmp_path / "seen").touch()
    runner.join(60)
    assert found == [0.25, 0.75]


@pytest.mark.parametrize("executor_name", ["processes", "threads"])
def test_batch_that_waits_behind_a_long_one_goes_elsewhere(
    executor_name: str, tmp_path: Path
) -> None:
    """The long one waits until all others are done."""
    done = tmp_path / "done"
    done.mkdir()

    @fk.pipeline("p", batch_size=5)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        for name in names:
            (done / name).touch()
        until = time.monotonic() + 60
        while "30" in names and len(list(done.iterdir())) < 100:
            assert time.monotonic() < until
            time.sleep(0.01)
        return [{"name": name} for name in names]

    add_jobs(*numbers(100))
    assert run(executor=executor_name).completed == 100
    assert query("SELECT count(*), count(DISTINCT name) FROM results.p") == [(100, 100)]
    assert len(attempts()) == 100


def test_thread_that_a_failure_left_behind_tries_no_further_job_by_itself(tmp_path: Path) -> None:
    """With on_error="raise" the run ends while another thread tries its batch one by one."""
    tried = tmp_path / "tried"
    tried.mkdir()
    over = threading.Event()

    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        if len(names) > 1:
            raise ValueError("one by one")
        (tried / names[0]).touch()
        if names == ["0"]:
            until = time.monotonic() + 60
            while not (tried / "4").exists() and time.monotonic() < until:
                time.sleep(0.01)
            over.wait(60)
        if names == ["4"]:
            raise ValueError("the one that ends the run")
        return [{"name": names[0]}]

    add_jobs(*numbers(8))
    with pytest.raises(RunError, match="the one that ends the run"):
        run(executor="threads", on_error="raise")
    over.set()
    until = time.monotonic() + 10
    while any(one.name.startswith("foregsyte-") for one in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert not [name for name in ("1", "2", "3") if (tried / name).exists()]


@pytest.mark.parametrize("executor_name", ["processes", "threads"])
def test_batch_underway_when_the_run_ends_is_pending_again(
    executor_name: str, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        if "0" in names:
            begun.touch()
            time.sleep(20)
        until = time.monotonic() + 60
        while not begun.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        raise ValueError("bad")

    add_jobs(*numbers(12))
    with pytest.raises(RunError, match="failed: ValueError: bad"):
        run(executor=executor_name, on_error="raise")
    states = dict(query("SELECT input_path, status::VARCHAR FROM jobs"))
    assert {states[name] for name in "0123"} == {"pending"}
    assert "failed" in states.values()
    assert "running" not in states.values()
    assert set(attempts()) == {name for name, state in states.items() if state != "pending"}
