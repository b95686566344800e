"""A run with a time limit ends by itself, with everything recorded or pending."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import deadlines
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.integration


def make_inputs(number: int) -> Path:
    folder = Path("inputs")
    folder.mkdir()
    for count in range(number):
        (folder / f"{count:03}.txt").write_text("x" * count)
    return folder


def plain(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    workspace.close()
    with duckdb.connect(str(workspace.directory / "data" / "foregsyte.duckdb")) as connection:
        found = connection.execute(query).fetchall()
    fk.bootstrap()
    return found


@pytest.mark.parametrize("executor", ["processes", "threads", "inline"])
def test_what_is_not_done_in_time_is_left_pending_and_the_next_run_goes_on(
    workspace: Workspace, executor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @fk.pipeline("p")
    def slow(path: Path) -> dict[str, Any]:
        time.sleep(0.1)
        return {"name": path.name}

    fk.register_jobs(make_inputs(200), "p")
    run = fk.run_jobs("p", executor=executor, workers=2, time_limit="2s", progress=False)
    assert run.ended_by == "time_limit"
    assert 0 < run.completed < 200
    assert run.left == 200 - run.completed
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == (
        f"foregsyte:   time is up (the time limit of 2 s): {run.left} left pending, run_jobs() goes on with them"
    )
    assert plain(
        workspace,
        "SELECT status::VARCHAR, count(*), max(attempts), max(interruptions) FROM jobs"
        " GROUP BY ALL ORDER BY 1",
    ) == [("completed", run.completed, 1, 0), ("pending", run.left, 0, 0)]
    assert plain(fk.bootstrap(), "SELECT ended_by FROM runs") == [("time_limit",)]
    again = fk.run_jobs("p", executor="threads", workers=32, progress=False)
    assert (again.completed, again.ended_by) == (run.left, "finished")
    assert len(fk.results_frame("p")) == 200


@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_job_that_still_works_when_time_is_up_is_pending_again(
    workspace: Workspace, executor: str
) -> None:
    @fk.pipeline("p")
    def waits(path: Path) -> None:
        while not (path.parent.parent / "go on").exists():
            time.sleep(0.01)

    fk.register_jobs(make_inputs(4), "p")
    begun = time.monotonic()
    run = fk.run_jobs("p", executor=executor, workers=2, time_limit=1.5, progress=False)
    assert time.monotonic() - begun < 30  # a watchdog, not a measure
    assert (run.ended_by, run.completed, run.failed, run.left) == ("time_limit", 0, 0, 4)
    Path("go on").touch()
    assert plain(
        workspace, "SELECT DISTINCT status::VARCHAR, attempts, interruptions FROM jobs"
    ) == [("pending", 0, 0)]
    assert plain(fk.bootstrap(), "SELECT count(*) FROM job_attempts") == [(0,)]
    again = fk.run_jobs("p", executor=executor, workers=2, progress=False)
    assert (again.completed, again.ended_by) == (4, "finished")


@pytest.mark.usefixtures("workspace")
def test_run_that_does_everything_in_time_is_finished() -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(20), "p")
    run = fk.run_jobs("p", executor="threads", time_limit="1h", progress=False)
    assert (run.ended_by, run.completed, run.left) == ("finished", 20, 0)


@pytest.mark.usefixtures("workspace")
def test_limit_of_jobs_is_told_as_such_also_with_a_limit_of_time() -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(20), "p")
    run = fk.run_jobs("p", executor="threads", limit=5, time_limit="1h", progress=False)
    assert (run.ended_by, run.completed, run.left) == ("limit", 5, 15)


@pytest.mark.usefixtures("workspace")
def test_session_that_is_nearly_over_begins_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(deadlines, "session_age_seconds", lambda: 12 * 3600 - 60.0)
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(3), "p")
    run = fk.run_jobs("p", executor="threads", progress=False)
    assert (run.ended_by, run.completed, run.left) == ("time_limit", 0, 3)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "foregsyte:   time is up (this session of Kaggle's ends 12 h after its start, and the reserve of 10 min is"
        " longer than what is left of it): 3 left pending, run_jobs() goes on with them"
    )
    run = fk.run_jobs("p", executor="threads", time_limit="1h", progress=False)
    assert (run.ended_by, run.completed, run.left) == ("time_limit", 0, 3)
    run = fk.run_jobs("p", executor="threads", reserve=0, progress=False)
    assert (run.ended_by, run.completed, run.left) == ("finished", 3, 0)


@pytest.mark.usefixtures("workspace")
def test_run_knows_from_earlier_ones_how_long_its_jobs_take() -> None:
    fk.pipeline("p")(lambda path: time.sleep(0.6))
    fk.register_jobs(make_inputs(4), "p")
    assert fk.run_jobs("p", executor="threads", limit=2, progress=False).completed == 2
    run = fk.run_jobs("p", executor="threads", time_limit=0.5, progress=False)
    assert (run.ended_by, run.completed, run.returned, run.left) == ("time_limit", 0, 0, 2)
    assert len(fk.attempts_frame()) == 2
