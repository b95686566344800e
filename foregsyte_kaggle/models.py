"""The ledger's tables.

``Job`` starts with the eight columns of revision 1; what follows them came with later revisions. Times
are UTC and stored without a zone. There are no foreign keys and no indexes but the primary keys:
DuckDB reports false violations when an indexed column is updated.
"""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Double,
    Enum,
    Integer,
    String,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from foregsyte_kaggle.database import Base

__all__ = ["Job", "JobAttempt", "JobStatus", "LedgerInfo", "Outcome", "RunRecord", "SourceRecord"]


def utc_now() -> datetime:
    """Return the time in UTC without a zone, as the ledger stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


class JobStatus(str, enum.Enum):
    """What a job waits for."""

    pending = "pending"
    """To be claimed by a run."""
    running = "running"
    """Claimed by a run; pending again if that run dies, is stopped or runs out of time."""
    completed = "completed"
    """Its result is in the ledger."""
    failed = "failed"
    """Every try ended in an error; ``retry_jobs`` makes it pending again."""


#: The moves that a job may make; all others are refused (``merge_ledgers`` makes none: it takes over what
#: another ledger says of the job). Nothing here reads it: the WHERE clauses of
#: ``ledger`` make the moves, and a test tries each of its functions from each status against this table.
ALLOWED_MOVES = frozenset(
    {
        (JobStatus.pending, JobStatus.running),  # claim
        (JobStatus.running, JobStatus.completed),  # record
        (JobStatus.running, JobStatus.failed),  # record
        (JobStatus.running, JobStatus.pending),  # end of its run, recovery
        (JobStatus.failed, JobStatus.pending),  # retry, changed input
        (JobStatus.completed, JobStatus.pending),  # explicit retry, changed input
    }
)


class Outcome(str, enum.Enum):
    """How an attempt ended."""

    completed = "completed"
    """The pipeline returned and its rows are stored."""
    failed = "failed"
    """The pipeline raised, or returned what cannot be stored."""
    timeout = "timeout"
    """It took longer than ``job_timeout`` and was killed."""
    died = "died"
    """Its worker process died: a signal, an exit, no memory."""
    interrupted = "interrupted"
    """The notebook's process ended while it ran."""


class Job(Base):
    """One pipeline over one input, with params."""

    __tablename__ = "jobs"

    job_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    status: Mapped[JobStatus] = mapped_column(
        Enum(JobStatus, name="job_status_enum"), default=JobStatus.pending
    )
    pipeline_id: Mapped[str] = mapped_column(String)
    input_path: Mapped[str] = mapped_column(String)
    """Relative to its source, POSIX form; see ``sources.encode_path`` for odd names."""
    output_path: Mapped[str | None] = mapped_column(String)
    """The first file it wrote, relative to the workspace."""
    error_message: Mapped[str | None] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(DateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(DateTime, default=utc_now, onupdate=utc_now)

    position: Mapped[int | None] = mapped_column(BigInteger)
    """Order of registering; never changes. None until the ledger numbers a job made by hand."""
    source: Mapped[str | None] = mapped_column(String)
    """Name of its source; None when ``input_path`` counts from the workspace."""
    params: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    input_size: Mapped[int | None] = mapped_column(BigInteger)
    """Size of the input in bytes when it was registered."""
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often it was claimed and tried."""
    interruptions: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often the notebook's process died while it ran."""
    progress: Mapped[float | None] = mapped_column(Double)
    """From 0 to 1, as the pipeline said."""
    run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    """The run that claimed it last."""
    started_at: Mapped[datetime | None] = mapped_column(DateTime)
    finished_at: Mapped[datetime | None] = mapped_column(DateTime)
    error_type: Mapped[str | None] = mapped_column(String)
    code_version: Mapped[str | None] = mapped_column(String)
    """Fingerprint of the pipeline that was tried last, or its ``version=``."""


class JobAttempt(Base):
    """One finished try of a job: written once, in the commit that ends it, then never changed.

    A try under way is the job's own row: ``status`` running, ``attempts``, ``started_at``, ``run_id``.
    """

    __tablename__ = "job_attempts"

    attempt_id: Mapped[uuid.UUID] = mapped_column(Uuid, default=uuid.uuid4)
    job_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    attempt: Mapped[int] = mapped_column(Integer)
    """1 for the first try."""
    outcome: Mapped[str] = mapped_column(String)
    """A member of ``Outcome``."""
    started_at: Mapped[datetime | None] = mapped_column(DateTime)
    finished_at: Mapped[datetime | None] = mapped_column(DateTime)
    duration_seconds: Mapped[float | None] = mapped_column(Double)
    error_type: Mapped[str | None] = mapped_column(String)
    error_message: Mapped[str | None] = mapped_column(String)
    traceback: Mapped[str | None] = mapped_column(String)
    output: Mapped[str | None] = mapped_column(String)
    """The last 8 kB of what it printed."""
    output_paths: Mapped[list[str] | None] = mapped_column(JSON)
    """The files it wrote, relative to the workspace."""
    result_rows: Mapped[int | None] = mapped_column(BigInteger)
    worker: Mapped[str | None] = mapped_column(String)
    """Process id, or thread name, that ran it."""
    code_version: Mapped[str | None] = mapped_column(String)

    # Millions of rows are appended, so the table itself carries no index.
    __mapper_args__ = {"primary_key": [attempt_id]}  # noqa: RUF012 - as SQLAlchemy declares it


class SourceRecord(Base):
    """Where the inputs of a named source were seen last."""

    __tablename__ = "sources"

    name: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    """folder, glob, list, table or ids; dataset, competition, notebook, model, or mount, of Kaggle's."""
    owner: Mapped[str | None] = mapped_column(String)
    """Who published it on Kaggle, once a layout showed it."""
    root: Mapped[str | None] = mapped_column(String)
    """The folder that paths count from, relative to the workspace if inside it; None for ids and URLs."""
    created_at: Mapped[datetime] = mapped_column(DateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(DateTime, default=utc_now)


class RunRecord(Base):
    """One call of ``run_jobs``."""

    __tablename__ = "runs"

    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    pipeline_id: Mapped[str | None] = mapped_column(String)
    """None when it ran all pipelines."""
    executor: Mapped[str] = mapped_column(String)
    workers: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(DateTime, default=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(DateTime)
    ended_by: Mapped[str | None] = mapped_column(String)
    """finished, limit, time_limit, disk, stopped, error, or died; None while it runs."""
    completed: Mapped[int | None] = mapped_column(BigInteger)
    failed: Mapped[int | None] = mapped_column(BigInteger)
    environment: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Where it worked, as ``surroundings.session_facts`` tells it."""
    package_version: Mapped[str | None] = mapped_column(String)


class LedgerInfo(Base):
    """One row a session that opened the ledger; the newest generation is the current one."""

    __tablename__ = "ledger_info"

    session_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    ledger_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    """The same in all copies of one ledger."""
    parent_session_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    generation: Mapped[int] = mapped_column(Integer)
    opened_at: Mapped[datetime] = mapped_column(DateTime, default=utc_now)
    package_version: Mapped[str | None] = mapped_column(String)
    duckdb_version: Mapped[str | None] = mapped_column(String)
    outputs_from: Mapped[str | None] = mapped_column(String)
    """Where the output files stayed of the ledger that it continued, below the input root if relative."""
