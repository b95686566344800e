"""Every change of a job's status, as set-based SQL.

The only module that changes one. The moves are in ``models.ALLOWED_MOVES``; each function here makes some
of them, and its WHERE clause refuses all others. Hot paths go by ``position``, in ranges, so that the
cost of a job does not grow with the number of jobs in the ledger.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["ClaimedJob", "Recovery", "claim", "recover", "record", "release", "retry_jobs"]

NOW = "(now() AT TIME ZONE 'UTC')"
INTERRUPTED = "the notebook's process ended while this job ran"
CRASHED_TWICE = (
    "the notebook's process ended twice while this job ran, so it may be what ends it; "
    "retry_jobs(job_ids=[...]) tries it again"
)


class ClaimedJob(NamedTuple):
    """What a run needs to know of a job."""

    position: int
    job_id: str
    source: str | None
    input_path: str
    params: str | None
    attempts: int
    """Tries so far, this one included."""


@dataclass(frozen=True)
class Recovery:
    """How many jobs a dead session left running, by what became of them."""

    pending: int
    failed: int


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


def begin_session(database: Database) -> None:
    """Note in ``ledger_info`` that this process opened the ledger."""
    from importlib.metadata import PackageNotFoundError, version

    import duckdb

    try:
        package = version("foregsyte-kaggle")
    except PackageNotFoundError:  # run from a folder on the path
        package = None
    with database.transaction() as connection:
        number_jobs(connection)
        connection.execute(
            f"""
            INSERT INTO ledger_info (session_id, ledger_id, parent_session_id, generation, opened_at,
                                     package_version, duckdb_version)
            SELECT uuid(), coalesce(max(ledger_id), uuid()), max_by(session_id, generation),
                   coalesce(max(generation), 0) + 1, {NOW}, $package, $duckdb
            FROM ledger_info
            """,
            {"package": package, "duckdb": duckdb.__version__},
        )


def has_jobs(database: Database) -> bool:
    """Return whether the table of jobs, at any revision, has a row."""
    with database.reading() as cursor:
        return bool(cursor.execute("SELECT 1 FROM jobs LIMIT 1").fetchall())


def status_counts(database: Database) -> dict[str, int]:
    """Return how many jobs there are of each status, all four of them."""
    with database.reading() as cursor:
        found = dict(
            cursor.execute("SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL").fetchall()
        )
    return {status.value: found.get(status.value, 0) for status in JobStatus}


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


def begin_run(
    database: Database,
    run_id: uuid.UUID,
    pipeline_id: str | None,
    executor: str,
    workers: int,
    *,
    alive: Iterable[uuid.UUID],
) -> None:
    """Note that a run began.

    Numbers jobs that were made by hand, and puts back what an earlier run of this process could not put
    back itself, as when the disk was full.
    """
    with database.transaction() as connection:
        number_jobs(connection)
        _release(connection, _of_dead_runs("$alive"), {"alive": _some(alive)})
        connection.execute(
            "INSERT INTO runs (run_id, pipeline_id, executor, workers, started_at)"
            f" VALUES ($run_id, $pipeline_id, $executor, $workers, {NOW})",
            {
                "run_id": run_id,
                "pipeline_id": pipeline_id,
                "executor": executor,
                "workers": workers,
            },
        )


def end_run(
    database: Database, run_id: uuid.UUID, ended_by: str, completed: int, failed: int
) -> int:
    """Put back what the run still holds and note how it ended; return how many were put back."""
    with database.transaction() as connection:
        released = _release(connection, "run_id = $run_id", {"run_id": run_id})
        connection.execute(
            f"UPDATE runs SET finished_at = {NOW}, ended_by = $ended_by, completed = $completed,"
            " failed = $failed WHERE run_id = $run_id",
            {"run_id": run_id, "ended_by": ended_by, "completed": completed, "failed": failed},
        )
    return released


def pending_jobs(database: Database, selection: Selection) -> Pending | None:
    """Return how many jobs are pending and between which positions; None when there is none."""
    with database.reading() as cursor:
        row = cursor.execute(
            "SELECT count(*), count(*) FILTER (interruptions > 0), min(position), max(position)"
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
) -> list[ClaimedJob]:
    """Move up to ``limit`` pending jobs with positions from ``first`` to ``last`` to running.

    Parameters
    ----------
    interrupted
        False takes only jobs that no crash of the notebook's process interrupted, True only those.
    """
    condition = (
        f"{selection.condition} AND position BETWEEN $first AND $last"
        f" AND interruptions {'>' if interrupted else '='} 0"
    )
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT position, job_id::VARCHAR, source, input_path, params::VARCHAR, attempts + 1"
            f" FROM jobs WHERE {condition} ORDER BY position LIMIT {int(limit)}",
            {**selection.parameters, "first": first, "last": last},
        ).fetchall()
        if not rows:
            return []
        connection.execute(
            "UPDATE jobs SET status = 'running', attempts = attempts + 1, run_id = $run_id,"
            f" code_version = $code_version, started_at = {NOW}, updated_at = {NOW},"
            " finished_at = NULL, progress = NULL, error_type = NULL, error_message = NULL"
            f" WHERE {condition}",
            {
                **selection.parameters,
                "first": rows[0][0],
                "last": rows[-1][0],
                "run_id": run_id,
                "code_version": code_version,
            },
        ).fetchall()
    return [ClaimedJob(*row) for row in rows]


def record(connection: DuckDBPyConnection, run_id: uuid.UUID, ended: pa.Table) -> int:
    """Write the attempts of a group and move its jobs, inside the caller's transaction.

    Parameters
    ----------
    ended
        One row an attempt, as ``recording.OUTCOMES`` has it. ``final`` is False where the run tries the
        job again: the attempt is written and the job stays running.

    Returns
    -------
    int
        How many of the attempts were of jobs that this run holds; the others are not written.
    """
    connection.register("ended", ended)
    try:
        held = (
            "jobs.run_id = $run_id AND jobs.status = 'running' AND jobs.position BETWEEN"
            " (SELECT min(position) FROM ended) AND (SELECT max(position) FROM ended)"
        )
        inserted = connection.execute(
            "INSERT INTO job_attempts SELECT uuid(), jobs.job_id, $run_id, ended.attempt,"
            " ended.outcome, ended.started_at, ended.finished_at, ended.duration_seconds,"
            " ended.error_type, ended.error_message, ended.traceback, ended.output,"
            " ended.output_paths, ended.result_rows, ended.worker, jobs.code_version"
            f" FROM ended JOIN jobs USING (position) WHERE {held}",
            {"run_id": run_id},
        ).fetchall()[0][0]
        connection.execute(
            "UPDATE jobs SET"
            " status = CASE WHEN NOT ended.final THEN 'running'"
            " WHEN ended.outcome = 'completed' THEN 'completed'"
            " ELSE 'failed' END::job_status_enum,"
            " attempts = jobs.attempts + CASE WHEN ended.final THEN 0 ELSE 1 END,"
            " started_at = coalesce(ended.started_at, jobs.started_at),"
            " finished_at = ended.finished_at, error_type = ended.error_type,"
            " error_message = ended.error_message,"
            " output_path = json_extract_string(ended.output_paths, '$[0]'),"
            " progress = CASE WHEN ended.outcome = 'completed' THEN 1 ELSE jobs.progress END,"
            f" updated_at = {NOW} FROM ended WHERE jobs.position = ended.position AND {held}",
            {"run_id": run_id},
        ).fetchall()
    finally:
        connection.unregister("ended")
    return int(inserted)


def set_progress(
    database: Database, run_id: uuid.UUID, fractions: dict[int, float]
) -> None:
    """Store how far running jobs are."""
    import pyarrow as pa

    if not fractions:
        return
    table = pa.table(
        {
            "position": pa.array(list(fractions), pa.int64()),
            "fraction": pa.array(list(fractions.values()), pa.float64()),
        }
    )
    with database.transaction() as connection:
        connection.register("told", table)
        try:
            connection.execute(
                f"UPDATE jobs SET progress = told.fraction, updated_at = {NOW} FROM told"
                " WHERE jobs.position = told.position AND jobs.run_id = $run_id"
                " AND jobs.status = 'running'",
                {"run_id": run_id},
            ).fetchall()
        finally:
            connection.unregister("told")


def release(database: Database, run_id: uuid.UUID, positions: Sequence[int]) -> int:
    """Put jobs that a run claimed and did not start back to pending; return how many."""
    with database.transaction() as connection:
        return _release(
            connection,
            "run_id = $run_id AND position IN (SELECT unnest($positions))",
            {"run_id": run_id, "positions": list(positions)},
        )


def recover(database: Database, alive: Iterable[uuid.UUID]) -> Recovery:
    """Settle jobs that are running for a run that no longer lives.

    A job goes back to pending the first time and is then run last and alone; the second time it fails,
    so that one that takes the process down cannot do so in every session.
    """
    dead = f"status = 'running' AND {_of_dead_runs('$alive')}"
    parameters = {"alive": _some(alive)}
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO job_attempts SELECT uuid(), job_id, run_id, attempts, 'interrupted',"
            f" started_at, {NOW}, NULL, 'Interrupted', $message, NULL, NULL, NULL, NULL, NULL,"
            f" code_version FROM jobs WHERE {dead}",
            {**parameters, "message": INTERRUPTED},
        ).fetchall()
        failed = connection.execute(
            "UPDATE jobs SET status = 'failed', interruptions = interruptions + 1,"
            f" finished_at = {NOW}, error_type = 'Interrupted', error_message = $message,"
            f" updated_at = {NOW} WHERE interruptions > 0 AND {dead}",
            {**parameters, "message": CRASHED_TWICE},
        ).fetchall()[0][0]
        pending = connection.execute(
            "UPDATE jobs SET status = 'pending', interruptions = interruptions + 1,"
            f" progress = NULL, updated_at = {NOW} WHERE {dead}",
            parameters,
        ).fetchall()[0][0]
        connection.execute(
            f"UPDATE runs SET ended_by = 'died', finished_at = {NOW} WHERE ended_by IS NULL"
            " AND run_id NOT IN (SELECT unnest($alive))",
            parameters,
        ).fetchall()
    return Recovery(pending=pending, failed=failed)


def retry_jobs(
    pipeline_id: str | None = None,
    *,
    status: str | JobStatus = JobStatus.failed,
    source: str | None = None,
    job_ids: Iterable[str | uuid.UUID] | None = None,
    workspace: Workspace | None = None,
) -> int:
    """Put finished jobs back to pending, for the next run.

    Their results stay visible in the attempts only: the rows of a completed job that is retried are
    hidden until it completes again, and replaced then.

    Parameters
    ----------
    pipeline_id
        Only jobs of this pipeline; of all by default.
    status
        ``"failed"`` (the default) or ``"completed"``.
    source
        Only jobs of this source.
    job_ids
        Only these jobs.
    workspace
        The active one by default.

    Returns
    -------
    int
        How many jobs are pending again.

    Raises
    ------
    InvalidArgumentError
        If ``status`` is neither failed nor completed, or an id is not a UUID.
    """
    wanted = getattr(status, "value", status)
    if wanted not in ("failed", "completed"):
        raise InvalidArgumentError(
            f"status={wanted!r} cannot be retried; expected 'failed' or 'completed' (a pending job runs "
            "by itself, and a running one belongs to its run)"
        )
    conditions = ["status = $status::job_status_enum"]
    parameters: dict[str, Any] = {"status": wanted}
    for column, value in (("pipeline_id", pipeline_id), ("source", source)):
        if value is not None:
            conditions.append(f"{column} = ${column}")
            parameters[column] = value
    if job_ids is not None:
        conditions.append("job_id IN (SELECT unnest($job_ids))")
        parameters["job_ids"] = _some(as_uuid(job_id) for job_id in job_ids)
    with active_workspace(workspace).database.transaction() as connection:
        return int(
            connection.execute(
                "UPDATE jobs SET status = 'pending', interruptions = 0, progress = NULL,"
                " error_type = NULL, error_message = NULL, finished_at = NULL,"
                f" updated_at = {NOW} WHERE {' AND '.join(conditions)}",
                parameters,
            ).fetchall()[0][0]
        )


def rerun_changed(connection: DuckDBPyConnection, staged: str) -> None:
    """Put finished jobs of a staged registration whose input changed back to pending."""
    connection.execute(
        "UPDATE jobs SET status = 'pending', interruptions = 0, progress = NULL,"
        " error_type = NULL, error_message = NULL, finished_at = NULL,"
        f" updated_at = {NOW} FROM {staged} WHERE {staged}.job_id = jobs.job_id"
        f" AND {staged}.changed AND jobs.status IN ('completed', 'failed')"
    ).fetchall()


def as_uuid(value: str | uuid.UUID) -> uuid.UUID:
    """Return a job's id as a UUID.

    Raises
    ------
    InvalidArgumentError
        If it is not one.
    """
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        raise InvalidArgumentError(
            f"{value!r} is not a job's id; expected a UUID as in jobs_frame().job_id"
        ) from None


def _of_dead_runs(alive: str) -> str:
    return f"(run_id IS NULL OR run_id NOT IN (SELECT unnest({alive})))"


def _some(ids: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Return ids with one that is nobody's, since an empty list has no type in SQL."""
    return [uuid.UUID(int=0), *ids]


def _release(connection: DuckDBPyConnection, condition: str, parameters: dict[str, Any]) -> int:
    return int(
        connection.execute(
            "UPDATE jobs SET status = 'pending', attempts = greatest(attempts - 1, 0),"
            f" progress = NULL, started_at = NULL, updated_at = {NOW}"
            f" WHERE status = 'running' AND {condition}",
            parameters,
        ).fetchall()[0][0]
    )
