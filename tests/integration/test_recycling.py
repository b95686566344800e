"""Workers that are replaced after so many jobs: nothing is lost, and nobody is blamed."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.worker import JobContext

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.usefixtures("workspace"),
]


def add_jobs(count: int) -> None:
    names = [str(number) for number in range(count)]
    fk.register_jobs(pd.DataFrame({"id": names}), "p", name="ids")


def run(**options: Any) -> fk.Run:
    return fk.run_jobs("p", **{"workers": 2, "progress": False, **options})


def query(text: str) -> list[tuple[Any, ...]]:
    return list(fk.sql(text).itertuples(index=False, name=None))


def assert_each_job_has_one_attempt(count: int, outcome: str = "completed") -> None:
    assert query(
        "SELECT count(*), count(DISTINCT job_id), min(attempt), max(attempt) FROM job_attempts"
    ) == [(count, count, 1, 1)]
    assert query("SELECT DISTINCT outcome FROM job_attempts") == [(outcome,)]


def jobs_of_each_process() -> list[int]:
    found = query("SELECT worker, count(*) FROM job_attempts GROUP BY worker")
    return sorted(count for _, count in found)


@pytest.mark.parametrize(
    ("count", "recycle_after"), [(7, 1), (12, 3), (60, 7)], ids=["each", "few", "odd"]
)
@pytest.mark.parametrize("seconds", [0.0, 0.02], ids=["tiny", "longer"])
def test_process_runs_exactly_so_many_jobs(count: int, recycle_after: int, seconds: float) -> None:
    """Tiny jobs travel in chunks that are larger than that."""

    @fk.pipeline("p")
    def shows(name: str) -> dict[str, Any]:
        time.sleep(seconds)
        return {"pid": os.getpid()}

    add_jobs(count)
    made = run(workers=1, recycle_after=recycle_after)
    assert (made.completed, made.failed, made.returned) == (count, 0, 0)
    assert_each_job_has_one_attempt(count)
    full, rest = divmod(count, recycle_after)
    assert jobs_of_each_process() == sorted([recycle_after] * full + [rest] * bool(rest))
    assert query("SELECT count(DISTINCT pid) FROM results.p") == [(full + bool(rest),)]


def test_no_process_runs_more_where_several_run_at_once() -> None:
    @fk.pipeline("p")
    def shows(name: str) -> dict[str, Any]:
        return {"name": name}

    add_jobs(300)
    made = run(recycle_after=40)
    assert (made.completed, made.failed) == (300, 0)
    assert_each_job_has_one_attempt(300)
    counts = jobs_of_each_process()
    assert max(counts) <= 40
    assert len(counts) >= 8
    assert query("SELECT count(*), count(DISTINCT name) FROM results.p") == [(300, 300)]


def test_jobs_that_fail_count_too_and_fail_for_their_own_reason() -> None:
    @fk.pipeline("p")
    def fails(name: str) -> None:
        raise ValueError("bad")

    add_jobs(10)
    made = run(workers=1, recycle_after=4)
    assert (made.completed, made.failed) == (0, 10)
    assert_each_job_has_one_attempt(10, "failed")
    assert query("SELECT DISTINCT error_message FROM job_attempts") == [("bad",)]
    assert jobs_of_each_process() == [2, 4, 4]


def test_library_that_leaks_does_not_fill_the_memory() -> None:
    """With so many jobs in one process, the last would find all that the others left."""
    module = Path("leaky.py")
    module.write_text("leaked = []\n")
    sys.path.insert(0, str(Path.cwd()))
    try:

        @fk.pipeline("p")
        def leaks(name: str) -> dict[str, Any]:
            import leaky  # type: ignore[import-not-found]

            leaky.leaked.append(name)
            return {"left": len(leaky.leaked)}

        add_jobs(50)
        assert run(recycle_after=5).completed == 50
        ((most,),) = query('SELECT max("left") FROM results.p')
        assert most == 5
        fk.retry_jobs(status="completed")
        assert run(workers=1).completed == 50
        ((most,),) = query('SELECT max("left") FROM results.p')
        assert most == 50, "without it, a process is never replaced"
    finally:
        sys.path.remove(str(Path.cwd()))


def test_class_is_built_again_in_each_new_process(tmp_path: Path) -> None:
    log = tmp_path / "log"

    @fk.pipeline("p")
    class Model:
        def __init__(self) -> None:
            with log.open("a") as file:
                file.write("built\n")

        def __call__(self, name: str) -> None:
            pass

    add_jobs(9)
    assert run(workers=1, recycle_after=3).completed == 9
    # One more, where a chunk came to a process that was about to end.
    assert log.read_text().count("built") in {3, 4}


def test_new_process_gets_the_device_of_the_one_before() -> None:
    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        time.sleep(0.02)
        return {"device": job.device, "pid": os.getpid()}

    add_jobs(40)
    assert run(recycle_after=2, devices=[0, 1]).completed == 40
    found = dict(query("SELECT device, count(DISTINCT pid) FROM results.p GROUP BY device"))
    assert set(found) == {"0", "1"}
    assert min(found.values()) >= 3, "the new processes crowd on one device"


def test_batch_is_cut_where_the_process_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"

    @fk.pipeline("p", batch_size=4)
    def batch(names: list[str]) -> list[dict[str, Any]]:
        with log.open("a") as file:
            file.write(f"{len(names)}\n")
        return [{"name": name} for name in names]

    add_jobs(20)
    assert run(workers=1, recycle_after=10).completed == 20
    assert_each_job_has_one_attempt(20)
    assert jobs_of_each_process() == [10, 10]
    assert log.read_text().split() == ["4", "4", "2"] * 2


def test_worker_that_dies_is_blamed_also_where_workers_are_replaced() -> None:
    @fk.pipeline("p")
    def dies(name: str) -> dict[str, Any]:
        if name == "5":
            os._exit(3)
        return {"name": name}

    add_jobs(12)
    made = run(workers=1, recycle_after=3)
    assert (made.completed, made.failed) == (11, 1)
    assert query("SELECT outcome, count(*) FROM job_attempts GROUP BY outcome ORDER BY 1") == [
        ("completed", 11),
        ("died", 1),
    ]


@pytest.mark.parametrize("executor", ["threads", "inline", "ThreadPoolExecutor"])
def test_only_processes_are_replaced(executor: str) -> None:
    fk.pipeline("p")(lambda name: None)
    add_jobs(1)
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(InvalidArgumentError, match="recycle_after=5 needs executor='processes'"),
    ):
        run(executor=pool if executor == "ThreadPoolExecutor" else executor, recycle_after=5)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "5"])
def test_number_of_jobs_is_whole_and_from_1(value: Any) -> None:
    fk.pipeline("p")(lambda name: None)
    add_jobs(1)
    with pytest.raises(InvalidArgumentError, match=r"recycle_after=.*; expected a whole number"):
        run(recycle_after=value)
