"""Taking pending jobs: by ranges of ``position``, in order."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle.arrays import FEW
from foregsyte_kaggle.ledger.sql import NOW

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = [
    "ClaimedJobs",
    "Pending",
    "Selection",
    "claim",
    "number_jobs",
    "pending_jobs",
]


class ClaimedJobs(NamedTuple):
    """What a run needs to know of jobs that it claimed, by column and in order of position."""

    positions: Sequence[int]
    job_ids: Sequence[str]
    sources: Sequence[str | None]
    input_paths: Sequence[str]
    params: Sequence[str | None]
    attempts: Sequence[int]
    """Tries of each so far, this one included."""


@dataclass(frozen=True)
class Selection:
    """Which pending jobs a run works on."""

    pipeline_id: str
    source: str | None = None

    @property
    def condition(self) -> str:
        """The WHERE clause; takes ``parameters``."""
        return "status = 'pending' AND pipeline_id = $pipeline_id" + (
            " AND source = $source" if self.source is not None else ""
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of ``condition``."""
        found: dict[str, Any] = {"pipeline_id": self.pipeline_id}
        if self.source is not None:
            found["source"] = self.source
        return found


class Pending(NamedTuple):
    """The extent of a selection."""

    jobs: int
    interrupted: int
    first: int
    last: int
    once: int
    """Those that one crash interrupted, and no second one."""


def number_jobs(connection: DuckDBPyConnection) -> None:
    """Give a position to jobs that were made by hand."""
    connection.execute(
        """
        UPDATE jobs SET position = numbered.position
        FROM (
            SELECT job_id, row_number() OVER (ORDER BY created_at, job_id)
                   + (SELECT coalesce(max(position), 0) FROM jobs) AS position
            FROM jobs WHERE position IS NULL
        ) AS numbered
        WHERE jobs.position IS NULL AND numbered.job_id = jobs.job_id
        """
    ).fetchall()


def pending_jobs(database: Database, selection: Selection) -> Pending | None:
    """Return how many jobs are pending and between which positions; None when there is none."""
    with database.reading() as cursor:
        row = cursor.execute(
            "SELECT count(*), count(*) FILTER (interruptions > 0), min(position), max(position),"
            " count(*) FILTER (interruptions = 1)"
            f" FROM jobs WHERE {selection.condition} AND position IS NOT NULL",
            selection.parameters,
        ).fetchall()[0]
    return Pending(*row) if row[0] else None


def claim(
    database: Database,
    run_id: uuid.UUID,
    selection: Selection,
    *,
    code_version: str | None,
    first: int,
    last: int,
    limit: int,
    interrupted: bool = False,
    once: bool = False,
) -> ClaimedJobs:
    """Move up to ``limit`` pending jobs with positions from ``first`` to ``last`` to running.

    Parameters
    ----------
    interrupted
        False takes only jobs that no crash of the notebook's process interrupted, True only those.
    once
        Of the latter, take only those that a single crash interrupted.
    """
    condition = (
        f"{selection.condition} AND position BETWEEN $first AND $last"
        f" AND interruptions {'= 0' if not interrupted else '= 1' if once else '> 0'}"
    )
    with database.transaction() as connection:
        columns = _columns(
            connection,
            "SELECT position, job_id::VARCHAR, source, input_path, params::VARCHAR, attempts + 1"
            f" FROM jobs WHERE {condition} ORDER BY position LIMIT {int(limit)}",
            {**selection.parameters, "first": first, "last": last},
            is_long=limit > FEW,
        )
        claimed = ClaimedJobs(*columns)
        if not claimed.positions:
            return claimed
        connection.execute(
            "UPDATE jobs SET status = 'running', attempts = attempts + 1, run_id = $run_id,"
            f" code_version = $code_version, started_at = {NOW}, updated_at = {NOW},"
            " finished_at = NULL, progress = NULL, error_type = NULL, error_message = NULL"
            f" WHERE {condition}",
            {
                **selection.parameters,
                "first": claimed.positions[0],
                "last": claimed.positions[-1],
                "run_id": run_id,
                "code_version": code_version,
            },
        ).fetchall()
    return claimed


def _columns(
    connection: DuckDBPyConnection, query: str, parameters: dict[str, Any], *, is_long: bool
) -> list[list[Any]]:
    """Return what a query selects by column; of many rows in half the time or less, but it imports NumPy."""
    found = connection.execute(query, parameters)
    if is_long:
        return [column.tolist() for column in found.fetchnumpy().values()]
    number = len(found.description)
    return list(map(list, zip(*found.fetchall(), strict=True))) or [[] for _ in range(number)]
