"""The state machine of jobs, move by move, on a ledger in memory."""

from __future__ import annotations

import json
import platform
import sysconfig
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from foregsyte_kaggle import ledger
from foregsyte_kaggle.arrays import FEW
from foregsyte_kaggle.database import Database, SessionLocal
from foregsyte_kaggle.errors import InvalidArgumentError, RunError
from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.ledger import Selection, retry_jobs
from foregsyte_kaggle.models import ALLOWED_MOVES, Job, JobStatus
from foregsyte_kaggle.recording import record_group
from foregsyte_kaggle.surroundings import cpu_count
from foregsyte_kaggle.tries import Ended
from foregsyte_kaggle.worker import Outcome
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

LONG_AGO = datetime(2020, 1, 1)  # noqa: DTZ001 - the ledger's times are UTC without a zone


@pytest.fixture
def database(memory_workspace: Workspace) -> Database:
    return memory_workspace.database


def add_jobs(
    count: int, *, pipeline_id: str = "p", source: str | None = None, name: str = "input"
) -> None:
    with SessionLocal() as session:
        session.add_all(
            Job(pipeline_id=pipeline_id, source=source, input_path=f"{name}{number}")
            for number in range(count)
        )
        session.commit()


def number_jobs(database: Database) -> None:
    with database.transaction() as connection:
        ledger.number_jobs(connection)


class ClaimedJob(NamedTuple):
    """A row of ``ledger.ClaimedJobs``."""

    position: int
    job_id: str
    source: str | None
    input_path: str
    params: str | None
    attempts: int


def claim(
    database: Database,
    run_id: uuid.UUID,
    *,
    selection: Selection | None = None,
    first: int = 0,
    last: int = 10**6,
    limit: int = 10**6,
    interrupted: bool = False,
    once: bool = False,
) -> list[ClaimedJob]:
    number_jobs(database)
    claimed = ledger.claim(
        database,
        run_id,
        selection or Selection("p"),
        code_version="v1",
        first=first,
        last=last,
        limit=limit,
        interrupted=interrupted,
        once=once,
    )
    return list(map(ClaimedJob._make, zip(*claimed, strict=True)))


def outcome(job: ClaimedJob, kind: str = "completed", **changes: Any) -> Outcome:
    made = Outcome(job.position, kind, 1_000.0, 0.5, None)
    if kind != "completed":
        made = made._replace(error_type="ValueError", error_message="no")
    return made._replace(**changes)


def record(
    database: Database,
    run_id: uuid.UUID,
    jobs: list[ClaimedJob],
    kind: str = "completed",
    *,
    final: bool = True,
) -> list[Ended]:
    group = [
        Ended("p", job.job_id, job.attempts, final, outcome(job, kind), code_version="v1")
        for job in jobs
    ]
    return record_group(database, run_id, group, lambda _message: None)


def query(database: Database, text: str) -> list[tuple[Any, ...]]:
    with database.reading() as cursor:
        return cursor.execute(text).fetchall()


def execute(database: Database, text: str) -> None:
    with database.transaction() as connection:
        connection.execute(text).fetchall()


def statuses(database: Database) -> list[str]:
    return [row[0] for row in query(database, "SELECT status::VARCHAR FROM jobs ORDER BY position")]


class Held(NamedTuple):
    """One job, and the run that claimed it last."""

    database: Database
    run_id: uuid.UUID
    job: ClaimedJob


def bring_to(database: Database, status: JobStatus) -> Held:
    """Make one job and climb to a status by allowed moves only."""
    run_id = uuid.uuid4()
    add_jobs(1)
    number_jobs(database)
    ((position, job_id),) = query(database, "SELECT position, job_id::VARCHAR FROM jobs")
    job = ClaimedJob(position, job_id, None, "input0", None, 1)
    if status is not JobStatus.pending:
        (job,) = claim(database, run_id)
    if status in (JobStatus.completed, JobStatus.failed):
        record(database, run_id, [job], status.value)
    assert statuses(database) == [status.value]
    return Held(database, run_id, job)


# Every function that moves jobs, with where it moves them to. Each returns how many it moved.


def move_by_claim(held: Held) -> int:
    return len(claim(held.database, held.run_id))


def move_by_record(held: Held, kind: str) -> int:
    try:
        return len(record(held.database, held.run_id, [held.job], kind))
    except RunError:
        return 0


def move_by_end_of_run(held: Held) -> int:
    return ledger.end_run(held.database, held.run_id, "stopped", 0, 0)


def move_by_recover(held: Held) -> int:
    return ledger.recover(held.database, alive=[]).pending


def move_by_second_recover(held: Held) -> int:
    execute(held.database, "UPDATE jobs SET interruptions = 1")
    return ledger.recover(held.database, alive=[]).failed


def move_by_retry(held: Held, status: str) -> int:
    return retry_jobs(status=status, job_ids=held.job.job_id)


def move_by_changed_input(held: Held) -> int:
    pending = "SELECT count(*) FROM jobs WHERE status = 'pending'"
    with held.database.transaction() as connection:
        connection.execute("CREATE TEMP TABLE staged AS SELECT job_id, true AS changed FROM jobs")
        before = connection.execute(pending).fetchall()[0][0]
        ledger.rerun_changed(connection, "staged")
        after = connection.execute(pending).fetchall()[0][0]
        connection.execute("DROP TABLE staged")
    return int(after - before)


Move = Callable[[Held], int]
MOVERS: dict[str, tuple[JobStatus, Move]] = {
    "claim": (JobStatus.running, move_by_claim),
    "record completed": (JobStatus.completed, partial(move_by_record, kind="completed")),
    "record failed": (JobStatus.failed, partial(move_by_record, kind="failed")),
    "end of run": (JobStatus.pending, move_by_end_of_run),
    "recover": (JobStatus.pending, move_by_recover),
    "recover twice": (JobStatus.failed, move_by_second_recover),
    "retry failed": (JobStatus.pending, partial(move_by_retry, status="failed")),
    "retry completed": (JobStatus.pending, partial(move_by_retry, status="completed")),
    "changed input": (JobStatus.pending, move_by_changed_input),
}


@pytest.mark.parametrize("target", JobStatus)
@pytest.mark.parametrize("start", JobStatus)
def test_move_is_made_where_it_is_allowed_and_by_nothing_where_it_is_not(
    database: Database, start: JobStatus, target: JobStatus
) -> None:
    made_by = []
    for name, (reached, move) in MOVERS.items():
        if reached is not target:
            continue
        execute(database, "DELETE FROM jobs")
        moved = move(bring_to(database, start))
        assert moved in {0, 1}
        assert statuses(database) == [target.value if moved else start.value]
        if moved:
            made_by.append(name)
    assert bool(made_by) == ((start, target) in ALLOWED_MOVES), (
        f"{start.value} to {target.value} is made by {made_by}: change ledger or models.ALLOWED_MOVES"
    )


STARTS = {
    "claim": JobStatus.pending,
    "retry failed": JobStatus.failed,
    "retry completed": JobStatus.completed,
    "changed input": JobStatus.completed,
}


@pytest.mark.parametrize("name", MOVERS)
def test_move_sets_updated_at_to_the_time_in_utc(database: Database, name: str) -> None:
    held = bring_to(database, STARTS.get(name, JobStatus.running))
    execute(database, f"UPDATE jobs SET updated_at = TIMESTAMP '{LONG_AGO}'")
    assert MOVERS[name][1](held) == 1
    ((updated,),) = query(database, "SELECT updated_at FROM jobs")
    now = datetime.now(UTC).replace(tzinfo=None)
    assert now - timedelta(minutes=5) < updated < now + timedelta(minutes=5)


def test_claim_takes_a_range_of_positions_in_order(database: Database) -> None:
    add_jobs(10)
    run_id = uuid.uuid4()
    assert [job.position for job in claim(database, run_id, first=3, last=6)] == [3, 4, 5, 6]
    assert [job.position for job in claim(database, run_id, first=1, last=10, limit=3)] == [1, 2, 7]
    assert claim(database, run_id, first=3, last=7) == []


def test_claim_counts_the_attempt_and_names_the_run(database: Database) -> None:
    add_jobs(1)
    run_id = uuid.uuid4()
    (job,) = claim(database, run_id)
    assert job.attempts == 1
    rows = query(
        database, "SELECT attempts, run_id, code_version, started_at IS NOT NULL FROM jobs"
    )
    assert rows == [(1, run_id, "v1", True)]


def test_claim_takes_only_jobs_of_its_pipeline_and_source(database: Database) -> None:
    add_jobs(2, source="a")
    add_jobs(2, source="b")
    add_jobs(2, pipeline_id="q", source="a")
    run_id = uuid.uuid4()
    taken = claim(database, run_id, selection=Selection("p", "a"))
    assert [(job.source, job.attempts) for job in taken] == [("a", 1), ("a", 1)]
    assert len(claim(database, run_id, selection=Selection("p"))) == 2
    assert len(claim(database, run_id, selection=Selection("q"))) == 2


def test_claim_takes_interrupted_jobs_only_when_asked(database: Database) -> None:
    add_jobs(3)
    number_jobs(database)
    execute(database, "UPDATE jobs SET interruptions = 1 WHERE position = 2")
    run_id = uuid.uuid4()
    assert [job.position for job in claim(database, run_id, interrupted=True)] == [2]
    assert [job.position for job in claim(database, run_id)] == [1, 3]


def test_pending_jobs_gives_the_extent_or_none(database: Database) -> None:
    assert ledger.pending_jobs(database, Selection("p")) is None
    add_jobs(2, pipeline_id="q")
    add_jobs(3)
    number_jobs(database)
    execute(
        database, "UPDATE jobs SET interruptions = 1 WHERE pipeline_id = 'p' AND position % 2 = 0"
    )
    extent = ledger.pending_jobs(database, Selection("p"))
    assert extent is not None
    positions = [
        row[0]
        for row in query(database, "SELECT position FROM jobs WHERE pipeline_id = 'p' ORDER BY 1")
    ]
    assert (extent.jobs, extent.first, extent.last) == (3, positions[0], positions[-1])
    assert extent.interrupted == sum(position % 2 == 0 for position in positions)


@pytest.mark.parametrize("limit", [9, FEW + 1])
def test_what_is_claimed_comes_by_column_and_in_order(database: Database, limit: int) -> None:
    add_jobs(3, source="s")
    number_jobs(database)
    execute(database, "UPDATE jobs SET params = '{\"a\": 1}', attempts = 4 WHERE position = 2")
    ids = [row[0] for row in query(database, "SELECT job_id::VARCHAR FROM jobs ORDER BY position")]
    arguments = {"code_version": "v1", "first": 1, "last": 9, "limit": limit}
    claimed = ledger.claim(database, uuid.uuid4(), Selection("p"), **arguments)
    assert claimed == (
        [1, 2, 3],
        ids,
        ["s"] * 3,
        ["input0", "input1", "input2"],
        [None, '{"a": 1}', None],
        [1, 5, 1],
    )
    nothing = ledger.claim(database, uuid.uuid4(), Selection("p"), **arguments)
    assert nothing == ([], [], [], [], [], [])


def test_record_of_a_last_try_closes_the_job_with_its_attempt(database: Database) -> None:
    add_jobs(2)
    run_id = uuid.uuid4()
    good, bad = claim(database, run_id)
    ended = [
        Ended(
            *("p", good.job_id, 1, True, outcome(good, output="printed", output_paths=["p/a.jpg"])),
            code_version="v1",
        ),
        Ended(
            *("p", bad.job_id, 1, True, outcome(bad, "failed", traceback="Traceback")),
            code_version="v2",
        ),
    ]
    assert record_group(database, run_id, ended, print) == ended
    assert query(
        database,
        "SELECT status::VARCHAR, attempts, error_type, error_message, output_path, progress,"
        " epoch(finished_at - started_at) FROM jobs ORDER BY position",
    ) == [
        ("completed", 1, None, None, "data/outputs/p/a.jpg", 1.0, 0.5),
        ("failed", 1, "ValueError", "no", None, None, 0.5),
    ]
    assert query(
        database,
        "SELECT attempt, outcome, error_type, traceback, output, code_version, run_id"
        " FROM job_attempts ORDER BY outcome",
    ) == [
        (1, "completed", None, None, "printed", "v1", run_id),
        (1, "failed", "ValueError", "Traceback", None, "v2", run_id),
    ]


def test_record_of_a_try_that_is_repeated_leaves_the_job_running(database: Database) -> None:
    add_jobs(1)
    run_id = uuid.uuid4()
    (job,) = claim(database, run_id)
    record(database, run_id, [job], "failed", final=False)
    assert query(database, "SELECT status::VARCHAR, attempts, error_message FROM jobs") == [
        ("running", 2, "no")
    ]
    record(database, run_id, [job._replace(attempts=2)], "completed")
    assert query(database, "SELECT status::VARCHAR, attempts, error_message FROM jobs") == [
        ("completed", 2, None)
    ]
    assert query(database, "SELECT attempt, outcome FROM job_attempts ORDER BY 1") == [
        (1, "failed"),
        (2, "completed"),
    ]


def test_end_of_run_forgets_its_claims_and_no_other_s(database: Database) -> None:
    add_jobs(3)
    run_id, other = uuid.uuid4(), uuid.uuid4()
    claim(database, run_id, limit=1)
    claim(database, other, limit=1)
    claim(database, run_id)
    assert ledger.end_run(database, uuid.uuid4(), "stopped", 0, 0) == 0
    assert ledger.end_run(database, run_id, "stopped", 0, 0) == 2
    assert query(database, "SELECT status::VARCHAR, attempts FROM jobs ORDER BY position") == [
        ("pending", 0),
        ("running", 1),
        ("pending", 0),
    ]
    assert query(database, "SELECT count(*) FROM job_attempts") == [(0,)]


def test_job_put_back_after_a_failed_try_shows_no_error_and_keeps_its_attempt(
    database: Database,
) -> None:
    add_jobs(1)
    run_id = uuid.uuid4()
    record(database, run_id, claim(database, run_id), "failed", final=False)
    assert ledger.end_run(database, run_id, "stopped", 0, 0) == 1
    assert query(
        database,
        "SELECT status::VARCHAR, attempts, error_type, error_message, finished_at FROM jobs",
    ) == [("pending", 1, None, None, None)]
    assert query(database, "SELECT attempt, outcome FROM job_attempts") == [(1, "failed")]


def test_recover_touches_only_jobs_of_dead_runs(database: Database) -> None:
    add_jobs(4)
    living, dead = uuid.uuid4(), uuid.uuid4()
    claim(database, living, limit=2)
    claim(database, dead)
    assert ledger.recover(database, alive=[living]) == ledger.Recovery(pending=2, failed=0)
    assert statuses(database) == ["running", "running", "pending", "pending"]


def test_recover_fails_a_job_at_its_second_crash(database: Database) -> None:
    add_jobs(2)
    claim(database, uuid.uuid4(), limit=1)
    assert ledger.recover(database, alive=[]) == ledger.Recovery(pending=1, failed=0)
    claim(database, uuid.uuid4(), interrupted=True)
    assert ledger.recover(database, alive=[]) == ledger.Recovery(pending=0, failed=1)
    assert ledger.recover(database, alive=[]) == ledger.Recovery(pending=0, failed=0)
    assert query(
        database, "SELECT status::VARCHAR, attempts, interruptions FROM jobs ORDER BY position"
    ) == [("failed", 2, 2), ("pending", 0, 0)]
    ((message,),) = query(database, "SELECT error_message FROM jobs WHERE status = 'failed'")
    assert "ended twice" in message
    assert "retry_jobs" in message
    assert query(database, "SELECT attempt, outcome FROM job_attempts ORDER BY 1") == [
        (1, "interrupted"),
        (2, "interrupted"),
    ]


def test_recover_fails_no_job_at_a_second_crash_where_others_ran_beside_it(
    database: Database,
) -> None:
    add_jobs(3)
    claim(database, uuid.uuid4(), limit=2)
    ledger.recover(database, alive=[])
    claim(database, uuid.uuid4(), limit=2, interrupted=True)
    assert ledger.recover(database, alive=[]) == ledger.Recovery(pending=2, failed=0)
    claim(database, uuid.uuid4(), limit=1, interrupted=True)
    assert ledger.recover(database, alive=[]) == ledger.Recovery(pending=0, failed=1)
    assert query(database, "SELECT status::VARCHAR, interruptions FROM jobs ORDER BY position") == [
        ("failed", 3),
        ("pending", 2),
        ("pending", 0),
    ]


def test_recover_fails_no_job_beside_which_another_run_s_job_ran(database: Database) -> None:
    """Either may have ended the process."""
    add_jobs(2)
    claim(database, uuid.uuid4(), limit=1)
    ledger.recover(database, alive=[])
    claim(database, uuid.uuid4(), interrupted=True)
    claim(database, uuid.uuid4())
    assert ledger.recover(database, alive=[]) == ledger.Recovery(pending=2, failed=0)


def test_claim_of_jobs_that_crashed_once_leaves_those_that_did_twice(database: Database) -> None:
    add_jobs(3)
    number_jobs(database)
    with database.transaction() as connection:
        connection.execute("UPDATE jobs SET interruptions = position - 1").fetchall()
    run_id = uuid.uuid4()
    assert [j.position for j in claim(database, run_id, interrupted=True, once=True)] == [2]


def test_recover_notes_that_the_run_died(database: Database) -> None:
    living, dead = uuid.uuid4(), uuid.uuid4()
    for run_id in (living, dead):
        ledger.begin_run(database, run_id, "p", "threads", 2, alive=[living])
    ledger.recover(database, alive=[living])
    assert query(database, f"SELECT ended_by FROM runs WHERE run_id = '{dead}'") == [("died",)]
    assert query(database, f"SELECT ended_by FROM runs WHERE run_id = '{living}'") == [(None,)]


def test_begin_run_puts_back_what_an_earlier_run_of_this_process_left(database: Database) -> None:
    add_jobs(2)
    left, living, new = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    claim(database, left, limit=1)
    claim(database, living)
    ledger.begin_run(database, new, "p", "threads", 2, alive=[living, new])
    assert query(
        database, "SELECT status::VARCHAR, attempts, interruptions FROM jobs ORDER BY position"
    ) == [("pending", 0, 0), ("running", 1, 0)]


def test_settling_makes_ready_what_a_run_may_take(database: Database) -> None:
    left, living = uuid.uuid4(), uuid.uuid4()
    for run_id in (left, living):
        ledger.begin_run(database, run_id, "p", "threads", 2, alive=[left, living])
    add_jobs(2)
    claim(database, left, limit=1)
    claim(database, living)
    add_jobs(1)
    for _ in range(2):  # the second time there is nothing to do
        ledger.settle(database, alive=[living])
        assert query(database, "SELECT position, status::VARCHAR FROM jobs ORDER BY 1") == [
            (1, "pending"),
            (2, "running"),
            (3, "pending"),
        ]
        assert query(database, "SELECT run_id, ended_by FROM runs ORDER BY ended_by") == [
            (left, "error"),
            (living, None),
        ]


def test_end_of_run_is_noted_with_its_counts(database: Database) -> None:
    run_id = uuid.uuid4()
    ledger.begin_run(database, run_id, None, "inline", 1, alive=[run_id])
    assert ledger.end_run(database, run_id, "limit", 5, 2) == 0
    assert query(
        database,
        "SELECT pipeline_id, executor, workers, ended_by, completed, failed,"
        " finished_at >= started_at FROM runs",
    ) == [(None, "inline", 1, "limit", 5, 2, True)]


def test_run_is_noted_with_where_it_works_and_no_value_of_a_variable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("KAGGLE_USER_SECRETS_TOKEN", "secret")
    run_id = uuid.uuid4()
    ledger.begin_run(database, run_id, None, "inline", 1, alive=[run_id])
    ((environment, package),) = query(database, "SELECT environment, package_version FROM runs")
    noted = json.loads(environment)
    assert {name: noted[name] for name in ("session", "python", "platform", "cpu_count")} == {
        "session": "kaggle-batch",
        "python": platform.python_version(),
        "platform": sysconfig.get_platform(),
        "cpu_count": cpu_count(),
    }
    assert noted["session_limit_seconds"] == 12 * 3600
    assert "secret" not in environment
    assert package == version("foregsyte-kaggle")


@pytest.mark.parametrize(
    ("filters", "moved"),
    [
        ({}, 3),
        ({"status": JobStatus.failed}, 3),
        ({"status": "completed"}, 3),
        ({"pipeline_id": "p"}, 2),
        ({"source": "b"}, 1),
        ({"pipeline_id": "q", "source": "a"}, 1),
        ({"pipeline_id": "file_info"}, 0),
        ({"job_ids": []}, 0),
    ],
    ids=str,
)
def test_retry_moves_what_its_filters_name(
    database: Database, filters: dict[str, Any], moved: int
) -> None:
    for pipeline_id, source in (("p", "a"), ("p", "b"), ("q", "a")):
        add_jobs(2, pipeline_id=pipeline_id, source=source)
        run_id = uuid.uuid4()
        good, bad = claim(database, run_id, selection=Selection(pipeline_id, source))
        record(database, run_id, [good])
        record(database, run_id, [bad], "failed")
    assert retry_jobs(**filters) == moved
    assert statuses(database).count("pending") == moved


@pytest.mark.parametrize(
    ("wanted", "moved"),
    [
        ({}, {"p/failed", "q/failed"}),
        (
            {"statuses": tuple(JobStatus)},
            {"p/failed", "q/failed", "p/completed", "q/completed"},
        ),
        ({"statuses": (JobStatus.completed,), "pipeline_id": "p"}, {"p/completed"}),
        ({"statuses": (JobStatus.pending, JobStatus.running)}, set()),
        ({"source": "of q"}, {"q/failed"}),
        ({"search": "Q/"}, {"q/failed"}),
        ({"search": "%"}, set()),
    ],
    ids=str,
)
@pytest.mark.parametrize("of_p_only", [False, True], ids=["any id", "ids of p"])
def test_retry_of_what_matches_moves_failed_and_completed_jobs_only(
    database: Database, wanted: dict[str, Any], moved: set[str], of_p_only: bool
) -> None:
    with SessionLocal() as session:
        session.add_all(
            Job(
                pipeline_id=pipeline_id,
                source=f"of {pipeline_id}",
                input_path=f"{pipeline_id}/{status.value}",
                status=status,
            )
            for pipeline_id in "pq"
            for status in JobStatus
        )
        session.commit()
    ids = [
        job_id for (job_id,) in query(database, "SELECT job_id FROM jobs WHERE pipeline_id = 'p'")
    ]
    before = set(query(database, "SELECT input_path FROM jobs WHERE status = 'pending'"))
    expected = {path for path in moved if not of_p_only or path.startswith("p")}
    job_ids = ids if of_p_only else None
    assert ledger.retry_matching(database, JobFilter(**wanted), job_ids) == len(expected)
    after = set(query(database, "SELECT input_path FROM jobs WHERE status = 'pending'"))
    assert {path for (path,) in after - before} == expected
    assert len(query(database, "SELECT 1 FROM jobs WHERE status = 'running'")) == 2


def test_retry_takes_ids_as_text_or_uuid_one_or_several(database: Database) -> None:
    add_jobs(4)
    run_id = uuid.uuid4()
    jobs = claim(database, run_id)
    record(database, run_id, jobs, "failed")
    ids = [job.job_id for job in jobs]
    assert retry_jobs(job_ids=ids[0]) == 1
    assert retry_jobs(job_ids=[ids[0], uuid.UUID(ids[1])]) == 1
    assert retry_jobs(job_ids=uuid.UUID(ids[2])) == 1
    assert statuses(database) == ["pending", "pending", "pending", "failed"]


def test_retry_clears_the_error_and_the_interruptions(database: Database) -> None:
    held = bring_to(database, JobStatus.failed)
    execute(database, "UPDATE jobs SET interruptions = 2")
    assert retry_jobs() == 1
    assert query(
        database, "SELECT interruptions, error_type, error_message, finished_at, progress FROM jobs"
    ) == [(0, None, None, None, None)]
    assert [job.attempts for job in claim(database, held.run_id)] == [held.job.attempts + 1]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("status", ["pending", "running", JobStatus.running, "done", ["failed"]])
def test_retry_of_another_status_is_refused(status: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="expected 'failed' or 'completed'"):
        retry_jobs(status=status)


@pytest.mark.usefixtures("database")
def test_retry_of_what_is_no_id_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'42' is not a job's id"):
        retry_jobs(job_ids=["42"])
    with pytest.raises(
        InvalidArgumentError, match=r"job_ids=42; expected ids as in jobs_frame\(\)"
    ):
        retry_jobs(job_ids=42)  # type: ignore[arg-type]


def test_jobs_made_by_hand_are_numbered_once_in_the_order_they_were_made(
    database: Database,
) -> None:
    with SessionLocal() as session:
        session.add_all(
            Job(pipeline_id="p", input_path=name, created_at=LONG_AGO + timedelta(days=day))
            for name, day in (("second", 2), ("first", 1))
        )
        session.commit()
    number_jobs(database)
    add_jobs(1, name="third")
    number_jobs(database)
    number_jobs(database)
    assert query(database, "SELECT input_path, position FROM jobs ORDER BY position") == [
        ("first", 1),
        ("second", 2),
        ("third0", 3),
    ]


def test_group_with_a_job_that_somebody_else_changed_is_not_written(database: Database) -> None:
    add_jobs(3)
    run_id = uuid.uuid4()
    jobs = claim(database, run_id)
    execute(database, f"UPDATE jobs SET status = 'pending' WHERE position = {jobs[1].position}")
    with pytest.raises(RunError, match=f"somebody else changed 1 job of run {run_id} meanwhile"):
        record(database, run_id, jobs)
    assert statuses(database) == ["running", "pending", "running"]
    assert query(database, "SELECT count(*) FROM job_attempts") == [(0,)]


def test_record_leaves_jobs_of_another_run_alone(database: Database) -> None:
    add_jobs(1)
    jobs = claim(database, uuid.uuid4())
    with pytest.raises(RunError, match="somebody else changed 1 job "):
        record(database, uuid.uuid4(), jobs)
    assert statuses(database) == ["running"]


def test_progress_is_stored_for_running_jobs_of_the_run_only(database: Database) -> None:
    add_jobs(3)
    run_id = uuid.uuid4()
    claim(database, run_id, limit=1)
    claim(database, uuid.uuid4(), limit=1)
    ledger.set_progress(database, run_id, {})
    ledger.set_progress(database, run_id, {1: 0.25, 2: 0.5, 3: 0.75})
    assert query(database, "SELECT progress FROM jobs ORDER BY position") == [
        (0.25,),
        (None,),
        (None,),
    ]


def test_status_counts_have_all_four_and_may_be_of_a_part(database: Database) -> None:
    zero = dict.fromkeys(("pending", "running", "completed", "failed"), 0)
    assert ledger.status_counts(database) == zero
    add_jobs(2, source="a")
    add_jobs(1, pipeline_id="q")
    claim(database, uuid.uuid4(), limit=1)
    assert ledger.status_counts(database) == zero | {"pending": 2, "running": 1}
    assert ledger.status_counts(database, "p", "a") == zero | {"pending": 1, "running": 1}


def test_result_that_cannot_be_stored_fails_its_own_job_only(database: Database) -> None:
    add_jobs(3)
    run_id = uuid.uuid4()
    jobs = claim(database, run_id)
    results: list[Any] = [[{"n": 1}], [{"n": object()}], [{"n": 3}]]
    group = [
        Ended("p", job.job_id, 1, True, outcome(job, result=result))
        for job, result in zip(jobs, results, strict=True)
    ]
    written = record_group(database, run_id, group, print)
    assert [ended.outcome.outcome for ended in written] == ["completed", "failed", "completed"]
    assert statuses(database) == ["completed", "failed", "completed"]
    assert query(database, "SELECT n FROM results.p ORDER BY n") == [(1,), (3,)]
    ((kind, message),) = query(
        database, "SELECT error_type, error_message FROM jobs WHERE position = 2"
    )
    assert kind == "ResultError"
    assert "column 'n'" in message


def test_result_that_only_the_database_refuses_fails_its_own_job_only(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group is divided until the one job is found, whatever the reason."""
    from foregsyte_kaggle import results

    add_jobs(9)
    run_id = uuid.uuid4()
    jobs = claim(database, run_id)
    write = results.write

    def refuse(connection: Any, pipeline_id: str, batches: Any, replaced: Any) -> None:
        if any(6 in batch.table.column("n").to_pylist() for batch in batches):
            connection.execute("SELECT 'x'::INTEGER").fetchall()
        write(connection, pipeline_id, batches, replaced)

    monkeypatch.setattr(results, "write", refuse)
    group = [
        Ended("p", job.job_id, 1, True, outcome(job, result=[{"n": job.position}])) for job in jobs
    ]
    written = record_group(database, run_id, group, print)
    assert [ended.job_id for ended in written] == [job.job_id for job in jobs]
    assert [row[0] for row in query(database, "SELECT n FROM results.p ORDER BY n")] == [
        1, 2, 3, 4, 5, 7, 8, 9,
    ]  # fmt: skip
    failed = query(
        database, "SELECT position, error_type, error_message FROM jobs WHERE status = 'failed'"
    )
    assert [row[:2] for row in failed] == [(6, "ResultError")]
    assert "cannot be stored" in failed[0][2]
    assert query(database, "SELECT count(*), count(DISTINCT job_id) FROM job_attempts") == [(9, 9)]


def test_full_disk_is_no_job_s_fault(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    from foregsyte_kaggle import results
    from foregsyte_kaggle.errors import LedgerError

    add_jobs(4)
    run_id = uuid.uuid4()
    jobs = claim(database, run_id)

    def fail(*_: Any) -> None:
        raise duckdb.IOException('IO Error: Could not write file "x": No space left on device')

    monkeypatch.setattr(results, "write", fail)
    group = [Ended("p", job.job_id, 1, True, outcome(job, result=[{"n": 1}])) for job in jobs]
    with pytest.raises(LedgerError, match="the disk is full"):
        record_group(database, run_id, group, print)
    assert statuses(database) == ["running"] * 4
    assert query(database, "SELECT count(*) FROM job_attempts") == [(0,)]


def test_arrow_result_keeps_its_rows_with_their_job(database: Database) -> None:
    add_jobs(2)
    run_id = uuid.uuid4()
    jobs = claim(database, run_id)
    group = [
        Ended("p", job.job_id, 1, True, outcome(job, result=pa.table({"n": [job.position] * 2})))
        for job in jobs
    ]
    record_group(database, run_id, group, print)
    assert query(
        database,
        "SELECT position, n, result_rows FROM results.p JOIN jobs USING (job_id)"
        " JOIN job_attempts USING (job_id) ORDER BY 1",
    ) == [(1, 1, 2), (1, 1, 2), (2, 2, 2), (2, 2, 2)]
