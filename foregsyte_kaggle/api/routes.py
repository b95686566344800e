"""The endpoints: each reads or changes the ledger through the same functions as the notebook."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Security
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer

from foregsyte_kaggle import schema
from foregsyte_kaggle.api.cursors import Place, read_place, write_place
from foregsyte_kaggle.api.lending import Served
from foregsyte_kaggle.api.models import (
    Counts,
    Health,
    JobPageModel,
    JobWithAttempts,
    Problem,
    Registered,
    ResultPage,
    Retried,
    Retry,
    RunModel,
    Submission,
)
from foregsyte_kaggle.api.page import POLICY, live_page
from foregsyte_kaggle.api.reading import Rows, read_job, read_jobs, read_live_runs, read_rows
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, known_names
from foregsyte_kaggle.filters import JobFilter, as_statuses, check_pipeline, check_source
from foregsyte_kaggle.ledger import retry_jobs, status_counts
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.registration import register_jobs
from foregsyte_kaggle.surroundings import package_version
from foregsyte_kaggle.widgets.page import PageQuery
from foregsyte_kaggle.workspace import Workspace

__all__ = ["router"]

#: The most jobs, or rows, of one answer.
MOST = 500
#: Rows of its result that come with a job.
FIRST_ROWS = 20

UNFIT: dict[int | str, dict[str, Any]] = {422: {"model": Problem, "description": "A bad value"}}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such job"}}
CHANGES: dict[int | str, dict[str, Any]] = {
    **UNFIT,
    401: {"model": Problem, "description": "Not the token"},
    403: {"model": Problem, "description": "Served without a token"},
}


def refuse_unknown(request: Request) -> None:
    """Refuse a parameter that the endpoint does not have: a misspelt filter would find everything."""
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            hint = known_names(name, known) if known else " There are none here."
            raise InvalidArgumentError(f"there is no parameter {name!r:.80}.{hint}")


router = APIRouter(dependencies=[Depends(refuse_unknown)])
#: For the OpenAPI document; ``Guard`` is who checks it.
needs_token = [Security(HTTPBearer(auto_error=False, description="As in serve(token=…)"))]

Pipeline = Annotated[str | None, Query(max_length=500)]
Source = Annotated[str | None, Query(max_length=500)]
Search = Annotated[
    str, Query(max_length=500, description="Text in the input's path or the error, of any case.")
]
Statuses = Annotated[list[JobStatus] | None, Query(description="One, or several.")]
Limit = Annotated[int, Query(ge=1, le=MOST)]


@router.get(
    "/health", responses=UNFIT, summary="The ledger's revision, counts, and runs that work now"
)
def health(request: Request, workspace: Served) -> Health:
    """Answer whether the ledger can be read, and what it is."""
    import duckdb

    database = workspace.database
    counts = Counts(**status_counts(database))
    try:
        revision = schema.current_revision(database)
    except LedgerError:  # it could be read just now, so only the revision is not there
        revision = None
    return Health(
        version=package_version(),
        duckdb_version=duckdb.__version__,
        revision=revision,
        directory=str(workspace.directory),
        read_only=request.app.state.read_only,
        jobs=counts,
        runs=[RunModel(**run) for run in read_live_runs(workspace)],
    )


@router.get("/counts", responses=UNFIT, summary="How many jobs there are of each status")
def counts(workspace: Served, pipeline_id: Pipeline = None, source: Source = None) -> Counts:
    """Count all jobs, or those of a pipeline or source."""
    _check(workspace, pipeline_id, source)
    return Counts(**status_counts(workspace.database, pipeline_id, source))


@router.get("/jobs", responses=UNFIT, summary="Jobs in the order of registering, page by page")
def list_jobs(
    workspace: Served,
    status: Statuses = None,
    pipeline_id: Pipeline = None,
    source: Source = None,
    search: Search = "",
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(description="'next' of the page before.")] = None,
) -> JobPageModel:
    """List jobs; pages hold while jobs are added, and none is told twice."""
    _check(workspace, pipeline_id, source)
    wanted = JobFilter(
        statuses=as_statuses(status), pipeline_id=pipeline_id, source=source, search=search
    )
    after = Place() if cursor is None else read_place(cursor)
    jobs, place = read_jobs(workspace.database, wanted, after, limit)
    return JobPageModel.model_validate(
        {"jobs": jobs, "next": None if place is None else write_place(place)}
    )


@router.get("/jobs/{job_id}", responses={**UNFIT, **UNKNOWN}, summary="One job with its attempts")
def get_job(workspace: Served, job_id: uuid.UUID) -> JobWithAttempts:
    """Return a job, its newest attempts, and the first rows of its result."""
    job = read_job(workspace.database, job_id)
    if job is None:
        raise _no_job(job_id)
    rows = read_rows(workspace.database, job_id, 0, FIRST_ROWS) or Rows({}, [], 0)
    return JobWithAttempts.model_validate({**job, "result": rows._asdict()})


@router.get("/jobs/{job_id}/results", responses={**UNFIT, **UNKNOWN}, summary="What it returned")
def get_results(
    workspace: Served,
    job_id: uuid.UUID,
    limit: Limit = 50,
    offset: Annotated[int, Query(ge=0, lt=2**62)] = 0,
) -> ResultPage:
    """Return rows of a completed job's result; none of others."""
    rows = read_rows(workspace.database, job_id, offset, limit)
    if rows is None:
        raise _no_job(job_id)
    return ResultPage.model_validate(rows._asdict())


@router.post(
    "/jobs",
    responses=CHANGES,
    dependencies=needs_token,
    status_code=201,
    summary="Register a job for each input",
)
def submit(workspace: Served, wanted: Submission) -> Registered:
    """Register inputs that this machine sees; those that are registered already add nothing."""
    done = register_jobs(**wanted.model_dump(), workspace=workspace)
    return Registered(
        pipeline_id=done.pipeline_id,
        source=done.source,
        added=done.added,
        unchanged=done.unchanged,
        changed=done.changed,
        skipped=done.skipped,
    )


@router.post(
    "/jobs/retry",
    responses=CHANGES,
    dependencies=needs_token,
    summary="Make finished jobs pending again",
)
def retry(workspace: Served, wanted: Retry) -> Retried:
    """Put failed jobs, or completed ones, back to pending for the next run."""
    return Retried(retried=retry_jobs(**wanted.model_dump(), workspace=workspace))


@router.get(
    "/", response_class=HTMLResponse, responses=UNFIT, summary="The job table, for a browser"
)
def page(
    workspace: Served,
    status: Annotated[JobStatus | str | None, Query(max_length=20)] = None,
    pipeline_id: Pipeline = None,
    source: Source = None,
    search: Search = "",
    number: Annotated[int, Query(ge=1, lt=2**31)] = 1,
) -> HTMLResponse:
    """Return the job table as a page that needs nothing beside it and follows a run."""
    # What a form leaves empty is not asked.
    pipeline_id, source = pipeline_id or None, source or None
    _check(workspace, pipeline_id, source)
    query = PageQuery(
        statuses=as_statuses(status or None),
        pipeline_id=pipeline_id,
        source=source,
        search=search,
        number=number,
        page_size=50,
    )
    headers = {"Content-Security-Policy": POLICY}
    return HTMLResponse(live_page(workspace, query), headers=headers)


def _check(workspace: Workspace, pipeline_id: str | None, source: str | None) -> None:
    check_pipeline(workspace.database, pipeline_id)
    check_source(workspace.database, source)


def _no_job(job_id: uuid.UUID) -> HTTPException:
    return HTTPException(404, f"there is no job {job_id} in this ledger; GET /jobs lists them")
