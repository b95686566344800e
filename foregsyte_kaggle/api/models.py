"""What goes over HTTP, typed; FastAPI makes the OpenAPI document of it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from foregsyte_kaggle.models import JobStatus

__all__ = [
    "AttemptModel",
    "Counts",
    "Health",
    "JobModel",
    "JobPageModel",
    "JobWithAttempts",
    "Problem",
    "Registered",
    "ResultPage",
    "Retried",
    "Retry",
    "RunModel",
    "Submission",
]


class Problem(BaseModel):
    """Why a request was refused, and what to do."""

    detail: str


class JobModel(BaseModel):
    """A job. Times are UTC."""

    job_id: uuid.UUID
    status: JobStatus
    pipeline_id: str
    source: str | None
    input_path: str
    params: Any
    attempts: int
    interruptions: int
    progress: float | None
    error_type: str | None
    error_message: str | None = Field(description="Its beginning.")
    error_length: int = Field(description="Characters of the whole message.")
    output_path: str | None
    input_size: int | None
    duration_seconds: float | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_id: uuid.UUID | None
    code_version: str | None
    outdated: bool = Field(description="Whether other code than that registered now completed it.")


class JobPageModel(BaseModel):
    """Some jobs in the order of registering, and where to go on."""

    jobs: list[JobModel]
    next: str | None = Field(description="The cursor of the next page; null after the last.")


class AttemptModel(BaseModel):
    """One finished try of a job."""

    attempt: int
    outcome: str
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    error_type: str | None
    error_message: str | None
    traceback: str | None
    output: str | None = Field(description="The end of what it printed.")
    output_paths: list[Any]
    result_rows: int | None
    worker: str | None
    code_version: str | None
    run_id: uuid.UUID | None


class ResultPage(BaseModel):
    """Rows of what a completed job returned."""

    columns: dict[str, str] = Field(description="The names of the columns with DuckDB's types.")
    rows: list[dict[str, Any]]
    total: int


class JobWithAttempts(JobModel):
    """A job with its newest attempts and the first rows of its result."""

    tries: list[AttemptModel] = Field(description="Its finished attempts, the newest first.")
    total_tries: int
    result: ResultPage


class Counts(BaseModel):
    """How many jobs there are of each status."""

    pending: int
    running: int
    completed: int
    failed: int


class RunModel(BaseModel):
    """A run that works now."""

    run_id: uuid.UUID
    pipeline_id: str | None
    executor: str
    workers: int
    started_at: datetime


class Health(BaseModel):
    """Whether the ledger answers, and what it is."""

    status: Literal["ok"] = "ok"
    version: str | None
    duckdb_version: str
    revision: str | None = Field(
        description="Of the ledger's schema; null where no migration made it."
    )
    directory: str
    read_only: bool
    jobs: Counts
    runs: list[RunModel]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Submission(_Body):
    """Inputs to register, as ``register_jobs`` takes them."""

    source: str | list[str]
    pipeline_id: str
    pattern: str = "**/*"
    unit: str = "file"
    name: str | None = None
    params: dict[str, Any] | None = None
    limit: int | None = None
    on_change: str = "rerun"


class Registered(BaseModel):
    """What registering did."""

    pipeline_id: str
    source: str
    added: int
    unchanged: int
    changed: int
    skipped: list[tuple[str, str]]


class Retry(_Body):
    """Which finished jobs to make pending again, as ``retry_jobs`` takes them."""

    pipeline_id: str | None = None
    status: str = "failed"
    outdated: bool = False
    source: str | None = None
    job_ids: list[uuid.UUID] | None = None


class Retried(BaseModel):
    """How many jobs are pending again."""

    retried: int
