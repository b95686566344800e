"""Fetches any part of the jobs in an order without sorting all the jobs before it.

For a page deep inside many jobs, a sample of them tells two bounds that the page should lie between. How many jobs
come before the lower one is counted, in one scan, and only those between the two are sorted. Where the sample
misled, as counting tells, wider bounds are tried, at last none: the rows are right whatever it says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.widgets.ordering import KEYS, Bounds, Order
from foregsyte_kaggle.widgets.sampling import guess_by_sample, guess_evenly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

__all__ = ["Part", "fetch_part", "guess_ahead"]

#: Up to so many jobs that pass are sorted: bounds need scans of the whole ledger, which pay for more. In a ledger of
#: 1,000,000 jobs both cost the same at 100,000 to 300,000 jobs, by the key (DuckDB 1.3: 50,000 to 100,000);
#: in one of 200,000 at about 70,000.
SORTED_JOBS = 70_000

#: Up to so many jobs before a page are kept with it in a heap, in one scan; DuckDB sorts them all where page and
#: these are 5,000.
HEAPED_JOBS = 3_900

#: How far the bounds are from where the jobs seem to be, in standard deviations, one try after the other.
SPREADS = (3.0, 10.0, math.inf)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which of the jobs that pass a condition.

    Attributes
    ----------
    where : str
        The condition on a row of ``jobs``, as SQL.
    parameters : dict
        The values of its parameters.
    jobs : int
        How many pass it.
    offset, size : int
        How many of them come before the part, and how many are in it at most.
    """

    where: str
    parameters: dict[str, Any]
    jobs: int
    offset: int
    size: int


def fetch_part(
    cursor: DuckDBPyConnection,
    columns: Sequence[str],
    order: Order,
    part: Part,
    column_values: dict[str, Any],
) -> list[tuple[Any, ...]]:
    """Return columns of a part of the jobs, in order.

    Parameters
    ----------
    columns
        As SQL; they are read for the part's own rows, and few others.
    column_values
        The values of their parameters.
    """
    size = min(part.size, part.jobs - part.offset)
    behind = part.jobs - part.offset - size
    # From the end that is nearer.
    read = replace(order, backwards=behind < part.offset)
    skipped = min(part.offset, behind)
    rows: list[tuple[Any, ...]] = []
    pays = part.jobs > SORTED_JOBS and skipped > HEAPED_JOBS
    # Few jobs that lie together are read at once; of others, columns are read only once it is known which they are.
    lie_together = order.key == KEYS["registered"] and (pays or skipped <= HEAPED_JOBS)
    values = part.parameters | order.parameters
    for spread in SPREADS if pays else SPREADS[-1:]:
        bounds = _guess(cursor, read, part, (skipped, skipped + size), spread)
        ahead = _count_before(cursor, part, bounds)
        if ahead > skipped:
            continue
        chosen = (
            f"FROM jobs WHERE {part.where} AND {bounds.between()}"
            f" ORDER BY {read.clause()} LIMIT {size} OFFSET {skipped - ahead}"
        )
        if not lie_together:
            chosen = f"FROM jobs WHERE rowid IN (SELECT rowid {chosen}) ORDER BY {read.clause()}"
        rows = cursor.execute(
            f"SELECT {', '.join(columns)} {chosen}", values | column_values | bounds.parameters
        ).fetchall()
        if len(rows) == size:
            break
    return rows[::-1] if read.backwards else rows


def guess_ahead(
    cursor: DuckDBPyConnection,
    order: Order,
    passing: tuple[str, dict[str, Any]],
    ends: tuple[int, int],
) -> Bounds:
    """Return two bounds that a part probably lies between, for a search of all jobs, which is still to come.

    They are open where that would not pay: near the beginning, and in orders of what is no text, since
    a search reads the texts anyway, and to read the other columns once more costs little.

    Parameters
    ----------
    passing
        The condition that jobs pass, as SQL, and the values of its parameters.
    ends
        How many of these come before the part, and how many before its end.
    """
    if order.key != KEYS["input"] or ends[0] <= HEAPED_JOBS:
        return Bounds(order)
    return guess_by_sample(cursor, order, passing, ends, SPREADS[0])


def _guess(
    cursor: DuckDBPyConnection, order: Order, part: Part, ends: tuple[int, int], spread: float
) -> Bounds:
    if math.isinf(spread):
        return Bounds(order)
    passing = part.where, part.parameters
    if order.key == KEYS["registered"] and spread == SPREADS[0]:
        return guess_evenly(cursor, order, passing, part.jobs, ends, spread)
    return guess_by_sample(cursor, order, passing, ends, spread)


def _count_before(cursor: DuckDBPyConnection, part: Part, bounds: Bounds) -> int:
    if bounds.low is None:
        return 0
    below = replace(bounds, high=None)
    rows = cursor.execute(
        f"SELECT count(*) FROM jobs WHERE {part.where} AND {below.before_low()}",
        part.parameters | below.parameters,
    ).fetchall()
    return int(rows[0][0])
