"""Guesses which two bounds a part of many jobs lies between, without sorting them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.widgets.ordering import POSITION, Bound, Bounds, Order

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["guess_by_sample", "guess_evenly"]

#: One job of so many is in the sample. It goes by a hash, since what jobs are may repeat with any period.
SAMPLED = 100


def guess_by_sample(
    cursor: DuckDBPyConnection,
    order: Order,
    passing: tuple[str, dict[str, Any]],
    ends: tuple[int, int],
    spread: float,
) -> Bounds:
    """Return two bounds that a part probably lies between, as a sample tells.

    Parameters
    ----------
    passing
        The condition that the jobs pass, as SQL, and the values of its parameters.
    ends
        How many of them come before the part, and how many before its end.
    spread
        How far the bounds are from where the sample says, in standard deviations.
    """
    # How many jobs of the sample come before varies as a Poisson number does, by the root of its mean.
    first, last = (
        end / SAMPLED + way * (spread * math.sqrt(end / SAMPLED) + 1)
        for end, way in zip(ends, (-1, 1), strict=True)
    )
    before = max(0, math.floor(first))
    wanted = max(1, math.ceil(last) - before + 1)
    where, parameters = passing
    rows = cursor.execute(
        f"SELECT {order.key}, {POSITION} FROM jobs"
        f" WHERE hash(jobs.rowid) <= {2**64 // SAMPLED - 1}::UBIGINT AND {where}"
        f" ORDER BY {order.clause_of_bounds()} LIMIT {wanted} OFFSET {before}",
        parameters | order.parameters,
    ).fetchall()
    return Bounds(
        order,
        low=rows[0] if rows and first >= 0 else None,
        high=rows[-1] if len(rows) == wanted else None,
    )


def guess_evenly(
    cursor: DuckDBPyConnection,
    order: Order,
    passing: tuple[str, dict[str, Any]],
    jobs: int,
    ends: tuple[int, int],
    spread: float,
) -> Bounds:
    """Do the same for the order of registering without a sample: as if the jobs, so many, lay evenly in it."""
    where, parameters = passing
    ((first, last),) = cursor.execute(
        f"SELECT min(position), max(position) FROM jobs WHERE {where}", parameters
    ).fetchall()
    if first is None:
        return Bounds(order)
    # What share of the positions are other jobs': without any, the place of each is known.
    missing = max(0.0, 1 - jobs / (last - first + 1))
    bounds: list[Bound] = []
    for end, way in zip(ends, (-1, 1), strict=True):
        share = end / jobs
        error = (spread * math.sqrt(jobs * share * (1 - share) * missing) + 1) / jobs
        ahead = round((last - first) * (share + way * error))
        position = last - ahead if order.falls else first + ahead
        bounds.append((position, position))
    return Bounds(order, *bounds)
