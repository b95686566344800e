"""The models: the first two tests are the seed's, as they stand but for the import path."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.orm import Session

from foregsyte_kaggle.models import (
    ALLOWED_MOVES,
    Job,
    JobAttempt,
    JobStatus,
    LedgerInfo,
    RunRecord,
    SourceRecord,
)

pytestmark = pytest.mark.unit


@pytest.mark.unit
def test_job_defaults(session):
    job = Job(
        pipeline_id="yolo_ocr",
        input_path="video_jobs/test.mp4",
    )
    session.add(job)
    session.commit()

    assert job.job_id is not None
    assert job.status == JobStatus.pending
    assert isinstance(job.created_at, datetime)
    assert isinstance(job.updated_at, datetime)


@pytest.mark.unit
def test_job_status_enum(session):
    job = Job(
        pipeline_id="yolo_ocr",
        input_path="video_jobs/test.mp4",
        status=JobStatus.running,
    )
    session.add(job)
    session.commit()

    assert job.status == JobStatus.running


def add_job(session: Session, **values: Any) -> Job:
    job = Job(pipeline_id="yolo_ocr", input_path="video_jobs/test.mp4", **values)
    session.add(job)
    session.commit()
    return job


def test_later_columns_of_a_new_job_are_empty_and_its_counters_zero(session: Session) -> None:
    job = add_job(session)
    later = set(inspect(Job).columns.keys()) - {
        *("job_id", "status", "pipeline_id", "input_path", "created_at", "updated_at")
    }
    found = {name: getattr(job, name) for name in later}
    assert {name for name, value in found.items() if value is not None} == {
        "attempts",
        "interruptions",
    }
    assert (job.attempts, job.interruptions) == (0, 0)


def test_counters_are_zero_for_a_row_that_does_not_name_them(session: Session) -> None:
    session.execute(
        text(
            "INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at)"
            " VALUES (uuid(), 'pending', 'p', 'x', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01')"
        )
    )
    job = session.scalars(select(Job)).one()
    assert (job.attempts, job.interruptions) == (0, 0)


def test_a_job_id_made_by_hand_is_a_random_uuid(session: Session) -> None:
    one, other = add_job(session), add_job(session)
    assert isinstance(one.job_id, uuid.UUID)
    assert one.job_id.version == 4
    assert one.job_id != other.job_id


def test_times_of_a_job_are_utc_without_a_zone(session: Session) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    job = add_job(session)
    session.expire_all()
    assert job.created_at.tzinfo is None
    assert before <= job.created_at <= before + timedelta(minutes=1)


def test_updated_at_moves_when_a_session_changes_a_job(session: Session) -> None:
    job = add_job(session)
    created, updated = job.created_at, job.updated_at
    job.output_path = "data/outputs/yolo_ocr/x.csv"
    session.commit()
    assert job.created_at == created
    assert job.updated_at > updated


@pytest.mark.parametrize(
    "params",
    [
        {"size": 640, "ratio": 0.5, "names": ["a", None], "deep": {"x": True}},
        {"text": "quotes ' \" and \\ and 試合 ⚽"},
        {},
    ],
    ids=["nested", "odd text", "empty"],
)
def test_params_come_back_as_they_went_in(session: Session, params: dict[str, Any]) -> None:
    job = add_job(session, params=params)
    session.expire_all()
    assert job.params == params


def test_a_job_comes_back_with_every_value_it_was_given(session: Session) -> None:
    moment = datetime(2026, 11, 24, 23, 59, 59, 999999)  # noqa: DTZ001 - UTC without a zone
    given = {
        "status": JobStatus.failed,
        "output_path": "data/outputs/x",
        "error_message": "line one\nline two",
        "created_at": moment,
        "updated_at": moment,
        "position": 2**62,
        "source": "match-videos",
        "params": {"a": 1},
        "input_size": 2**40,
        "attempts": 3,
        "interruptions": 1,
        "progress": 0.25,
        "run_id": uuid.uuid4(),
        "started_at": moment,
        "finished_at": moment,
        "error_type": "ValueError",
        "code_version": "0123456789abcdef",
    }
    job = add_job(session, **given)
    session.expire_all()
    assert {name: getattr(job, name) for name in given} == given


def test_the_other_tables_take_and_give_rows(session: Session) -> None:
    job_id, ledger_id = uuid.uuid4(), uuid.uuid4()
    session.add_all(
        [
            JobAttempt(job_id=job_id, attempt=1, outcome="completed", output_paths=["a", "b"]),
            SourceRecord(name="s", kind="folder"),
            RunRecord(executor="inline", workers=1, environment={"gpus": []}),
            LedgerInfo(ledger_id=ledger_id, generation=1),
        ]
    )
    session.commit()
    session.expire_all()
    assert session.scalars(select(JobAttempt)).one().output_paths == ["a", "b"]
    assert session.scalars(select(SourceRecord)).one().kind == "folder"
    assert session.scalars(select(RunRecord)).one().environment == {"gpus": []}
    assert session.scalars(select(LedgerInfo)).one().ledger_id == ledger_id


def test_ids_and_times_have_duckdbs_own_types(test_engine: Engine) -> None:
    with test_engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'jobs'"
                " AND column_name IN ('job_id', 'status', 'created_at', 'position')"
            )
        )
        found = {name: kind for name, kind in rows}  # noqa: C416 - rows are no pairs to dict()
    assert found == {
        "job_id": "UUID",
        "status": "ENUM('pending', 'running', 'completed', 'failed')",
        "created_at": "TIMESTAMP",
        "position": "BIGINT",
    }


def test_a_status_is_its_text() -> None:
    assert JobStatus("failed") is JobStatus.failed
    assert JobStatus.failed == "failed"


def test_every_pair_of_statuses_is_allowed_or_refused() -> None:
    pending, running, completed, failed = JobStatus
    refused = {
        *((status, status) for status in JobStatus),
        (pending, completed),
        (pending, failed),
        (completed, running),
        (completed, failed),
        (failed, running),
        (failed, completed),
    }
    every = {(one, other) for one in JobStatus for other in JobStatus}
    assert every == ALLOWED_MOVES | refused
    assert not ALLOWED_MOVES & refused
