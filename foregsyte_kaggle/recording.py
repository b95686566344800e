"""Writing what came back from workers: attempts, moves and result rows of a group in one commit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from foregsyte_kaggle import ledger, notices, results
from foregsyte_kaggle.errors import LedgerError, ResultError, RunError
from foregsyte_kaggle.outputs import find_unclaimed, remove_files
from foregsyte_kaggle.results import SchemaReader
from foregsyte_kaggle.tries import Ended, Tries
from foregsyte_kaggle.worker import MESSAGE_CHARACTERS, clean, describe

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.results import Schema

__all__ = ["record_group"]


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
    tries = Tries.of(group)
    for pipeline_id, returned in tries.returned().items():
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
        tries = Tries.of(group)
    with database.transaction() as connection:
        written = ledger.record(connection, run_id, tries.table(rows), tries.positions)
        if written != len(group):
            raise RunError(
                f"somebody else changed {notices.counted(len(group) - written, 'job')} of run {run_id} meanwhile; "
                "nothing of this group was written"
            )
        # At the first try there are none: claims begin with ledger.remove_leftovers.
        is_first = max(tries.attempts) == 1
        again = [] if is_first else [ended for ended in group if ended.attempt > 1]
        for pipeline_id, made in batches.items():
            replaced = [ended.job_id for ended in again if ended.pipeline_id == pipeline_id]
            results.write(connection, pipeline_id, made, replaced)
        unclaimed = find_unclaimed(connection, group) if again or any(tries.output_paths) else []
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
