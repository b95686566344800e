"""What becomes of running jobs: recorded with their attempts, or put back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.arrays import arrow_array
from foregsyte_kaggle.ledger.sql import NOW
from foregsyte_kaggle.views import arrow_view

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["put_back", "record", "set_progress"]

_STARTED = "make_timestamp(trunc(ended.started * 1e6)::BIGINT)"
_FINISHED = "make_timestamp(trunc((ended.started + ended.duration_seconds) * 1e6)::BIGINT)"


def record(
    connection: DuckDBPyConnection, run_id: uuid.UUID, ended: pa.Table, positions: Sequence[int]
) -> int:
    """Write the attempts of a group and move its jobs, inside the caller's transaction.

    Parameters
    ----------
    ended
        One row a job, as ``recording`` makes them. ``started`` is in seconds since 1970, UTC. ``final`` is
        False where the run tries the job again: the attempt is written and the job stays running.
    positions
        Of these jobs, as in the table's column.

    Returns
    -------
    int
        How many of the jobs this run holds. Where it does not hold all, only those that it holds are moved and
        no attempt is written, so the caller rolls back.
    """
    held = "jobs.run_id = $run_id AND jobs.status = 'running' AND jobs.position BETWEEN $first AND $last"
    # As constants, so that DuckDB looks only at the part of the table that holds them.
    parameters = {"run_id": run_id, "first": min(positions), "last": max(positions)}
    with arrow_view(connection, "ended", ended):
        ((moved,),) = connection.execute(
            "UPDATE jobs SET"
            " status = CASE WHEN NOT ended.final THEN 'running'"
            " WHEN ended.outcome = 'completed' THEN 'completed'"
            " ELSE 'failed' END::job_status_enum,"
            " attempts = jobs.attempts + CASE WHEN ended.final THEN 0 ELSE 1 END,"
            f" started_at = {_STARTED}, finished_at = {_FINISHED},"
            " error_type = ended.error_type, error_message = ended.error_message,"
            " output_path = CASE WHEN ended.outcome = 'completed'"
            " THEN json_extract_string(ended.output_paths, '$[0]') END,"
            " progress = CASE WHEN ended.outcome = 'completed' THEN 1 ELSE jobs.progress END,"
            f" updated_at = {NOW} FROM ended WHERE jobs.position = ended.position AND {held}",
            parameters,
        ).fetchall()
        if moved == len(positions):
            connection.execute(
                "INSERT INTO job_attempts SELECT uuid(), ended.job_id::UUID, $run_id, ended.attempt,"
                f" ended.outcome, {_STARTED}, {_FINISHED}, ended.duration_seconds,"
                " ended.error_type, ended.error_message, ended.traceback, ended.output,"
                " ended.output_paths, ended.result_rows, ended.worker, ended.code_version FROM ended",
                {"run_id": run_id},
            ).fetchall()
    return int(moved)


def set_progress(database: Database, run_id: uuid.UUID, fractions: dict[int, float]) -> None:
    """Store how far running jobs are."""
    import pyarrow as pa

    if not fractions:
        return
    told = pa.table(
        {
            "position": arrow_array(list(fractions), pa.int64()),
            "fraction": arrow_array(list(fractions.values()), pa.float64()),
        }
    )
    with database.transaction() as connection, arrow_view(connection, "told", told):
        connection.execute(
            f"UPDATE jobs SET progress = told.fraction, updated_at = {NOW} FROM told"
            " WHERE jobs.position = told.position AND jobs.run_id = $run_id"
            " AND jobs.status = 'running' AND jobs.position BETWEEN $first AND $last",
            {"run_id": run_id, "first": min(fractions), "last": max(fractions)},
        ).fetchall()


def put_back(connection: DuckDBPyConnection, condition: str, parameters: dict[str, Any]) -> int:
    """Put running jobs back to pending, as if this run had not claimed them; return how many."""
    return int(
        connection.execute(
            "UPDATE jobs SET status = 'pending', attempts = greatest(attempts - 1, 0),"
            " progress = NULL, started_at = NULL, finished_at = NULL, error_type = NULL,"
            f" error_message = NULL, updated_at = {NOW} WHERE status = 'running' AND {condition}",
            parameters,
        ).fetchall()[0][0]
    )
