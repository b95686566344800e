"""What the endpoints read: pages of jobs after a place, one job with its attempts, rows of its result."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle.api.cursors import Place
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.results import JOB_COLUMN, quote, result_columns, table_name
from foregsyte_kaggle.versions import is_outdated

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.filters import JobFilter
    from foregsyte_kaggle.workspace import Workspace

__all__ = ["Rows", "read_job", "read_jobs", "read_live_runs", "read_rows"]

#: More of a text than this does not leave the ledger, in a list and of one job.
LISTED_CHARACTERS = 2_000
TEXT_CHARACTERS = 20_000
#: The newest attempts of a job that are told.
ATTEMPTS = 100

JOB = (
    "jobs.job_id, jobs.status::VARCHAR AS status, jobs.params::VARCHAR AS params,"
    " CASE WHEN isfinite(jobs.progress) THEN jobs.progress END AS progress,"
    " epoch_us(jobs.finished_at - jobs.started_at) / 1e6 AS duration_seconds, jobs.run_id,"
    " coalesce(length(jobs.error_message), 0) AS error_length, jobs.code_version, jobs.position,"
    " jobs.pipeline_id, jobs.source, jobs.input_path, jobs.attempts, jobs.interruptions, jobs.error_type,"
    " jobs.output_path, jobs.input_size, jobs.created_at, jobs.updated_at, jobs.started_at, jobs.finished_at"
)
ATTEMPT = (
    "attempt, outcome, started_at, finished_at, error_type, result_rows, worker, code_version, run_id,"
    " CASE WHEN isfinite(duration_seconds) THEN duration_seconds END AS duration_seconds,"
    f" left(error_message, {TEXT_CHARACTERS}) AS error_message, right(traceback, {TEXT_CHARACTERS}) AS traceback,"
    f" right(output, {TEXT_CHARACTERS}) AS output, output_paths::VARCHAR AS output_paths"
)


class Rows(NamedTuple):
    """Some rows of a job's result."""

    columns: dict[str, str]
    """With their types."""
    rows: list[dict[str, Any]]
    total: int


def read_jobs(
    database: Database, wanted: JobFilter, after: Place, limit: int
) -> tuple[list[dict[str, Any]], Place | None]:
    """Return the jobs that follow a place, and the place of the next page; None after the last.

    Numbered jobs come first, by position, which never changes: jobs that are added meanwhile come later.

    Raises
    ------
    InvalidArgumentError
        If the job that the place is after is not in the ledger any more.
    """
    where, parameters = wanted.where()
    passed: dict[str, Any]
    with database.reading() as cursor:
        found: list[dict[str, Any]] = []
        after = _numbered_meanwhile(cursor, after)
        if after.job_id is None:
            passed = {"after": -1 if after.position is None else after.position}
            more = f"{where} AND jobs.position > $after"
            found = _page(cursor, more, parameters | passed, "jobs.position", limit + 1)
        rest = limit + 1 - len(found)
        if rest:
            more, passed = f"{where} AND jobs.position IS NULL", {}
            if after.job_id is not None:
                more += (
                    " AND (jobs.created_at, jobs.job_id) > (SELECT (created_at, job_id) FROM jobs"
                    " WHERE job_id = $after)"
                )
                passed = {"after": after.job_id}
            order = "jobs.created_at, jobs.job_id"
            found += _page(cursor, more, parameters | passed, order, rest)
    page, last = found[:limit], None
    if len(found) > limit:
        last = Place(page[-1]["position"], page[-1]["job_id"])
    return page, last


def _numbered_meanwhile(cursor: DuckDBPyConnection, after: Place) -> Place:
    """Return the place after a job that had no position when the page before was read."""
    if after.job_id is None:
        return after
    rows = cursor.execute(
        "SELECT position FROM jobs WHERE job_id = $job_id", {"job_id": after.job_id}
    ).fetchall()
    if not rows:
        raise InvalidArgumentError(
            f"the cursor is after the job {after.job_id}, which is not in the ledger any more; begin anew"
        )
    ((position,),) = rows
    return after if position is None else Place(position)


def _page(
    cursor: DuckDBPyConnection, where: str, parameters: dict[str, Any], order: str, limit: int
) -> list[dict[str, Any]]:
    # Only the page's own rows are read for their texts.
    chosen = f"SELECT jobs.rowid FROM jobs WHERE {where} ORDER BY {order} LIMIT {limit}"
    return _jobs(cursor, f"rowid IN ({chosen}) ORDER BY {order}", parameters, LISTED_CHARACTERS)


def _jobs(
    cursor: DuckDBPyConnection, where: str, parameters: dict[str, Any], characters: int
) -> list[dict[str, Any]]:
    outdated, versions = is_outdated()
    query = (
        f"SELECT {JOB}, left(jobs.error_message, {characters}) AS error_message, {outdated} AS outdated"
        f" FROM jobs WHERE {where}"
    )
    return [
        row | {"params": _parsed(row["params"])}
        for row in _rows(cursor, query, parameters | versions)
    ]


def read_job(database: Database, job_id: uuid.UUID) -> dict[str, Any] | None:
    """Return a job with its newest attempts; None where the ledger has no such job."""
    job = {"job_id": job_id}
    with database.reading() as cursor:
        found = _jobs(cursor, "jobs.job_id = $job_id", job, TEXT_CHARACTERS)
        if not found:
            return None
        query = (
            f"SELECT {ATTEMPT}, count(*) OVER () AS total FROM job_attempts WHERE job_id = $job_id"
            f" ORDER BY attempt DESC, finished_at DESC LIMIT {ATTEMPTS}"
        )
        tried = list(_rows(cursor, query, job))
    total = tried[0]["total"] if tried else 0
    for one in tried:
        paths = _parsed(one["output_paths"])
        one["output_paths"] = paths if isinstance(paths, list) else []
    return found[0] | {"tries": tried, "total_tries": total}


def read_rows(database: Database, job_id: uuid.UUID, offset: int, limit: int) -> Rows | None:
    """Return rows of a completed job's result, none of others; None where the ledger has no such job."""
    job = {"job_id": job_id}
    with database.reading() as cursor:
        found = cursor.execute(
            "SELECT pipeline_id, status = 'completed' FROM jobs WHERE job_id = $job_id", job
        ).fetchall()
        if not found:
            return None
        ((pipeline_id, is_completed),) = found
        columns = {
            name: kind
            for name, kind in result_columns(cursor, pipeline_id).items()
            if name != JOB_COLUMN
        }
        if not columns or not is_completed:
            return Rows(columns, [], 0)
        rows = f"FROM {table_name(pipeline_id)} WHERE {JOB_COLUMN} = $job_id"
        ((total,),) = cursor.execute(f"SELECT count(*) {rows}", job).fetchall()
        cells = ", ".join(f"to_json({quote(name)})::VARCHAR" for name in columns)
        values = cursor.execute(
            f"SELECT {cells} {rows} ORDER BY rowid LIMIT {limit} OFFSET {offset}", job
        ).fetchall()
    return Rows(
        columns,
        [dict(zip(columns, map(_parsed, row), strict=True)) for row in values],
        total,
    )


def read_live_runs(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the runs that work now."""
    alive = list(workspace.live_runs)
    if not alive:
        return []
    query = (
        "SELECT run_id, pipeline_id, executor, workers, started_at FROM runs"
        " WHERE run_id IN (SELECT unnest($alive)) ORDER BY started_at"
    )
    with workspace.database.reading() as cursor:
        return list(_rows(cursor, query, {"alive": alive}))


def _rows(
    cursor: DuckDBPyConnection, query: str, parameters: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield rows by name, with times that know that they are UTC."""
    found = cursor.execute(query, parameters)
    names = [column[0] for column in found.description or ()]
    for values in found.fetchall():
        yield {
            name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
            for name, value in zip(names, values, strict=True)
        }


def _parsed(text: str | None) -> Any:
    """Return JSON as values; NaN and infinities, which JSON has not, as null."""
    if text is None:
        return None
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):  # by hand, or nested too deep
        return text
