"""Files that pipelines write to ``data/outputs``: those of completed jobs are there, and no others."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("workspace")]

EXECUTORS = ["processes", "threads", "inline"]


class Unreadable(dict):  # type: ignore[type-arg]
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1 / 0",)


def add_jobs(count: int) -> None:
    names = [str(number) for number in range(count)]
    fk.register_jobs(pd.DataFrame({"id": names}), "p", name="ids")


def run(**options: Any) -> fk.Run:
    return fk.run_jobs("p", **{"workers": 1, "progress": False, **options})


def files(workspace: Workspace) -> set[str]:
    """Return those that are there, as the ledger writes them."""
    root = workspace.directory
    found = workspace.outputs.rglob("*")
    return {path.relative_to(root).as_posix() for path in found if path.is_file()}


def recorded(column: str = "output_path") -> set[str]:
    return set(fk.sql(f"SELECT {column} FROM jobs WHERE {column} IS NOT NULL")[column])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("max_attempts", [1, 2])
def test_file_of_a_job_whose_result_does_not_fit_the_schema_is_removed(
    workspace: Workspace, executor: str, max_attempts: int
) -> None:
    @fk.pipeline("p", schema={"size": int})
    def writes(name: str, job: fk.JobContext) -> dict[str, Any]:
        job.output_path("a.txt").write_text(name)
        return {"size": "no number" if name == "1" else 1}

    add_jobs(3)
    assert run(executor=executor, max_attempts=max_attempts).failed == 1
    assert files(workspace) == recorded()
    assert len(recorded()) == 2
    attempts = fk.attempts_frame()
    assert attempts[attempts.outcome == "failed"].output_paths.isna().all()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_file_of_a_job_whose_result_cannot_be_stored_is_removed(
    workspace: Workspace, executor: str
) -> None:
    @fk.pipeline("p")
    def writes(name: str, job: fk.JobContext) -> dict[str, Any]:
        job.output_path("a.txt").write_text(name)
        return {"job_id": 1} if name == "1" else {"size": 1}

    add_jobs(3)
    assert run(executor=executor).failed == 1
    assert files(workspace) == recorded()
    assert len(recorded()) == 2


@pytest.mark.parametrize("seconds", [0.0, 0.3], ids=["quick", "slow"])
def test_file_of_a_job_whose_result_cannot_be_read_here_is_removed(
    workspace: Workspace, seconds: float
) -> None:
    @fk.pipeline("p")
    def writes(name: str, job: fk.JobContext) -> dict[str, Any]:
        job.output_path("a.txt").write_text(name)
        time.sleep(seconds if int(name) < 6 else 0.0)
        return {"name": Unreadable() if name in {"3", "20"} else name}

    add_jobs(40)
    assert run().failed == 2
    assert files(workspace) == recorded()
    assert len(recorded()) == 38


def test_no_file_is_removed_before_the_failure_is_in_the_ledger(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    @fk.pipeline("p", schema={"size": int})
    def writes(name: str, job: fk.JobContext) -> dict[str, Any]:
        job.output_path("a.txt").write_text(name)
        return {"size": 1 if job.attempt == 1 else "no number"}

    def full(*_args: Any, **_options: Any) -> None:
        raise LedgerError("no space left")

    add_jobs(1)
    run(executor="inline")
    fk.retry_jobs(status="completed")
    monkeypatch.setattr("foregsyte_kaggle.recording.results.write", full)
    with pytest.raises(LedgerError, match="no space left"):
        run(executor="inline")
    assert len(files(workspace)) == 1


# A job that runs again


@pytest.mark.parametrize("executor", EXECUTORS)
def test_file_of_a_completed_job_that_is_retried_and_fails_is_removed(
    workspace: Workspace, executor: str
) -> None:
    @fk.pipeline("p")
    def writes(name: str, job: fk.JobContext) -> None:
        if job.attempt > 1 and name == "1":
            raise ValueError("no longer")
        job.output_path("a.txt").write_text(f"{name} {job.attempt}")

    add_jobs(3)
    run(executor=executor)
    fk.retry_jobs(status="completed")
    assert run(executor=executor).failed == 1
    assert files(workspace) == recorded()
    assert {Path(path).read_text() for path in recorded()} == {"0 2", "2 2"}


def test_files_that_a_later_try_does_not_write_again_are_removed(workspace: Workspace) -> None:
    @fk.pipeline("p")
    def writes(name: str, job: fk.JobContext) -> None:
        for letter in "abc"[: 4 - job.attempt]:
            job.output_path(f"{letter}.txt").write_text(str(job.attempt))
        if job.attempt == 1:
            folder = job.output_path("frames")
            folder.mkdir()
            (folder / "1.png").write_text("x")

    add_jobs(2)
    for left in (8, 4, 2):
        run(executor="inline")
        assert len(files(workspace)) == left
        fk.retry_jobs(status="completed")
    assert {Path(path).read_text() for path in files(workspace)} == {"3"}
    assert not list(workspace.outputs.rglob("*frames*"))


@pytest.mark.parametrize(
    "paths",
    [
        '["data/outputs/p/precious.txt", "precious.txt", "../x", "", null]',
        '{"a": 1}',
        '"x"',
        "null",
    ],
)
def test_file_that_is_not_the_job_s_own_is_left_alone_whatever_its_attempt_says(
    workspace: Workspace, paths: str
) -> None:
    @fk.pipeline("p")
    def writes(name: str, job: fk.JobContext) -> None:
        job.output_path("a.txt").write_text("mine")

    add_jobs(1)
    run(executor="inline")
    precious = workspace.outputs / "p" / "precious.txt"
    precious.write_text("x")
    with workspace.database.transaction() as connection:
        connection.execute("UPDATE job_attempts SET output_paths = $paths", {"paths": paths})
    fk.retry_jobs(status="completed")
    assert run(executor="inline").completed == 1
    assert files(workspace) == {*recorded(), "data/outputs/p/precious.txt"}


# What is half written


def test_file_that_a_dead_job_left_half_written_is_gone_when_the_run_is_over(
    workspace: Workspace,
) -> None:
    @fk.pipeline("p")
    def dies(name: str, job: fk.JobContext) -> None:
        job.output_path("a.txt").write_text("half")
        if name == "1":
            os._exit(1)

    add_jobs(3)
    assert run().failed == 1
    assert files(workspace) == recorded()
    assert len(recorded()) == 2


def test_file_that_a_dead_session_left_half_written_is_removed_with_nothing_pending(
    workspace: Workspace,
) -> None:
    fk.pipeline("p")(len)
    for pipeline_id in ("p", "of another session", ""):  # the last as copying leaves it
        partial = workspace.outputs / pipeline_id / ".partial"
        partial.mkdir(parents=True)
        (partial / "half.txt").write_text("half")
    assert run(executor="inline").total == 0
    assert not files(workspace)


def test_run_that_ends_leaves_the_half_written_files_of_another_alone(workspace: Workspace) -> None:
    go_on = Path("go on").absolute()

    @fk.pipeline("long")
    def writes(name: str, job: fk.JobContext) -> None:
        partial = job.output_path("a.txt")
        partial.write_text("half")
        while not go_on.exists():
            time.sleep(0.01)

    fk.pipeline("p")(len)
    fk.register_jobs(pd.DataFrame({"id": ["x"]}), "long", name="x")
    add_jobs(1)
    beside = fk.run_jobs("long", background=True, progress=False, workers=1)
    while not files(workspace):
        time.sleep(0.01)
    run(executor="inline")
    run(executor="inline")
    go_on.touch()
    assert beside.wait().completed == 1
    assert files(workspace) == recorded()
