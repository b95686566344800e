"""Sessions and runs: how they begin and end, and what a dead one left behind."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foregsyte_kaggle.ledger.claiming import number_jobs
from foregsyte_kaggle.ledger.ending import put_back
from foregsyte_kaggle.ledger.sql import NOW, of_dead_runs, some
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.surroundings import package_version, session_facts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = [
    "Recovery",
    "begin_run",
    "begin_session",
    "end_run",
    "has_jobs",
    "recover",
    "settle",
    "status_counts",
]

INTERRUPTED = "the notebook's process ended while this job ran"
CRASHED_TWICE = (
    "the notebook's process ended twice while this job ran, so it may be what ends it; "
    "retry_jobs(job_ids=[...]) tries it again"
)


@dataclass(frozen=True)
class Recovery:
    """How many jobs a dead session left running, by what became of them."""

    pending: int
    failed: int


def begin_session(database: Database, outputs_from: str | None = None) -> None:
    """Note in ``ledger_info`` that this process opened the ledger.

    Parameters
    ----------
    outputs_from
        Where the output files are of an earlier session that this one continues, if they stay there.
    """
    import duckdb

    with database.transaction() as connection:
        number_jobs(connection)
        connection.execute(
            f"""
            INSERT INTO ledger_info (session_id, ledger_id, parent_session_id, generation, opened_at,
                                     package_version, duckdb_version, outputs_from)
            SELECT uuid(), coalesce(max(ledger_id), uuid()), max_by(session_id, generation),
                   coalesce(max(generation), 0) + 1, {NOW}, $package, $duckdb, $outputs_from
            FROM ledger_info
            """,
            {
                "package": package_version(),
                "duckdb": duckdb.__version__,
                "outputs_from": outputs_from,
            },
        )


def has_jobs(database: Database) -> bool:
    """Return whether the table of jobs, at any revision, has a row."""
    with database.reading() as cursor:
        return bool(cursor.execute("SELECT 1 FROM jobs LIMIT 1").fetchall())


def status_counts(
    database: Database, pipeline_id: str | None = None, source: str | None = None
) -> dict[str, int]:
    """Return how many jobs there are of each status, all four of them.

    Parameters
    ----------
    pipeline_id, source
        Count only jobs of these.
    """
    filters = {"pipeline_id": pipeline_id, "source": source}
    given = {name: value for name, value in filters.items() if value is not None}
    where = " AND ".join(["true", *(f"{name} = ${name}" for name in given)])
    with database.reading() as cursor:
        found = dict(
            cursor.execute(
                f"SELECT status::VARCHAR, count(*) FROM jobs WHERE {where} GROUP BY ALL", given
            ).fetchall()
        )
    return {status.value: found.get(status.value, 0) for status in JobStatus}


def settle(database: Database, alive: Iterable[uuid.UUID]) -> None:
    """Make ready what a run may take, before it looks for it.

    Numbers jobs that were made by hand, and puts back what an earlier run of this process could not put
    back itself, as when the disk was full.
    """
    with database.reading() as cursor:
        jobs, runs = cursor.execute(
            "SELECT (SELECT count(*) FROM jobs WHERE position IS NULL"
            f" OR status = 'running' AND {of_dead_runs('$alive')}),"
            f" (SELECT count(*) FROM runs WHERE ended_by IS NULL AND {of_dead_runs('$alive')})",
            {"alive": some(alive)},
        ).fetchall()[0]
    if jobs or runs:
        with database.transaction() as connection:
            # Asked again, since another run may have begun meanwhile.
            _settle(connection, {"alive": some(alive)})


def begin_run(
    database: Database,
    run_id: uuid.UUID,
    pipeline_id: str | None,
    executor: str,
    workers: int,
    *,
    alive: Iterable[uuid.UUID],
) -> None:
    """Note that a run began, and where; after what ``settle`` does."""
    with database.transaction() as connection:
        _settle(connection, {"alive": some(alive)})
        connection.execute(
            "INSERT INTO runs (run_id, pipeline_id, executor, workers, started_at, environment,"
            " package_version)"
            f" VALUES ($run_id, $pipeline_id, $executor, $workers, {NOW}, $environment, $package)",
            {
                "run_id": run_id,
                "pipeline_id": pipeline_id,
                "executor": executor,
                "workers": workers,
                "environment": json.dumps(
                    session_facts(database.path.parent if database.path else None)
                ),
                "package": package_version(),
            },
        ).fetchall()


def _settle(connection: DuckDBPyConnection, parameters: dict[str, list[uuid.UUID]]) -> None:
    number_jobs(connection)
    put_back(connection, of_dead_runs("$alive"), parameters)
    connection.execute(
        f"UPDATE runs SET ended_by = 'error', finished_at = {NOW} WHERE ended_by IS NULL"
        f" AND {of_dead_runs('$alive')}",
        parameters,
    ).fetchall()


def end_run(
    database: Database, run_id: uuid.UUID, ended_by: str, completed: int, failed: int
) -> int:
    """Put back what the run still holds and note how it ended; return how many were put back."""
    with database.transaction() as connection:
        released = put_back(connection, "run_id = $run_id", {"run_id": run_id})
        connection.execute(
            f"UPDATE runs SET finished_at = {NOW}, ended_by = $ended_by, completed = $completed,"
            " failed = $failed WHERE run_id = $run_id",
            {"run_id": run_id, "ended_by": ended_by, "completed": completed, "failed": failed},
        )
    return released


def recover(database: Database, alive: Iterable[uuid.UUID]) -> Recovery:
    """Settle jobs that are running for a run that no longer lives.

    A job goes back to pending the first time and is then run last and alone. If the process ends again
    while it is alone, with no job of any run beside it, it fails, so that one that takes the process down
    cannot do so in every session.
    """
    dead = f"status = 'running' AND {of_dead_runs('$alive')}"
    parameters = {"alive": some(alive)}
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
            f" updated_at = {NOW} WHERE interruptions > 0 AND {dead}"
            f" AND (SELECT count(*) FROM jobs WHERE {dead}) = 1",
            {**parameters, "message": CRASHED_TWICE},
        ).fetchall()[0][0]
        pending = connection.execute(
            "UPDATE jobs SET status = 'pending', interruptions = interruptions + 1,"
            " progress = NULL, finished_at = NULL, error_type = NULL, error_message = NULL,"
            f" updated_at = {NOW} WHERE {dead}",
            parameters,
        ).fetchall()[0][0]
        connection.execute(
            f"UPDATE runs SET ended_by = 'died', finished_at = {NOW} WHERE ended_by IS NULL"
            " AND run_id NOT IN (SELECT unnest($alive))",
            parameters,
        ).fetchall()
    return Recovery(pending=pending, failed=failed)
