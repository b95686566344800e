"""Reads one page of jobs from the ledger; its cost grows neither with the page's number nor with an error's length."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.versions import is_outdated
from foregsyte_kaggle.widgets.fetching import Part, fetch_part
from foregsyte_kaggle.widgets.ordering import KEYS, Order
from foregsyte_kaggle.widgets.page import JobPage, JobRow, PageQuery
from foregsyte_kaggle.widgets.searching import find_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["ERROR_CHARACTERS", "load_page"]

#: More of an error message than this does not leave the ledger; ``JobRow.error_length`` tells how much there is.
ERROR_CHARACTERS = 2_000

#: The same for names and paths, which may be any text of a manifest.
NAME_CHARACTERS = 500


def _cut(column: str) -> str:
    return (
        f"CASE WHEN length(jobs.{column}) > {NAME_CHARACTERS}"
        f" THEN left(jobs.{column}, {NAME_CHARACTERS}) || '…' ELSE jobs.{column} END"
    )


#: What each field of a ``JobRow`` is in SQL, but for ``outdated``.
COLUMNS = {
    "job_id": "jobs.job_id::VARCHAR",
    "status": "jobs.status",
    "pipeline_id": _cut("pipeline_id"),
    "source": _cut("source"),
    "input_path": _cut("input_path"),
    "attempts": "jobs.attempts",
    "progress": "jobs.progress",
    "error_type": _cut("error_type"),
    "error_message": f"left(jobs.error_message, {ERROR_CHARACTERS})",
    "error_length": "coalesce(length(jobs.error_message), 0)",
    "updated_at": "jobs.updated_at",
    "started_at": "jobs.started_at",
    "finished_at": "jobs.finished_at",
}
TIMES = ("updated_at", "started_at", "finished_at")


def load_page(database: Database, query: PageQuery) -> JobPage:
    """Read one page, in one transaction.

    The jobs are counted by status, and the rows of the page fetched; how long that takes hardly
    depends on the page's number. A search reads the texts of all jobs, but only once.

    Raises
    ------
    LedgerError
        If the ledger cannot be read.
    """
    asked_at = datetime.now(UTC)
    key = KEYS[query.sort]
    now = {"now": asked_at.replace(tzinfo=None)} if "$now" in key else {}
    order = Order(key, query.descending, parameters=now)
    with database.reading() as cursor:
        found = find_jobs(cursor, query, order, _ends(query))
        page = JobPage(query=query, counts=found.counts, rows=(), asked_at=asked_at)
        page = replace(page, query=replace(query, number=min(query.number, page.pages)))
        if not page.matching:
            return page
        first, end = _ends(page.query)
        part = Part(
            where=found.where,
            parameters=found.parameters,
            jobs=found.jobs,
            offset=first - found.ahead,
            size=end - first,
        )
        return replace(page, rows=tuple(_fetch(cursor, order, part)))


def _ends(query: PageQuery) -> tuple[int, int]:
    """Return how many jobs come before a page, and how many before its end."""
    end = query.number * query.page_size
    return end - query.page_size, end


def _fetch(cursor: DuckDBPyConnection, order: Order, part: Part) -> Iterator[JobRow]:
    outdated, versions = is_outdated()
    for values in fetch_part(cursor, [*COLUMNS.values(), outdated], order, part, versions):
        fields = dict(zip([*COLUMNS, "outdated"], values, strict=True))
        times = {name: fields[name] and fields[name].replace(tzinfo=UTC) for name in TIMES}
        yield JobRow(**fields | times | {"status": JobStatus(fields["status"])})
