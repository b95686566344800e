"""Writing what came back from workers: attempts, moves and result rows of a group in one commit."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle import ledger, results
from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.worker import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

    from foregsyte_kaggle.database import Database

__all__ = ["Ended", "record_group"]


class Ended(NamedTuple):
    """A try that ended, with what the run knows of its job."""

    pipeline_id: str
    job_id: str
    attempt: int
    """Of the whole life of the job; 1 for the first."""
    final: bool
    """False where the run tries the job again."""
    outcome: Outcome


def record_group(
    database: Database, run_id: uuid.UUID, group: list[Ended], warn: Callable[[str], None]
) -> list[Ended]:
    """Write a group; what cannot be stored fails its own job only.

    Returns
    -------
    list of Ended
        The group as it was written: a completed one whose result cannot be stored has failed.

    Raises
    ------
    RunError
        If a job of the group is not this run's any more; nothing is written then.
    LedgerError
        If the ledger cannot be written; nothing is written then.
    """
    batches: dict[str, list[results.ResultBatch]] = {}
    rows: dict[str, int] = {}
    errors: dict[str, Exception] = {}
    for pipeline_id in dict.fromkeys(ended.pipeline_id for ended in group):
        returned = [
            (ended.job_id, ended.outcome.result)
            for ended in group
            if ended.pipeline_id == pipeline_id and ended.outcome.outcome == "completed"
        ]
        made, counted, failed = results.gather(returned)
        results.prepare(database, pipeline_id, made, warn)
        batches[pipeline_id] = made
        rows.update(counted)
        errors.update(failed)
    if errors:
        group = [_failed(ended, errors.get(ended.job_id)) for ended in group]
    with database.transaction() as connection:
        written = ledger.record(connection, run_id, _arrow(group, rows))
        if written != len(group):
            raise RunError(
                f"{len(group) - written} job(s) of run {run_id} were changed by somebody else while they ran;"
                " nothing of this group was written"
            )
        for pipeline_id, made in batches.items():
            replaced = [
                ended.job_id
                for ended in group
                if ended.pipeline_id == pipeline_id and ended.attempt > 1
            ]
            results.write(connection, pipeline_id, made, replaced)
    return group


def _failed(ended: Ended, error: Exception | None) -> Ended:
    if error is None or ended.outcome.outcome != "completed":
        return ended
    outcome = ended.outcome._replace(
        outcome="failed", result=None, error_type=type(error).__name__, error_message=str(error)
    )
    return ended._replace(outcome=outcome, final=True)


def _arrow(group: list[Ended], rows: dict[str, int]) -> pa.Table:
    import pyarrow as pa

    outcomes = [ended.outcome for ended in group]

    def times(seconds: list[float]) -> pa.Array:
        return pa.array([int(value * 1e6) for value in seconds], pa.int64()).cast(pa.timestamp("us"))

    def texts(values: list[Any]) -> pa.Array:
        return pa.array(values, pa.string())

    return pa.table(
        {
            "position": pa.array([outcome.position for outcome in outcomes], pa.int64()),
            "attempt": pa.array([ended.attempt for ended in group], pa.int32()),
            "final": pa.array([ended.final for ended in group], pa.bool_()),
            "outcome": texts([outcome.outcome for outcome in outcomes]),
            "started_at": times([outcome.started_at for outcome in outcomes]),
            "finished_at": times(
                [outcome.started_at + outcome.duration_seconds for outcome in outcomes]
            ),
            "duration_seconds": pa.array(
                [outcome.duration_seconds for outcome in outcomes], pa.float64()
            ),
            "error_type": texts([outcome.error_type for outcome in outcomes]),
            "error_message": texts([outcome.error_message for outcome in outcomes]),
            "traceback": texts([outcome.traceback for outcome in outcomes]),
            "output": texts([outcome.output for outcome in outcomes]),
            "output_paths": texts(
                [
                    json.dumps([f"data/outputs/{path}" for path in outcome.output_paths])
                    if outcome.output_paths
                    else None
                    for outcome in outcomes
                ]
            ),
            "result_rows": pa.array([rows.get(ended.job_id) for ended in group], pa.int64()),
            "worker": texts([outcome.worker for outcome in outcomes]),
        }
    )
