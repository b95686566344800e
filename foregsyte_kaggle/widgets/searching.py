"""Remembers which jobs a search found, as one bit a job, so that a page reads the texts of all jobs only once.

For a page deep inside jobs sorted by these texts, a sample tells before which bounds it should lie between. The same
reading then counts the jobs before them, and only those between them are left to sort, if the page is there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.fetching import guess_ahead
from foregsyte_kaggle.widgets.ordering import Bounds, Order

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Found", "find_jobs"]


@dataclass(frozen=True)
class Found:
    """The jobs that pass a filter, or those of them among which a part lies.

    Attributes
    ----------
    counts : dict
        How many there are of each status, all four, whichever the filter chooses.
    where : str
        The condition that a row of ``jobs`` is one of these, as SQL, cheap to test again and again.
    parameters : dict
        The values of its parameters.
    jobs : int
        How many these are.
    ahead : int
        How many that pass come before all of these.
    """

    counts: dict[JobStatus, int]
    where: str
    parameters: dict[str, Any]
    jobs: int
    ahead: int = 0


def find_jobs(
    cursor: DuckDBPyConnection, wanted: JobFilter, order: Order, ends: tuple[int, int]
) -> Found:
    """Count the jobs that pass a filter, and return the condition that one does.

    Where the filter searches, that is done here, and the condition holds on this cursor until its
    transaction ends, or it searches again.

    Parameters
    ----------
    order, ends
        Which part of them will be wanted: how many come before it, and how many before its end.
    """
    anyhow, parameters = replace(wanted, statuses=()).where()
    chosen, _ = JobFilter(statuses=wanted.statuses).where()
    counts = dict.fromkeys(JobStatus, 0)
    if not wanted.search:
        rows = cursor.execute(
            f"SELECT status, count(*) FROM jobs WHERE {anyhow} GROUP BY status", parameters
        ).fetchall()
        counts |= {JobStatus(status): jobs for status, jobs in rows}
        matching = sum(counts[status] for status in wanted.statuses or JobStatus)
        return Found(counts, f"{anyhow} AND {chosen}", parameters, matching)
    ((last,),) = cursor.execute("SELECT coalesce(max(rowid), 0) FROM jobs").fetchall()
    bounds = Bounds(order)
    if ends[0] <= last:
        bounds = guess_ahead(cursor, order, wanted.where(), ends)
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE found AS SELECT status, {bounds.side()} AS side, count(*) AS jobs,"
        f" bitstring_agg(rowid, 0, {last}) AS bits FROM jobs WHERE {anyhow} GROUP BY ALL",
        parameters | bounds.parameters,
    )
    sides = Counter[int]()
    for name, side, jobs in cursor.execute("SELECT status, side, jobs FROM temp.found").fetchall():
        status = JobStatus(name)
        counts[status] += jobs
        sides[side] += jobs if status in (wanted.statuses or JobStatus) else 0
    first, end = ends
    ahead, near, matching = sides[-1], sides[0], sides.total()
    if ahead <= first < min(end, matching) <= ahead + near:
        chosen += " AND side = 0"
    else:
        ahead, near = 0, matching
    # Named jobs for what is chosen of their statuses. There are no bits, but NULL, where nothing is found: DuckDB
    # knows without a look at any job.
    cursor.execute(
        f"SET VARIABLE found = (SELECT bit_or(bits) FROM temp.found AS jobs WHERE {chosen})"
    )
    return Found(counts, "get_bit(getvariable('found'), jobs.rowid::INTEGER) = 1", {}, near, ahead)
