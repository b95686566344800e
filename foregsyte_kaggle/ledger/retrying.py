"""Putting finished jobs back to pending."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import InvalidArgumentError, PipelineError
from foregsyte_kaggle.filters import JobFilter, check_pipeline, check_source
from foregsyte_kaggle.ledger.sql import NOW, as_uuid, some
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.registry import find_pipeline
from foregsyte_kaggle.versions import is_outdated
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["rerun_changed", "retry_jobs", "retry_matching"]

#: What it takes to make a finished job pending again.
RETRY = (
    "UPDATE jobs SET status = 'pending', interruptions = 0, progress = NULL, error_type = NULL,"
    f" error_message = NULL, finished_at = NULL, updated_at = {NOW}"
)


def retry_jobs(
    pipeline_id: str | None = None,
    *,
    status: str | JobStatus = JobStatus.failed,
    outdated: bool = False,
    source: str | None = None,
    job_ids: Iterable[str | uuid.UUID] | str | uuid.UUID | None = None,
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
    outdated
        Completed jobs, whatever ``status`` says, that were made by other code than their pipeline's now:
        its fingerprint, or ``version=``, differs from the one that was noted when they ran. Jobs of
        pipelines that are not registered now are left alone.
    source
        Only jobs of this source.
    job_ids
        Only these jobs; one id, or several.
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
    PipelineError
        If there is no such pipeline, neither registered nor in the ledger; with ``outdated``, if it is not
        registered.
    SourceError
        If the ledger has no such source.
    """
    database = active_workspace(workspace).database
    wanted = getattr(status, "value", status)
    if wanted not in ("failed", "completed"):
        raise InvalidArgumentError(
            f"status={wanted!r:.80} cannot be retried; expected 'failed' or 'completed' (a pending job runs "
            "by itself, and a running one belongs to its run)"
        )
    if not isinstance(outdated, bool):
        raise InvalidArgumentError(f"outdated={outdated!r:.80}; expected True or False")
    check_pipeline(database, pipeline_id)
    check_source(database, source)
    statuses = (JobStatus.completed if outdated else JobStatus(wanted),)
    matching = JobFilter(statuses=statuses, pipeline_id=pipeline_id, source=source)
    if not outdated:
        return retry_matching(database, matching, job_ids)
    _check_registered(database, pipeline_id, source)
    return _retry(database, matching, job_ids, also=is_outdated())


def retry_matching(
    database: Database,
    wanted: JobFilter,
    job_ids: Iterable[str | uuid.UUID] | str | uuid.UUID | None = None,
) -> int:
    """Put failed and completed jobs that pass a filter back to pending; pending and running ones never.

    Parameters
    ----------
    wanted
        Without statuses, only failed jobs are meant.
    job_ids
        Only these of them; one id, or several.

    Returns
    -------
    int
        How many jobs are pending again.

    Raises
    ------
    InvalidArgumentError
        If an id is not a UUID.
    """
    finished = (JobStatus.failed, JobStatus.completed)
    statuses = tuple(one for one in wanted.statuses or finished[:1] if one in finished)
    if not statuses:
        return 0
    return _retry(database, replace(wanted, statuses=statuses), job_ids)


def _retry(
    database: Database,
    matching: JobFilter,
    job_ids: Iterable[str | uuid.UUID] | str | uuid.UUID | None,
    also: tuple[str, dict[str, str]] = ("true", {}),
) -> int:
    condition, parameters = matching.where()
    condition += f" AND {also[0]}"
    parameters |= also[1]
    if job_ids is not None:
        if isinstance(job_ids, (str, uuid.UUID)):
            job_ids = [job_ids]
        if not isinstance(job_ids, Iterable):
            raise InvalidArgumentError(
                f"job_ids={job_ids!r:.80}; expected ids as in jobs_frame().job_id, or None for all"
            )
        condition += " AND jobs.job_id IN (SELECT unnest($job_ids))"
        parameters["job_ids"] = some(as_uuid(job_id) for job_id in job_ids)
    with database.transaction() as connection:
        statement = f"{RETRY} WHERE {condition}"
        return int(connection.execute(statement, parameters).fetchall()[0][0])


def _check_registered(database: Database, pipeline_id: str | None, source: str | None) -> None:
    """Refuse a pipeline that is not registered; without one, name those that are left alone."""
    if pipeline_id is not None:
        find_pipeline(pipeline_id)
        return
    with database.reading() as cursor:
        rows = cursor.execute(
            "SELECT DISTINCT pipeline_id FROM jobs WHERE status = 'completed'"
            " AND ($source IS NULL OR source = $source)",
            {"source": source},
        ).fetchall()
    unknown = []
    for (name,) in sorted(rows):
        try:
            find_pipeline(name)  # loads one that a package ships, so that its version is known
        except PipelineError:
            unknown.append(name)
    if unknown:
        say(
            f"jobs of {', '.join(unknown)} are left alone: not registered now, so nothing tells whether "
            "their code changed"
        )


def rerun_changed(connection: DuckDBPyConnection, staged: str) -> None:
    """Put finished jobs of a staged registration whose input changed back to pending."""
    connection.execute(
        f"{RETRY} FROM {staged} WHERE {staged}.job_id = jobs.job_id"
        f" AND {staged}.changed AND jobs.status IN ('completed', 'failed')"
    ).fetchall()
