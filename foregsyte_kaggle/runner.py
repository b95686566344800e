"""``run_jobs``: the call that runs what is pending, and the ``Run`` that tells how it went."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from foregsyte_kaggle import ledger
from foregsyte_kaggle.claims import Claims
from foregsyte_kaggle.environment import cpu_count
from foregsyte_kaggle.errors import InvalidArgumentError, PipelineError, RunError, SourceError
from foregsyte_kaggle.executors import Engine, Events, InlineEngine, make_engine
from foregsyte_kaggle.ledger import Selection
from foregsyte_kaggle.loop import Loop, Policy
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.pipelines import Pipeline, find_pipeline
from foregsyte_kaggle.progress import ProgressBar
from foregsyte_kaggle.recording import Ended
from foregsyte_kaggle.workspace import Workspace, active_workspace

__all__ = ["Run", "run_jobs"]


class Run:
    """One call of ``run_jobs``.

    Attributes
    ----------
    run_id : uuid.UUID
        As in ``jobs_frame()`` and ``attempts_frame()``.
    total : int
        Jobs that were pending when it began, or its limit.
    completed, failed : int
        Jobs whose end is in the ledger.
    returned : int
        Jobs that it claimed and put back to pending.
    seconds : float
        How long it took.
    ended_by : str or None
        ``"finished"``, ``"limit"``, ``"stopped"`` or ``"error"``; None while it works.
    failures : dict
        For each kind of error, how many jobs failed with it, and the first one's message.
    """

    def __init__(self, pipeline_id: str | None, total: int) -> None:
        self.run_id = uuid.uuid4()
        self.pipeline_id = pipeline_id
        self.total = total
        self.completed = 0
        self.failed = 0
        self.returned = 0
        self.seconds = 0.0
        self.ended_by: str | None = None
        self.failures: dict[str, tuple[int, str]] = {}

    @property
    def jobs_per_second(self) -> float:
        """Finished jobs a second, over the whole run."""
        return (self.completed + self.failed) / self.seconds if self.seconds else 0.0

    def summary(self) -> list[str]:
        """Return what happened: one line for the run, and one for each kind of failure."""
        parts = [f"{self.completed:,} completed"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.returned:
            parts.append(f"{self.returned:,} back to pending")
        lines = [
            f"{self.pipeline_id or 'all pipelines'}: {', '.join(parts)}"
            f" in {self.seconds:,.1f} s ({self.jobs_per_second:,.1f} jobs/s)"
            + (f", {self.ended_by}" if self.ended_by not in (None, "finished") else "")
        ]
        for kind, (count, message) in sorted(
            self.failures.items(), key=lambda item: (-item[1][0], item[0])
        ):
            first = message.strip().splitlines()[0][:200] if message.strip() else ""
            lines.append(f"  {count:,} x {kind}: {first}")
        return lines

    def __repr__(self) -> str:
        state = self.ended_by or "working"
        return (
            f"<Run {self.pipeline_id or 'all pipelines'}: {self.completed:,} completed, "
            f"{self.failed:,} failed, {state}>"
        )

    def _note(self, written: list[Ended]) -> None:
        for ended in written:
            if not ended.final:
                continue
            if ended.outcome.outcome == "completed":
                self.completed += 1
                continue
            self.failed += 1
            kind = ended.outcome.error_type or ended.outcome.outcome
            count, message = self.failures.get(kind, (0, ended.outcome.error_message or ""))
            self.failures[kind] = (count + 1, message)


def run_jobs(
    pipeline_id: str | None = None,
    *,
    source: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
    executor: str | Executor = "processes",
    job_timeout: float | None = None,
    max_attempts: int = 1,
    on_error: str = "continue",
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
        How many jobs run at once; one for each processor by default.
    executor
        ``"processes"`` (the default), ``"threads"``, ``"inline"`` (in this thread, for a debugger), or
        any ``concurrent.futures.Executor`` whose workers are not forked from this process.
    job_timeout
        Seconds after which a job is killed with its children and fails; loading a class pipeline does
        not count. Needs processes.
    max_attempts
        How often a failing job is tried in this run, with growing pauses.
    on_error
        ``"continue"``, or ``"raise"``: end the run at the first job that fails for good.
    progress
        Whether to show a bar.
    workspace
        The active one by default.

    Returns
    -------
    Run
        What happened; its failures by kind.

    Raises
    ------
    PipelineError
        If the pipeline is unknown, or cannot be sent to other processes.
    SourceError
        If the folder of a source is not there now.
    RunError
        If the run cannot start, or with ``on_error="raise"`` a job failed.
    InvalidArgumentError
        If an argument is not of the expected form.
    """
    chosen = active_workspace(workspace)
    _check_arguments(limit, workers, job_timeout, max_attempts, on_error)
    pipelines = _choose_pipelines(chosen, pipeline_id)
    selections = [(Selection(p.pipeline_id, source), p.code_version) for p in pipelines]
    roots = _roots(chosen, [selection for selection, _ in selections])
    waiting = sum(
        extent.jobs
        for selection, _ in selections
        if (extent := ledger.pending_jobs(chosen.database, selection)) is not None
    )
    total = waiting if limit is None else min(waiting, limit)
    run = Run(pipeline_id, total)
    if not total:
        run.ended_by = "finished"
        say(_nothing_pending(chosen, pipeline_id, source))
        return run
    events: Events = queue.SimpleQueue()
    engine = make_engine(
        executor, max(1, min(workers or cpu_count(), total)), events, job_timeout
    )
    try:
        for found in pipelines:
            folder = str(chosen.outputs / found.pipeline_id)
            engine.add_pipeline(found.pipeline_id, found.target, folder)
    except BaseException:
        engine.close(kill=True)
        raise
    loop = Loop(
        chosen.database,
        run.run_id,
        engine,
        events,
        Claims(chosen.database, run.run_id, selections, limit),
        roots,
        Policy(max_attempts, on_error),
        run._note,
        say,
    )
    _Attended(chosen, run, loop, engine, source).run(progress=progress)
    return run


class _Attended:
    """A run in a thread of its own, with the calling thread waiting for it."""

    def __init__(
        self, workspace: Workspace, run: Run, loop: Loop, engine: Engine, source: str | None
    ) -> None:
        self._workspace = workspace
        self._run = run
        self._loop = loop
        self._engine = engine
        self._error: BaseException | None = None
        self._done = threading.Event()

    def run(self, *, progress: bool) -> None:
        run, loop = self._run, self._loop
        bar = ProgressBar(run.total, run.pipeline_id or "all pipelines", shown=progress)
        begun = time.monotonic()
        thread = threading.Thread(target=self._work, name="foregsyte-run", daemon=True)
        interrupted: KeyboardInterrupt | None = None
        thread.start()
        while not self._done.is_set():
            try:
                self._attend(bar)
            except KeyboardInterrupt as stop:
                # Asked again, it waits again: the end of a run takes seconds and must not be cut short.
                interrupted = stop
                loop.stopping.set()
        run.seconds = time.monotonic() - begun
        self._show(bar)
        bar.close()
        for line in run.summary():
            say(line)
        if self._error is not None:
            raise self._error
        if interrupted is not None:
            raise interrupted
        if loop.first_error is not None:
            failed = loop.first_error
            raise RunError(
                f"job {failed.job_id} of {failed.pipeline_id} failed: {failed.outcome.error_type}: "
                f"{failed.outcome.error_message}\n{failed.outcome.traceback or ''}"
            )

    def _attend(self, bar: ProgressBar) -> None:
        while not self._done.is_set():
            if isinstance(self._engine, InlineEngine):
                self._engine.work(0.05)
            else:
                self._done.wait(0.1)
            self._show(bar)

    def _show(self, bar: ProgressBar) -> None:
        run = self._run
        fractions = list(self._loop.fractions.values()) if not self._done.is_set() else []
        bar.show(run.completed + run.failed + sum(fractions), run.failed, run.total)

    def _work(self) -> None:
        run, database = self._run, self._workspace.database
        self._workspace.live_runs.add(run.run_id)
        ended_by = "error"
        try:
            ledger.begin_run(
                database,
                run.run_id,
                run.pipeline_id,
                self._engine.name,
                self._engine.workers,
                alive=self._workspace.live_runs,
            )
            ended_by = self._loop.run()
        except BaseException as error:
            self._error = error
        finally:
            self._finish(ended_by)

    def _finish(self, ended_by: str) -> None:
        run, database = self._run, self._workspace.database
        steps: list[Callable[[], object]] = [
            lambda: self._engine.close(kill=ended_by in ("stopped", "error")),
            self._loop.drain,
        ]
        for step in steps:
            try:
                step()
            except BaseException as error:
                self._error = self._error or error
        try:
            run.returned = ledger.end_run(
                database, run.run_id, ended_by, run.completed, run.failed
            )
        except BaseException as error:
            self._error = self._error or error
        run.ended_by = ended_by
        self._workspace.live_runs.discard(run.run_id)
        self._done.set()


def _check_arguments(
    limit: int | None,
    workers: int | None,
    job_timeout: float | None,
    max_attempts: int,
    on_error: str,
) -> None:
    for name, value in (("limit", limit), ("workers", workers), ("max_attempts", max_attempts)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InvalidArgumentError(f"{name}={value!r}; expected a whole number from 1")
    if job_timeout is not None and not job_timeout > 0:
        raise InvalidArgumentError(f"job_timeout={job_timeout!r}; expected seconds above 0, or None")
    if on_error not in ("continue", "raise"):
        raise InvalidArgumentError(f"on_error={on_error!r}; expected 'continue' or 'raise'")


def _choose_pipelines(workspace: Workspace, pipeline_id: str | None) -> list[Pipeline]:
    if pipeline_id is not None:
        return [find_pipeline(pipeline_id)]
    with workspace.database.reading() as cursor:
        rows = cursor.execute(
            "SELECT pipeline_id FROM jobs WHERE status = 'pending'"
            " GROUP BY pipeline_id ORDER BY min(position)"
        ).fetchall()
    found = []
    for (waiting,) in rows:
        try:
            found.append(find_pipeline(waiting))
        except PipelineError as error:
            say(f"jobs of {waiting} are left pending: {error}")
    return found


def _roots(workspace: Workspace, selections: list[Selection]) -> dict[str | None, Path | None]:
    """Return the folder of each source that is needed, and check that it is there."""
    with workspace.database.reading() as cursor:
        known = dict(cursor.execute("SELECT name, root FROM sources").fetchall())
        needed: set[str | None] = set()
        for selection in selections:
            rows = cursor.execute(
                f"SELECT DISTINCT source FROM jobs WHERE {selection.condition}", selection.parameters
            ).fetchall()
            needed.update(row[0] for row in rows)
    roots: dict[str | None, Path | None] = {}
    for name in needed:
        root = known.get(name) if name is not None else "."
        roots[name] = None if root is None else workspace.directory / root
        if root is not None and not (workspace.directory / root).is_dir():
            raise SourceError(
                f"the source {name!r} was at {root}, and there is no such folder now. Attach it again, or "
                f"register it from where it is: register_jobs(folder, ..., name={name!r})"
            )
    return roots


def _nothing_pending(workspace: Workspace, pipeline_id: str | None, source: str | None) -> str:
    counts = ledger.status_counts(workspace.database)
    text = f"nothing is pending for {pipeline_id or 'any pipeline'}"
    if source is not None:
        text += f" and source {source!r}"
    if counts["failed"]:
        text += f"; {counts['failed']:,} job(s) failed before, retry_jobs() makes them pending again"
    return text
