"""Reads one page of jobs from the ledger; its cost grows neither with the page's number nor with an error's length."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.versions import is_outdated
from foregsyte_kaggle.widgets.page import JobPage, JobRow, PageQuery

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["ERROR_CHARACTERS", "load_page"]

#: More of an error message than this does not leave the ledger; ``JobRow.error_length`` tells how much there is.
ERROR_CHARACTERS = 2_000

#: The same for names and paths, which may be any text of a manifest.
NAME_CHARACTERS = 500

# Positions are counted in buckets of 2 ** 14, so that no page needs the sorting of the pages before it: with
# a plain OFFSET, DuckDB 1.3 takes a second for a page in the middle of 1,000,000 jobs.
BUCKET_BITS = 14


def load_page(database: Database, query: PageQuery) -> JobPage:
    """Read one page.

    Its cost does not grow with the number of the page: one query counts the jobs, by status and by
    range of positions, and one fetches the rows out of the range that holds them.

    Raises
    ------
    LedgerError
        If the ledger cannot be read.
    """
    with database.reading() as cursor:
        counted = _count(cursor, query)
        counts = {status: sum(per[status] for per in counted.values()) for status in JobStatus}
        page = JobPage(query=query, counts=counts, rows=())
        page = replace(page, query=replace(query, number=min(query.number, page.pages)))
        if not page.matching:
            return page
        return replace(page, rows=tuple(_fetch(cursor, page.query, counted)))


def _count(cursor: DuckDBPyConnection, query: PageQuery) -> dict[int | None, dict[JobStatus, int]]:
    """Count jobs by bucket of positions and status; jobs without a position are in the last bucket, None."""
    where, parameters = _cond(query)
    # The status becomes text in the outer query, once a group, which halves the time.
    rows = cursor.execute(
        "SELECT bucket, status::VARCHAR, number FROM"
        f" (SELECT position >> {BUCKET_BITS} AS bucket, status, count(*) AS number"
        f" FROM jobs WHERE {where} GROUP BY ALL) ORDER BY bucket NULLS LAST",
        parameters,
    ).fetchall()
    counted: dict[int | None, dict[JobStatus, int]] = {}
    for bucket, status, jobs in rows:
        counted.setdefault(bucket, dict.fromkeys(JobStatus, 0))[JobStatus(status)] += jobs
    return counted


def _fetch(
    cursor: DuckDBPyConnection,
    query: PageQuery,
    counted: dict[int | None, dict[JobStatus, int]],
) -> list[JobRow]:
    chosen = query.statuses or tuple(JobStatus)
    offset = (query.number - 1) * query.page_size
    held: list[int | None] = []
    needed = query.page_size
    for bucket, per_status in counted.items():
        jobs = sum(per_status[status] for status in chosen)
        if not held and offset >= jobs:
            offset -= jobs
            continue
        needed -= jobs - (0 if held else offset)
        held.append(bucket)
        if needed <= 0:
            break
    where, parameters = _cond(query)
    if query.statuses:
        where += " AND status IN ({})".format(
            ", ".join(f"'{status.value}'" for status in query.statuses)
        )
    outdated, versions = is_outdated()
    parameters |= versions
    numbered = [bucket for bucket in held if bucket is not None]
    ranges = ["position IS NULL"] if None in held else []
    if numbered:
        parameters["low"] = numbered[0] << BUCKET_BITS
        parameters["high"] = ((numbered[-1] + 1) << BUCKET_BITS) - 1
        ranges.append("position BETWEEN $low AND $high")
    rows = cursor.execute(
        f"SELECT job_id::VARCHAR, status::VARCHAR, {_cut('pipeline_id')}, {_cut('source')},"
        f" {_cut('input_path')}, attempts, progress, {_cut('error_type')},"
        f" left(error_message, {ERROR_CHARACTERS}), coalesce(length(error_message), 0),"
        f" updated_at, started_at, finished_at, {outdated}"
        f" FROM jobs WHERE {where} AND ({' OR '.join(ranges)})"
        " ORDER BY position NULLS LAST, created_at, job_id"
        f" LIMIT {query.page_size} OFFSET {offset}",
        parameters,
    ).fetchall()
    return [_as_row(*row) for row in rows]


def _as_row(job_id: str, status: str, *rest: Any) -> JobRow:
    (
        pipeline_id,
        source,
        input_path,
        attempts,
        progress,
        error_type,
        message,
        length,
        *times,
        outdated,
    ) = rest
    updated_at, started_at, finished_at = map(_aware, times)
    return JobRow(
        job_id=job_id,
        status=JobStatus(status),
        pipeline_id=pipeline_id,
        source=source,
        input_path=input_path,
        attempts=attempts,
        progress=progress,
        error_type=error_type,
        error_message=message,
        error_length=length,
        updated_at=updated_at,
        started_at=started_at,
        finished_at=finished_at,
        outdated=outdated,
    )


def _xconditions(query: PageQuery) -> tuple[str, dict[str, Any]]:
    wanted = {"pipeline_id": query.pipeline_id, "source": query.source}
    parameters: dict[str, Any] = {
        name: value for name, value in wanted.items() if value is not None
    }
    return " AND ".join(f"{name} = ${name}" for name in parameters) or "true", parameters


def _cut(column: str) -> str:
    return (
        f"CASE WHEN length({column}) > {NAME_CHARACTERS}"
        f" THEN left({column}, {NAME_CHARACTERS}) || '…' ELSE {column} END"
    )


def _aware(moment: datetime | None) -> Any:
    return moment.replace(tzinfo=UTC) if moment is not None else None


class Choices:
    def __init__(self, p, s):
        self.pipelines=p; self.sources=s


def load_choices(database):
    with database.reading() as c:
        p=tuple(x for (x,) in c.execute("SELECT DISTINCT pipeline_id FROM jobs ORDER BY 1").fetchall())
        s=tuple(x for (x,) in c.execute("SELECT DISTINCT source FROM jobs WHERE source IS NOT NULL ORDER BY 1").fetchall())
    return Choices(p,s)


def _cond(query):
    from dataclasses import replace
    return replace(query, statuses=()).where()
