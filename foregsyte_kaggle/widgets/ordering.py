"""The orders that jobs are shown in, and any part of one, found without sorting all the jobs before it.

For a page deep inside many jobs, a sample of them tells two bounds that the page should lie between. How many jobs
come before the lower one is counted, in one scan, and only those between the two are sorted. Where the sample
misled, as counting tells, wider bounds are tried, at last none: the rows are right whatever it says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

__all__ = ["KEYS", "Order", "Part", "fetch_part"]

#: A key and a position, which jobs come before or not.
Bound = tuple[Any, int]

#: What each of ``page.SORTS`` compares; ``$now`` is the moment of the page.
KEYS = {
    "registered": "jobs.position",
    "status": "enum_code(jobs.status)",
    "input": "jobs.input_path",
    "pipeline": "jobs.pipeline_id",
    "attempts": "jobs.attempts",
    "took": "(epoch_us(CASE WHEN jobs.status = 'running' THEN $now ELSE jobs.finished_at END)"
    " - epoch_us(jobs.started_at))",
    "changed": "jobs.updated_at",
}

#: Jobs made by hand have no position until they are numbered; they come last.
POSITION = f"coalesce(jobs.position, {2**63 - 1})"

#: Up to so many jobs that pass are sorted: bounds need scans of the whole ledger, which pay for more. In a ledger of
#: 1,000,000 jobs both cost the same at 100,000 to 300,000 jobs, by the key (DuckDB 1.3: 50,000 to 100,000);
#: in one of 200,000 at about 70,000.
SORTED_JOBS = 70_000

#: Up to so many jobs before a page are kept with it in a heap, in one scan; DuckDB sorts them all where page and
#: these are 5,000.
HEAPED_JOBS = 3_900

#: One job of so many is in the sample. It goes by a hash, since what jobs are may repeat with any period.
SAMPLED = 100

#: How far the bounds are from where the sample says, in standard deviations, one try after the other.
SPREADS = (3.0, 10.0, math.inf)


@dataclass(frozen=True)
class Order:
    """An order of jobs: those without a key come last either way, and equal ones as they were registered.

    Attributes
    ----------
    key : str
        What is compared, as SQL.
    descending : bool
        Whether the largest key comes first.
    backwards : bool
        Whether all this is read from its end.
    """

    key: str
    descending: bool = False
    backwards: bool = False

    @property
    def falls(self) -> bool:
        """Whether keys get smaller as it is read."""
        return self.descending != self.backwards

    def clause(self) -> str:
        """Return what follows ORDER BY."""
        way = "DESC" if self.backwards else "ASC"
        return f"{self.clause_of_bounds()}, jobs.created_at {way}, jobs.job_id {way}"

    def clause_of_bounds(self) -> str:
        """Do the same for bounds, of which jobs without a position are one."""
        nulls, way = ("FIRST", "DESC") if self.backwards else ("LAST", "ASC")
        key_way = "DESC" if self.falls else "ASC"
        return f"{self.key} {key_way} NULLS {nulls}, jobs.position {way} NULLS {nulls}"

    def before(self, bound: str, key: object) -> str:
        """Return the condition that a job comes before a bound; for some that do not, it is NULL.

        Parameters
        ----------
        bound
            Which: its parameters are ``<bound>_key``, unless that is None, and ``<bound>_position``.
        key
            The bound's key.
        """
        lower = ">" if self.falls else "<"
        tied = f"{POSITION} {'>' if self.backwards else '<'} ${bound}_position"
        if key is None:
            joined = "IS NULL AND" if self.backwards else "IS NOT NULL OR"
            return f"({self.key} {joined} {tied})"
        # The first comparison is one that DuckDB can skip ranges of rows by; the second is the cheapest.
        passed = (
            f"({self.key} {lower}= ${bound}_key AND ({tied} OR {self.key} {lower} ${bound}_key))"
        )
        return f"({self.key} IS NULL OR {passed})" if self.backwards else passed


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which of the jobs that pass a condition.

    Attributes
    ----------
    where : str
        The condition on a row of ``jobs``, as SQL.
    parameters : dict
        The values of its parameters, and of the order's.
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
    read = Order(order.key, order.descending, backwards=behind < part.offset)
    skipped = min(part.offset, behind)
    rows: list[tuple[Any, ...]] = []
    pays = part.jobs > SORTED_JOBS and skipped > HEAPED_JOBS
    # Few jobs that lie together are read at once; of others, columns are read only once it is known which they are.
    lie_together = order.key == KEYS["registered"] and (pays or skipped <= HEAPED_JOBS)
    for spread in SPREADS if pays else SPREADS[-1:]:
        low, high = _guess(cursor, read, part, skipped, size, spread)
        ahead = _count_before(cursor, read, part, low)
        if ahead > skipped:
            continue
        conditions, bounds = _between(read, low, high)
        chosen = (
            f"FROM jobs WHERE {part.where}{conditions}"
            f" ORDER BY {read.clause()} LIMIT {size} OFFSET {skipped - ahead}"
        )
        if not lie_together:
            chosen = f"FROM jobs WHERE rowid IN (SELECT rowid {chosen}) ORDER BY {read.clause()}"
        rows = cursor.execute(
            f"SELECT {', '.join(columns)} {chosen}", part.parameters | column_values | bounds
        ).fetchall()
        if len(rows) == size:
            break
    return rows[::-1] if read.backwards else rows


def _guess(
    cursor: DuckDBPyConnection, order: Order, part: Part, skipped: int, size: int, spread: float
) -> list[Bound | None]:
    """Return two bounds that a part probably lies between; None where it is open."""
    if math.isinf(spread):
        return [None, None]
    if order.key == KEYS["registered"] and spread == SPREADS[0]:
        return _guess_evenly(cursor, order, part, skipped, size, spread)
    # How many jobs of the sample come before varies as a Poisson number does, by the root of its mean.
    first, last = (
        ends / SAMPLED + way * (spread * math.sqrt(ends / SAMPLED) + 1)
        for ends, way in ((skipped, -1), (skipped + size, 1))
    )
    before = max(0, math.floor(first))
    wanted = max(1, math.ceil(last) - before + 1)
    rows = cursor.execute(
        f"SELECT {order.key}, {POSITION} FROM jobs"
        f" WHERE hash(jobs.rowid) <= {2**64 // SAMPLED - 1}::UBIGINT AND {part.where}"
        f" ORDER BY {order.clause_of_bounds()} LIMIT {wanted} OFFSET {before}",
        part.parameters,
    ).fetchall()
    return [
        rows[0] if rows and first >= 0 else None,
        rows[-1] if len(rows) == wanted else None,
    ]


def _guess_evenly(
    cursor: DuckDBPyConnection, order: Order, part: Part, skipped: int, size: int, spread: float
) -> list[Bound | None]:
    """Do the same for the order of registering without a sample: as if the jobs lay evenly in it."""
    jobs = part.jobs
    ((first, last),) = cursor.execute(
        f"SELECT min(position), max(position) FROM jobs WHERE {part.where}", part.parameters
    ).fetchall()
    if first is None:
        return [None, None]
    # What share of the positions are other jobs': without any, the place of each is known.
    missing = max(0.0, 1 - jobs / (last - first + 1))
    bounds: list[Bound | None] = []
    for share, way in ((skipped / jobs, -1), ((skipped + size) / jobs, 1)):
        error = (spread * math.sqrt(jobs * share * (1 - share) * missing) + 1) / jobs
        ahead = round((last - first) * (share + way * error))
        position = last - ahead if order.falls else first + ahead
        bounds.append((position, position))
    return bounds


def _count_before(cursor: DuckDBPyConnection, order: Order, part: Part, low: Bound | None) -> int:
    if low is None:
        return 0
    rows = cursor.execute(
        f"SELECT count(*) FROM jobs WHERE {part.where} AND {order.before('low', low[0])}",
        part.parameters | _named("low", low),
    ).fetchall()
    return int(rows[0][0])


def _between(order: Order, low: Bound | None, high: Bound | None) -> tuple[str, dict[str, Any]]:
    """Return the condition that jobs come before one bound and not before the other."""
    conditions = ""
    parameters: dict[str, Any] = {}
    if low is not None:
        conditions += f" AND {order.before('low', low[0])} IS NOT TRUE"
        parameters |= _named("low", low)
    if high is not None:
        conditions += f" AND {order.before('high', high[0])}"
        parameters |= _named("high", high)
    if {"low_key", "high_key"} <= parameters.keys():
        # It follows from the others, but DuckDB can skip ranges of rows by it.
        names = ["$low_key", "$high_key"]
        least, most = reversed(names) if order.falls else names
        conditions += f" AND {order.key} BETWEEN {least} AND {most}"
    return conditions, parameters


def _named(bound: str, values: Bound) -> dict[str, Any]:
    key, position = values
    named = {f"{bound}_key": key, f"{bound}_position": position}
    return {name: value for name, value in named.items() if value is not None}
