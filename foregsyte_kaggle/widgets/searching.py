"""Remembers which jobs a search found, as one bit a job, so that a page reads the texts of all jobs only once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.filters import JobFilter

__all__ = ["Condition", "searched_once"]

#: On a row of ``jobs``, as SQL, with the values of its parameters.
Condition = tuple[str, dict[str, Any]]


def searched_once(cursor: DuckDBPyConnection, wanted: JobFilter) -> Condition:
    """Return the condition that a job passes a filter, cheap to test again and again.

    Where the filter searches, it is tested here, and the condition holds on this cursor until its
    transaction ends.
    """
    where, parameters = wanted.where()
    if not wanted.search:
        return where, parameters
    ((last,),) = cursor.execute("SELECT coalesce(max(rowid), 0) FROM jobs").fetchall()
    cursor.execute(
        f"SET VARIABLE found = (SELECT bitstring_agg(rowid, 0, {last}) FROM jobs WHERE {where})",
        parameters,
    )
    # There are no bits, but NULL, where nothing is found: DuckDB knows without a look at any job.
    return "get_bit(getvariable('found'), jobs.rowid::INTEGER) = 1", {}
