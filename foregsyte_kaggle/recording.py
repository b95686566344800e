"""Writing what came back from workers: attempts, moves and result rows of a group in one commit."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle import ledger, notices, results
from foregsyte_kaggle.arrays import arrow_array
from foregsyte_kaggle.errors import LedgerError, ResultError, RunError
from foregsyte_kaggle.outputs import find_unclaimed, remove_files
from foregsyte_kaggle.results import SchemaReader
from foregsyte_kaggle.worker import MESSAGE_CHARACTERS, Outcome, clean, describe

if TYPE_CHECKING:
    import pyarrow as pa

    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.results import Schema

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
    path: str = ""
    """Of its input, as the pipeline got it."""


def record_group(
    database: Database,
    run_id: uuid.UUID,
    group: list[Ended],
    warn: Callable[[str], None],
    schemas: Mapping[str, Schema] | None = None,
) -> list[Ended]:
    """Write a group; what cannot be stored fails its own job only.

    Files of ``data/outputs`` that a job is not recorded with any more are removed after the commit.

    Parameters
    ----------
    group
        Tries of different jobs, all claimed by the run.
    schemas
        Of those pipelines that declare one, whose result tables are made already.

    Returns
    -------
    list of Ended
        The group as it was written: a completed one whose result cannot be stored has failed.

    Raises
    ------
    RunError
        If a job of the group is not this run's any more; nothing of the group is written then, but for
        what was written before it where the group had to be divided.
    LedgerError
        If the ledger cannot be written; likewise.
    """
    try:
        return _write(database, run_id, group, warn, schemas or {})
    except Exception as error:
        returned = sum(ended.outcome.result is not None for ended in group)
        if not returned or not _is_about_values(error):
            raise
        if len(group) == 1:
            failed = _failed(group[0], error)
            return _write(database, run_id, [failed], warn, schemas or {})
    # Something in the group cannot be stored, though nothing was found wrong with it: halve, and find it.
    middle = len(group) // 2
    return [
        *record_group(database, run_id, group[:middle], warn, schemas),
        *record_group(database, run_id, group[middle:], warn, schemas),
    ]


def _write(
    database: Database,
    run_id: uuid.UUID,
    group: list[Ended],
    warn: Callable[[str], None],
    schemas: Mapping[str, Schema],
) -> list[Ended]:
    batches: dict[str, list[results.ResultBatch]] = {}
    rows: dict[str, int] = {}
    errors: dict[str, ResultError] = {}
    for pipeline_id in dict.fromkeys(ended.pipeline_id for ended in group):
        returned = [
            (ended.job_id, ended.outcome.result)
            for ended in group
            if ended.pipeline_id == pipeline_id and ended.outcome.outcome == "completed"
        ]
        schema = schemas.get(pipeline_id)
        reader = None if schema is None else SchemaReader(schema)
        made, counted, failed = results.gather(returned, reader)
        if schema is None:
            results.prepare(database, pipeline_id, made, warn)
        batches[pipeline_id] = made
        rows.update(counted)
        errors.update(failed)
    if errors:
        group = [
            _failed(ended, errors[ended.job_id]) if ended.job_id in errors else ended
            for ended in group
        ]
    with database.transaction() as connection:
        written = ledger.record(
            connection, run_id, _arrow(group, rows), [ended.outcome.position for ended in group]
        )
        if written != len(group):
            raise RunError(
                f"somebody else changed {notices.counted(len(group) - written, 'job')} of run {run_id} meanwhile; "
                "nothing of this group was written"
            )
        # At the first try there are none: claims begin with ledger.remove_leftovers.
        again = [ended for ended in group if ended.attempt > 1]
        for pipeline_id, made in batches.items():
            replaced = [ended.job_id for ended in again if ended.pipeline_id == pipeline_id]
            results.write(connection, pipeline_id, made, replaced)
        unclaimed = find_unclaimed(connection, group)
    # Not before the commit: until then, a job may be recorded as completed with one of them.
    if unclaimed and database.path is not None:
        remove_files(database.path.parent / "outputs", unclaimed)
    return group


def _is_about_values(error: Exception) -> bool:
    """Whether other rows could be stored where these were not."""
    if isinstance(error, RunError):
        return False
    if not isinstance(error, LedgerError):
        return True
    import duckdb

    cause = error.__cause__
    if isinstance(cause, duckdb.OutOfMemoryException):
        return True
    return isinstance(
        cause,
        (
            duckdb.DataError,
            duckdb.ProgrammingError,
            duckdb.NotSupportedError,
            duckdb.IntegrityError,
        ),
    )


def _failed(ended: Ended, error: Exception) -> Ended:
    if ended.outcome.outcome != "completed":
        return ended
    outcome = ended.outcome._replace(
        outcome="failed",
        result=None,
        error_type="ResultError",
        error_message=clean(
            describe(error)
            if isinstance(error, ResultError)
            else f"what the pipeline returned cannot be stored: {type(error).__name__}: {describe(error)}",
            MESSAGE_CHARACTERS,
        ),
    )
    return ended._replace(outcome=outcome, final=True)


def _arrow(group: list[Ended], rows: dict[str, int]) -> pa.Table:
    import pyarrow as pa

    _, job_ids, attempts, finals, outcomes, _ = zip(*group, strict=True)
    (
        positions,
        kinds,
        started,
        durations,
        _results,
        error_types,
        messages,
        tracebacks,
        outputs,
        paths,
        workers,
    ) = zip(*outcomes, strict=True)

    def texts(values: Sequence[Any]) -> pa.Array:
        return arrow_array(values, pa.string())

    return pa.table(
        {
            "position": arrow_array(positions, pa.int64()),
            "attempt": arrow_array(attempts, pa.int32()),
            "final": arrow_array(finals, pa.bool_()),
            "outcome": texts(kinds),
            "started": arrow_array(started, pa.float64()),
            "duration_seconds": arrow_array(durations, pa.float64()),
            "error_type": texts(error_types),
            "error_message": texts(messages),
            "traceback": texts(tracebacks),
            "output": texts(outputs),
            "output_paths": texts(
                [
                    json.dumps([f"data/outputs/{path}" for path in some])
                    if some and kind == "completed"
                    else None
                    for some, kind in zip(paths, kinds, strict=True)
                ]
            ),
            "result_rows": arrow_array([rows.get(job_id) for job_id in job_ids], pa.int64()),
            "worker": texts(workers),
        }
    )
