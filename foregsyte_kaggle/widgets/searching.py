"""Remembers which jobs a search found, as one bit a job, so that a page reads the texts of all jobs only once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.models import JobStatus

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Found", "find_jobs"]


@dataclass(frozen=True)
class Found:
    """The jobs that pass a filter.

    Attributes
    ----------
    counts : dict
        How many there are of each status, all four, whichever the filter chooses.
    where : str
        The condition that a row of ``jobs`` passes it, as SQL, cheap to test again and again.
    parameters : dict
        The values of its parameters.
    """

    counts: dict[JobStatus, int]
    where: str
    parameters: dict[str, Any]


def find_jobs(cursor: DuckDBPyConnection, wanted: JobFilter) -> Found:
    """Count the jobs that pass a filter, and return the condition that one does.

    Where the filter searches, that is done here, and the condition holds on this cursor until its
    transaction ends, or it searches again.
    """
    anyhow, parameters = replace(wanted, statuses=()).where()
    chosen, _ = JobFilter(statuses=wanted.statuses).where()
    if not wanted.search:
        rows = cursor.execute(
            f"SELECT status, count(*) FROM jobs WHERE {anyhow} GROUP BY status", parameters
        ).fetchall()
        return Found(_as_counts(rows), f"{anyhow} AND {chosen}", parameters)
    ((last,),) = cursor.execute("SELECT coalesce(max(rowid), 0) FROM jobs").fetchall()
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE found AS SELECT status, count(*) AS jobs,"
        f" bitstring_agg(rowid, 0, {last}) AS bits FROM jobs WHERE {anyhow} GROUP BY status",
        parameters,
    )
    rows = cursor.execute("SELECT status, jobs FROM temp.found").fetchall()
    # Named jobs for what is chosen of their statuses. There are no bits, but NULL, where nothing is found: DuckDB
    # knows without a look at any job.
    cursor.execute(
        f"SET VARIABLE found = (SELECT bit_or(bits) FROM temp.found AS jobs WHERE {chosen})"
    )
    return Found(_as_counts(rows), "get_bit(getvariable('found'), jobs.rowid::INTEGER) = 1", {})


def _as_counts(rows: list[tuple[str, int]]) -> dict[JobStatus, int]:
    return dict.fromkeys(JobStatus, 0) | {JobStatus(status): count for status, count in rows}
