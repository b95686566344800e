"""Which jobs go out next, and what is known of the next one."""

from __future__ import annotations

import pytest

from foregsyte_kaggle.backlog import Backlog
from foregsyte_kaggle.worker import Task

pytestmark = pytest.mark.unit


def task(position: int) -> Task:
    return Task(position, f"job-{position}", "path", False, None, 1)


def short(**more: object) -> Backlog:
    """Return a backlog whose next job is a short one of ``p``."""
    backlog = Backlog(**more)  # type: ignore[arg-type]
    backlog.append("p", [task(1)])
    backlog.measure("p", [0.001])
    return backlog


def test_it_goes_on_with_a_short_job_of_the_same_pipeline() -> None:
    assert short().goes_on("p")


def test_it_does_not_go_on_with_another_pipeline() -> None:
    backlog = short()
    backlog.measure("q", [0.001])
    assert not backlog.goes_on("q")


def test_it_does_not_go_on_where_nothing_is_left() -> None:
    backlog = short()
    backlog.make_chunk("p")
    assert not backlog.goes_on("p")


def test_it_does_not_go_on_with_a_long_job_or_one_of_unknown_pace() -> None:
    backlog = short(short_seconds=0.001)
    assert not backlog.goes_on("p")
    backlog = Backlog()
    backlog.append("p", [task(1)])
    assert not backlog.goes_on("p")


def test_it_does_not_go_on_with_batches() -> None:
    assert not short(batch_sizes={"p": 8}).goes_on("p")


def test_it_does_not_go_on_while_jobs_go_out_one_by_one() -> None:
    backlog = short()
    backlog.one_by_one = True
    assert not backlog.goes_on("p")


@pytest.mark.parametrize("mark", ["alone", "exclusive"])
def test_it_does_not_go_on_with_a_job_that_may_end_its_process(mark: str) -> None:
    backlog = short()
    setattr(backlog.mark(task(1)), mark, True)
    assert not backlog.goes_on("p")
    setattr(backlog.mark(task(1)), mark, False)
    assert backlog.goes_on("p")
