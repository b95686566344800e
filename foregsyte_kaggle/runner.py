"""``run_jobs``: the call that runs what is pending."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Executor
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from foregsyte_kaggle import ledger
from foregsyte_kaggle.attending import attend
from foregsyte_kaggle.background import send_off
from foregsyte_kaggle.claims import Claims
from foregsyte_kaggle.deadlines import find_deadline
from foregsyte_kaggle.disk import find_disk_watch
from foregsyte_kaggle.errors import InvalidArgumentError, MissingExtraError, PipelineError
from foregsyte_kaggle.executors import Events, as_devices, make_engine
from foregsyte_kaggle.filters import check_source
from foregsyte_kaggle.ledger import Selection
from foregsyte_kaggle.loop import Loop, Policy
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.origins import find_root
from foregsyte_kaggle.outputs import remove_partial
from foregsyte_kaggle.quantities import parse_seconds
from foregsyte_kaggle.registry import Pipeline, check_installed, find_pipeline
from foregsyte_kaggle.results import declare_table
from foregsyte_kaggle.runs import Run
from foregsyte_kaggle.surroundings import BATCH_SESSIONS, cpu_count, session_kind
from foregsyte_kaggle.versions import count_outdated
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Run", "run_jobs"]


def run_jobs(
    pipeline_id: str | None = None,
    *,
    source: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
    executor: str | Executor | Client | ModuleType = "processes",
    devices: str | Sequence[int | str] | None = None,
    recycle_after: int | None = None,
    time_limit: str | float | timedelta | None = "auto",
    reserve: str | float | timedelta | None = None,
    disk_reserve: str | float | None = "auto",
    job_timeout: str | float | timedelta | None = None,
    max_attempts: int = 1,
    on_error: str = "continue",
    background: bool = False,
    progress: bool = True,
    workspace: Workspace | None = None,
) -> Run:
    """Run pending jobs and record how each ended.

    A job that raises, or whose worker dies, fails alone; the others go on. An interrupt (the notebook's
    Stop) ends the run within seconds: what finished is recorded, the rest is pending again.

    Parameters
    ----------
    pipeline_id
        Run this pipeline's jobs; those of all pipelines by default.
    source
        Only jobs of the source with this name.
    limit
        At most this many jobs, such as 3 for a first try.
    workers
        How many jobs run at once; by default one for each device, or else for each processor. An executor or
        cluster that is given has its own number.
    executor
        ``"processes"`` (the default), ``"threads"``, ``"inline"`` (in this thread, for a debugger); any
        ``concurrent.futures.Executor`` whose workers are not forked from this process; jobs in other
        processes of such a one show no ``job.progress``; or a cluster: a ``distributed.Client`` of Dask's, or
        ``"ray"`` (or Ray's module) where ``ray.init`` was called. Its workers say how many jobs run at once
        (Dask's threads, Ray's processors), while it grows and shrinks too. There a job whose worker dies is
        tried again, alone in its process, three times, or as often as Dask's setting
        ``distributed.scheduler.allowed-failures`` says.
    devices
        GPUs by number or id, such as ``[0, 1]``, or ``"auto"`` for all that are there, if any. Each worker
        process sees one of them, as ``cuda:0``: its ``CUDA_VISIBLE_DEVICES`` is set before Python starts.
        All take from one queue. One that is named twice gets two workers. Needs processes.
    recycle_after
        Replace a worker process after this many jobs, where a library leaks memory. Needs processes.
    time_limit
        How long the run may take, from now: seconds, or text such as ``"8h30m"``. It ends earlier where a
        session of Kaggle's does, or one whose limit the variable ``FOREGSYTE_SESSION_LIMIT`` tells; this
        alone is ``"auto"`` (the default), which is no limit elsewhere. None is no limit anywhere. A job is
        begun only if it will likely end in time, judging by those before; one that still works then is put
        back to pending. What is left is pending for the next call.
    reserve
        How much of the time limit, and of the session, to keep for the cells below, such as ``"10min"``,
        which is the default of a session; nothing is kept of a limit of your own.
    disk_reserve
        How much of the disk that the working folder is on stays free: bytes, or text such as ``"500MB"``,
        which ``"auto"`` (the default) is in a session of Kaggle's, where a version whose folder is full
        cannot be saved; elsewhere it is nothing, as with None. With twice as much left the run warns; with
        less left than that it begins no more jobs, lets those that work end, and leaves the rest pending.
    job_timeout
        How long a job may take before it is killed with its children and fails: seconds, or text such as
        ``"5min"``; loading a class pipeline does not count. A batch may take as long as all of its jobs.
        A child whose own parent ended before, as a daemon's, is not found. Needs processes.
    max_attempts
        How often a failing job is tried in this run, with growing pauses; alone, not in its batch.
    on_error
        ``"continue"``, or ``"raise"``: end the run at the first job that fails for good.
    background
        Return at once and run beside the cells that follow; ``.wait()`` and ``.stop()`` of the ``Run`` are
        how to come back to it. The notebook's Stop does not end it, the end of the kernel does. In a batch
        session it runs in the foreground, since the session would end before it.
    progress
        Whether to show a bar; for a run in the background of a live notebook, a ``run_panel``.
    workspace
        The active one by default.

    Returns
    -------
    Run
        What happened; its failures by kind.

    Raises
    ------
    PipelineError
        If the pipeline is unknown, cannot be sent to, or loaded in, other processes, or if stored results
        do not fit its schema.
    MissingExtraError
        If a built-in pipeline needs what is not installed; gives the command that installs it.
    SourceError
        If the folder of a source is not there now, nor attached in Kaggle's other layout, or no source has
        the name given.
    RunError
        If the run cannot start, no worker lives long enough to run a job, or with ``on_error="raise"`` a
        job failed.
    InvalidArgumentError
        If an argument is not of the expected form.
    """
    chosen = active_workspace(workspace)
    _check_arguments(limit, workers, recycle_after, max_attempts, on_error)
    timeout = None if job_timeout is None else parse_seconds("job_timeout", job_timeout)
    gpus = as_devices(devices)
    deadline = find_deadline(time_limit, reserve)
    disk = find_disk_watch(disk_reserve, chosen.directory, chosen.outputs, say)
    if background and session_kind() in BATCH_SESSIONS:
        say("a batch session ends with its last cell, so this run is in the foreground")
        background = False
    if background and executor == "inline":
        raise InvalidArgumentError(
            "executor='inline' runs jobs in this thread, so nothing can go on beside it; use 'processes' or "
            "'threads' with background=True"
        )
    ledger.settle(chosen.database, chosen.live_runs)
    pipelines = _choose_pipelines(chosen, pipeline_id)
    selections = [(Selection(p.pipeline_id, source), p.code_version) for p in pipelines]
    check_source(chosen.database, source)
    roots = _Roots(chosen)
    roots.check([selection for selection, _ in selections])
    schemas = {
        p.pipeline_id: declare_table(chosen.database, p.pipeline_id, p.schema)
        for p in pipelines
        if p.schema is not None
    }
    waiting = sum(
        extent.jobs
        for selection, _ in selections
        if (extent := ledger.pending_jobs(chosen.database, selection)) is not None
    )
    total = waiting if limit is None else min(waiting, limit)
    run = Run(pipeline_id, total, chosen)
    run.outdated = count_outdated(chosen.database, pipeline_id, source)
    events: Events = queue.SimpleQueue()
    engine = make_engine(
        executor,
        max(1, min(workers or len(gpus or ()) or cpu_count(), total)),
        events,
        timeout,
        devices=gpus,
        recycle_after=recycle_after,
    )
    if not chosen.live_runs:
        remove_partial(chosen.outputs)
    if not total:
        run.end("finished")
        for line in [_nothing_pending(chosen, pipeline_id, source), *run.hints()]:
            say(line)
        return run
    for found in pipelines:
        engine.add_pipeline(
            found.pipeline_id, found.target, str(chosen.outputs / found.pipeline_id)
        )
    run.deadline, run.disk = deadline, disk
    run.time_limit = deadline.reason if deadline is not None else None
    loop = Loop(
        chosen.database,
        run.run_id,
        engine,
        events,
        Claims(
            chosen.database,
            run.run_id,
            selections,
            limit,
            lambda: chosen.live_runs <= {run.run_id},
        ),
        roots,
        Policy(max_attempts, on_error),
        run.note,
        say,
        batch_sizes={one.pipeline_id: one.batch_size for one in pipelines if one.batch_size},
        deadline=deadline,
        schemas=schemas,
        usual_seconds=_usual_seconds(chosen, pipelines) if deadline is not None else None,
        disk=disk,
    )
    run.begin(loop.stop, loop.fractions, loop.load)
    carry = send_off if background else attend
    carry(chosen, run, loop, engine, progress=progress)
    return run


class _Roots(dict[str | None, Path | None]):
    """For each source name the folder that its paths count from; None for ids and URLs.

    Looks up sources that were registered after the run began.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace

    def check(self, selections: list[Selection]) -> None:
        """Look up all that are needed.

        Raises
        ------
        SourceError
            If the folder of one is not there.
        """
        for selection in selections:
            with self._workspace.database.reading() as cursor:
                rows = cursor.execute(
                    f"SELECT DISTINCT source FROM jobs WHERE {selection.condition}",
                    selection.parameters,
                ).fetchall()
            for (name,) in rows:
                self[name]

    def __missing__(self, name: str | None) -> Path | None:
        folder: Path | None = self._workspace.directory
        if name is not None:
            folder = find_root(self._workspace.database, name, self._workspace.directory)
        self[name] = folder
        return folder


def _usual_seconds(workspace: Workspace, pipelines: list[Pipeline]) -> dict[str, float]:
    found = {
        one.pipeline_id: ledger.usual_seconds(workspace.database, one.pipeline_id)
        for one in pipelines
    }
    return {pipeline_id: seconds for pipeline_id, seconds in found.items() if seconds is not None}


def _check_arguments(
    limit: int | None,
    workers: int | None,
    recycle_after: int | None,
    max_attempts: int,
    on_error: str,
) -> None:
    for name, value in (
        ("limit", limit),
        ("workers", workers),
        ("recycle_after", recycle_after),
        ("max_attempts", max_attempts),
    ):
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_whole and value >= 1):
            raise InvalidArgumentError(f"{name}={value!r}; expected a whole number from 1")
    if on_error not in ("continue", "raise"):
        raise InvalidArgumentError(f"on_error={on_error!r}; expected 'continue' or 'raise'")


def _choose_pipelines(workspace: Workspace, pipeline_id: str | None) -> list[Pipeline]:
    if pipeline_id is not None:
        return [_find_runnable(pipeline_id)]
    with workspace.database.reading() as cursor:
        rows = cursor.execute(
            "SELECT pipeline_id FROM jobs WHERE status = 'pending'"
            " GROUP BY pipeline_id ORDER BY min(position)"
        ).fetchall()
    found = []
    for (waiting,) in rows:
        try:
            found.append(_find_runnable(waiting))
        except (PipelineError, MissingExtraError) as error:
            say(f"jobs of {waiting} are left pending: {error}")
    return found


def _find_runnable(pipeline_id: str) -> Pipeline:
    found = find_pipeline(pipeline_id)
    check_installed(pipeline_id)
    return found


def _nothing_pending(workspace: Workspace, pipeline_id: str | None, source: str | None) -> str:
    counts = ledger.status_counts(workspace.database, pipeline_id, source)
    text = f"nothing is pending for {pipeline_id or 'any pipeline'}"
    if source is not None:
        text += f" and source {source!r}"
    if counts["failed"]:
        them = "it" if counts["failed"] == 1 else "them"
        text += f"; {counted(counts['failed'], 'job')} failed before, retry_jobs() makes {them} pending again"
    return text
