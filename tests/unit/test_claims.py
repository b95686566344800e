"""Which pending jobs a run takes next, and when it has taken all."""

from __future__ import annotations

import uuid
from typing import Any

import pandas as pd
import pytest

from foregsyte_kaggle import ledger, pipeline, register_jobs
from foregsyte_kaggle.claims import Claimed, Claims
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.ledger import Selection
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit


@pytest.fixture
def database(memory_workspace: Workspace) -> Database:
    for name in ("p", "q"):
        pipeline(name)(print)
    return memory_workspace.database


def add_jobs(count: int, pipeline_id: str = "p", name: str = "ids") -> None:
    frame = pd.DataFrame({"id": [f"{name}-{number:06}" for number in range(count)]})
    register_jobs(frame, pipeline_id, name=name)


def execute(database: Database, text: str) -> None:
    with database.transaction() as connection:
        connection.execute(text).fetchall()


def claims_of(
    database: Database, *pipeline_ids: str, limit: int | None = None, source: str | None = None
) -> Claims:
    selections = [(Selection(pipeline_id, source), "v1") for pipeline_id in pipeline_ids or ["p"]]
    return Claims(database, uuid.uuid4(), selections, limit)


def take_all(claims: Claims, most: int) -> list[Claimed]:
    taken = []
    while (claimed := claims.take(most)) is not None:
        taken.append(claimed)
    return taken


def positions(taken: list[Claimed]) -> list[int]:
    return [position for claimed in taken for position in claimed.jobs.positions]


def test_nothing_is_taken_where_nothing_is_pending(database: Database) -> None:
    claims = claims_of(database)
    assert claims.take(10) is None
    assert claims.take(10) is None
    assert not claims.limit_reached


@pytest.mark.parametrize("most", [1, 3, 7, 10, 100])
def test_all_are_taken_once_in_order(database: Database, most: int) -> None:
    add_jobs(10)
    taken = take_all(claims_of(database), most)
    assert positions(taken) == list(range(1, 11))
    assert all(len(claimed.jobs.positions) <= most and not claimed.exclusive for claimed in taken)


def test_limit_is_kept_and_told(database: Database) -> None:
    add_jobs(10)
    claims = claims_of(database, limit=4)
    assert positions(take_all(claims, 3)) == [1, 2, 3, 4]
    assert claims.limit_reached
    assert ledger.status_counts(database)["pending"] == 6


def test_limit_that_leaves_nothing_pending_is_not_told(database: Database) -> None:
    add_jobs(4)
    claims = claims_of(database, limit=4)
    assert positions(take_all(claims, 3)) == [1, 2, 3, 4]
    assert not claims.limit_reached
    add_jobs(1, "q", name="others")
    assert not claims.limit_reached, "they are not of its selection"
    add_jobs(1, name="more")
    assert claims.limit_reached


def test_limit_that_is_not_reached_is_not_told(database: Database) -> None:
    add_jobs(2)
    claims = claims_of(database, limit=4)
    assert positions(take_all(claims, 3)) == [1, 2]
    assert not claims.limit_reached


def test_pipelines_come_one_after_the_other(database: Database) -> None:
    add_jobs(2, "q")
    add_jobs(2, "p")
    taken = take_all(claims_of(database, "p", "q"), 10)
    assert [(claimed.pipeline_id, len(claimed.jobs.positions)) for claimed in taken] == [
        ("p", 2),
        ("q", 2),
    ]


def test_limit_counts_over_pipelines(database: Database) -> None:
    add_jobs(2, "q")
    add_jobs(2, "p")
    assert len(positions(take_all(claims_of(database, "p", "q", limit=3), 10))) == 3


def test_only_the_source_asked_for_is_taken(database: Database) -> None:
    add_jobs(2, name="a")
    add_jobs(2, name="b")
    taken = take_all(claims_of(database, source="b"), 10)
    assert [source for claimed in taken for source in claimed.jobs.sources] == ["b", "b"]


def test_interrupted_jobs_come_last_and_alone(database: Database) -> None:
    add_jobs(6)
    execute(database, "UPDATE jobs SET interruptions = 1 WHERE position IN (1, 4)")
    taken = take_all(claims_of(database), 10)
    assert [(positions([claimed]), claimed.exclusive) for claimed in taken] == [
        ([2, 3, 5, 6], False),
        ([1], True),
        ([4], True),
    ]


def test_interrupted_jobs_come_after_those_of_all_pipelines(database: Database) -> None:
    add_jobs(2, "p")
    add_jobs(2, "q")
    execute(database, "UPDATE jobs SET interruptions = 1 WHERE position = 1")
    taken = take_all(claims_of(database, "p", "q"), 10)
    assert [(positions([claimed]), claimed.exclusive) for claimed in taken] == [
        ([2], False),
        ([3, 4], False),
        ([1], True),
    ]


def test_interrupted_jobs_are_left_while_another_run_works(database: Database) -> None:
    add_jobs(3)
    execute(database, "UPDATE jobs SET interruptions = 1 WHERE position = 1")
    others = [True]
    claims = Claims(
        database, uuid.uuid4(), [(Selection("p"), "v1")], None, is_only_run=lambda: not others
    )
    assert positions(take_all(claims, 10)) == [2, 3]
    assert claims.holds_back
    others.clear()
    assert positions(take_all(claims, 10)) == [1]
    assert not claims.holds_back


def test_pipeline_that_is_left_out_is_not_claimed_any_more(database: Database) -> None:
    add_jobs(3, "p")
    add_jobs(2, "q")
    claims = claims_of(database, "p", "q")
    assert positions([claims.take(1)]) == [1]  # type: ignore[list-item]
    claims.leave_out("p")
    assert claims.pipelines == ["q"]
    assert positions(take_all(claims, 10)) == [4, 5]
    assert claims.can_take


def test_many_interrupted_jobs_come_in_groups_and_those_of_a_group_that_crashed_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foregsyte_kaggle.claims.SUSPECTS", 3)
    add_jobs(10)
    execute(database, "UPDATE jobs SET interruptions = 1 WHERE position <> 5")
    execute(database, "UPDATE jobs SET interruptions = 2 WHERE position IN (1, 8)")
    taken = take_all(claims_of(database), 10)
    assert [(positions([claimed]), claimed.exclusive) for claimed in taken] == [
        ([5], False),
        ([2, 3, 4], True),
        ([6, 7, 9], True),
        ([10], True),
        ([1], True),
        ([8], True),
    ]


def test_jobs_that_become_pending_meanwhile_are_taken_too(database: Database) -> None:
    add_jobs(2)
    claims = claims_of(database)
    first = claims.take(10)
    assert first is not None
    add_jobs(3)
    assert positions(take_all(claims, 10)) == [3]


def test_job_that_another_run_took_first_is_left_to_it(database: Database) -> None:
    add_jobs(3)
    claims = claims_of(database)
    assert positions([claims.take(1) or pytest.fail("nothing taken")]) == [1]
    execute(
        database,
        f"UPDATE jobs SET status = 'running', run_id = '{uuid.uuid4()}' WHERE position = 2",
    )
    assert positions(take_all(claims, 1)) == [3]


def test_few_pending_jobs_among_many_are_found_in_few_steps(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(60_000)
    execute(
        database,
        "UPDATE jobs SET status = 'completed' WHERE position NOT IN (5, 30000, 30001, 59999)",
    )
    steps: list[int] = []
    claim = ledger.claim

    def counted(*args: Any, **options: Any) -> ledger.ClaimedJobs:
        steps.append(1)
        return claim(*args, **options)

    monkeypatch.setattr(ledger, "claim", counted)
    assert positions(take_all(claims_of(database), 2)) == [5, 30000, 30001, 59999]
    assert len(steps) < 20
