"""What the details of a job hold: all that the ledger knows of it, cut to what can be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.previews import Preview

__all__ = ["AttemptDetails", "Cut", "FileDetails", "JobDetails", "ResultDetails"]


@dataclass(frozen=True)
class Cut:
    """A text of which a part may be left out; empty for NULL."""

    shown: str = ""
    length: int = 0
    """Characters of all of it."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.length <= len(self.shown)


@dataclass(frozen=True, kw_only=True)
class AttemptDetails:
    """One try of a job; times are in UTC and aware of it."""

    attempt: int
    outcome: str
    """A member of ``Outcome``, or ``"running"``."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    error_type: str | None = None
    error: Cut = Cut()
    """The beginning of the message."""
    traceback: Cut = Cut()
    """Its end, where the error is."""
    output: Cut = Cut()
    """The end of what it printed."""
    result_rows: int | None = None
    worker: str | None = None
    code_version: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResultDetails:
    """The first rows and columns of what a job returned."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    total_columns: int
    total_rows: int


@dataclass(frozen=True)
class FileDetails:
    """A file that a job wrote."""

    path: str
    """Relative to the workspace."""
    size: int | None = None
    """In bytes; None where it is not there now."""


@dataclass(frozen=True, kw_only=True)
class JobDetails:
    """A job as it is shown when its row is opened.

    Attributes
    ----------
    params : Cut
        JSON.
    attempts : tuple of AttemptDetails
        The last ones, the newest first.
    total_attempts : int
        How many there are.
    error : Cut
        The job's own message.
    result : ResultDetails or None
        None where the job is not completed, or its rows cannot be read.
    files : tuple of FileDetails
        The first of those that it is recorded with.
    total_files : int
        How many it is recorded with.
    input : Preview
        What the input looks like.
    output : Preview or None
        The first picture among the files that can be shown; None where there is none.
    """

    job_id: str
    status: JobStatus
    pipeline_id: str
    source: str | None
    root: str | None
    """The folder that the path counts from, as it is stored; None for ids and URLs."""
    input_path: str
    """As it is stored."""
    input_size: int | None
    params: Cut
    error_type: str | None
    error: Cut
    progress: float | None
    interruptions: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_id: str | None
    code_version: str | None
    outdated: bool
    """Whether it was completed by other code than that registered now."""
    attempts: tuple[AttemptDetails, ...] = ()
    total_attempts: int = 0
    result: ResultDetails | None = None
    files: tuple[FileDetails, ...] = ()
    total_files: int = 0
    input: Preview = field(default_factory=Preview)
    output: Preview | None = None
