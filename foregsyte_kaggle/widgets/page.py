"""What a page of the job table is: the question, its rows, and the numbers around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.models import JobStatus

__all__ = ["SORTS", "JobPage", "JobRow", "PageQuery"]

MAX_PAGE_SIZE = 1_000

#: What jobs can be sorted by. Those with nothing in that column come last either way, and equal ones in the
#: order of registering.
SORTS = ("registered", "status", "input", "pipeline", "attempts", "took", "changed")


@dataclass(frozen=True, kw_only=True)
class PageQuery(JobFilter):
    """Which jobs to show, in which order, and which page of them.

    Attributes
    ----------
    sort : str
        One of ``SORTS``.
    descending : bool
        Whether the largest, or the last, comes first.
    page_size : int
        Rows a page, from 1 to 1,000.
    number : int
        The page, from 1.
    """

    sort: str = "registered"
    descending: bool = False
    page_size: int = 20
    number: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sort not in SORTS:
            raise InvalidArgumentError(f"sort={self.sort!r:.80}; expected one of {list(SORTS)}")
        if not isinstance(self.descending, bool):
            raise InvalidArgumentError(
                f"descending={self.descending!r:.80}; expected True or False"
            )
        size, number = self.page_size, self.number
        if not _is_whole(size) or not 1 <= size <= MAX_PAGE_SIZE:
            raise InvalidArgumentError(
                f"page_size={size!r}; expected a whole number from 1 to {MAX_PAGE_SIZE:,}"
            )
        if not _is_whole(number) or number < 1:
            raise InvalidArgumentError(f"page number {number!r}; expected a whole number from 1")

    def describe(self) -> str:
        """Return the filter in words; empty when it lets all jobs pass."""
        parts = [" or ".join(status.value for status in self.statuses)]
        parts += [f"pipeline {self.pipeline_id}"] if self.pipeline_id is not None else []
        parts += [f"source {self.source}"] if self.source is not None else []
        parts += [f"with “{self.search}”"] if self.search else []
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """What the table shows of one job; times are in UTC and aware of it."""

    job_id: str
    status: JobStatus
    pipeline_id: str
    source: str | None
    input_path: str
    attempts: int
    progress: float | None
    error_type: str | None
    error_message: str | None
    """Its beginning."""
    error_length: int
    """Characters of the whole message."""
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outdated: bool = False
    """Whether it was completed by other code than that registered now."""

    @property
    def duration_seconds(self) -> float | None:
        """How long its last try took; None before its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """One page of jobs with the numbers around it, all of one moment.

    Attributes
    ----------
    query : PageQuery
        What was asked, with ``number`` moved to the last page if there are fewer.
    counts : dict
        Jobs of each status, all four, that pass all of the query's filters but that of statuses.
    rows : tuple of JobRow
        In the query's order.
    asked_at : datetime.datetime
        When, in UTC.
    """

    query: PageQuery
    counts: dict[JobStatus, int]
    rows: tuple[JobRow, ...]
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def total(self) -> int:
        """Jobs of all statuses."""
        return sum(self.counts.values())

    @property
    def matching(self) -> int:
        """Jobs on all pages together."""
        chosen = self.query.statuses or tuple(JobStatus)
        return sum(self.counts[status] for status in chosen)

    @property
    def pages(self) -> int:
        """How many pages there are; 1 when there is no job."""
        return max(1, -(-self.matching // self.query.page_size))

    @property
    def first(self) -> int:
        """Number of the first row among the matching ones, from 1; 0 when there is none."""
        return (self.query.number - 1) * self.query.page_size + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """Number of the last row."""
        return self.first + len(self.rows) - 1 if self.rows else 0


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
