"""The loop of a run: claim, hand to the engine, gather, record in groups.

It has a thread of its own, the only one that writes while the run lasts.
"""

from __future__ import annotations

import operator
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle import ledger
from foregsyte_kaggle.arrays import import_ahead
from foregsyte_kaggle.backlog import SHORT_JOB_SECONDS, Backlog
from foregsyte_kaggle.collector import QuietCollector
from foregsyte_kaggle.errors import PipelineError, RunError
from foregsyte_kaggle.executors import (
    OVERDUE_SECONDS,
    Chunk,
    Done,
    Engine,
    Event,
    Events,
    Lost,
    Part,
    Progress,
    Started,
)
from foregsyte_kaggle.identity import decode_paths
from foregsyte_kaggle.quantities import describe_seconds
from foregsyte_kaggle.recording import record_group
from foregsyte_kaggle.runs import Load
from foregsyte_kaggle.tries import Ended
from foregsyte_kaggle.worker import MESSAGE_CHARACTERS, Outcome, Task, clean

if TYPE_CHECKING:
    from foregsyte_kaggle.claims import Claimed, Claims
    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.deadlines import Deadline
    from foregsyte_kaggle.disk import DiskWatch
    from foregsyte_kaggle.results import Schema

__all__ = ["Loop", "Policy"]

TICK_SECONDS = 0.1
#: Results are on disk this long after they came back, at the latest.
GROUP_AGE_SECONDS = 0.5
#: More of them in a step take less time for each, and more memory for all.
GROUP_JOBS = 8192
CLAIM_JOBS = 16384
PROGRESS_SECONDS = 2.0
CLAIM_SECONDS = 0.5
ASK_AGAIN_SECONDS = 1.0
STOP_GRACE_SECONDS = 1.0
#: With less time left than this, it needs no saying that no further job is begun.
WORTH_SAYING_SECONDS = 60.0
#: So many workers in a row that die before a job begins end the run: the first ones, later ones.
FIRST_DEATHS = 3
LATER_DEATHS = 10


@dataclass(frozen=True)
class Policy:
    """What a run does with failures."""

    max_attempts: int = 1
    on_error: str = "continue"


class Loop:
    """Runs the claimed jobs of one run to their end.

    Parameters
    ----------
    roots
        For each source name, the folder that its paths count from; None for ids and URLs.
    on_recorded
        Told what was committed, group by group.
    warn
        Told of a column that became JSON, and of jobs that are longer than the time that is left.
    batch_sizes
        Of the pipelines that take batches.
    deadline
        When it must be over; no job is begun that is not likely to end before.
    schemas
        Of those pipelines that declare one.
    usual_seconds
        How long most jobs of each pipeline took in earlier runs.
    disk
        Who says when the disk is so full that no further job may begin.
    """

    def __init__(
        self,
        database: Database,
        run_id: uuid.UUID,
        engine: Engine,
        events: Events,
        claims: Claims,
        roots: Mapping[str | None, Path | None],
        policy: Policy,
        on_recorded: Callable[[list[Ended]], None],
        warn: Callable[[str], None],
        batch_sizes: Mapping[str, int] | None = None,
        deadline: Deadline | None = None,
        schemas: Mapping[str, Schema] | None = None,
        usual_seconds: Mapping[str, float] | None = None,
        disk: DiskWatch | None = None,
    ) -> None:
        self._database = database
        self._run_id = run_id
        self._engine = engine
        self._events = events
        self._claims = claims
        self._roots = roots
        self._policy = policy
        self._on_recorded = on_recorded
        self._warn = warn
        self._deadline = deadline
        self._disk = disk
        self._is_closing = self._is_short_of_time = self._is_short_of_disk = False
        self._too_long: dict[str, str] = {}
        self._schemas = schemas
        short = getattr(engine, "short_job_seconds", SHORT_JOB_SECONDS)
        self._backlog = Backlog(batch_sizes, usual_seconds, short)
        self._in_flight: dict[int, Chunk] = {}
        self._begun: dict[int, float] = {}
        self._long: set[int] = set()
        self._ended: list[Ended] = []
        self._oldest = 0.0
        self._must_flush = False
        self._told_at = 0.0
        self._told: dict[int, float] = {}
        self._claimed: str | None = claims.pipeline_id
        self._code_versions: dict[str, str] = {}
        self._ask_again_at = 0.0
        self._deaths = 0
        self._last_death: Lost | None = None
        self._has_started = False
        self._first_error: Ended | None = None
        self._collector = QuietCollector()
        self.fractions: dict[int, float] = {}
        # Not an Event: a signal handler sets it, which must not wait for a lock.
        self._is_stopping = False

    def run(self) -> str:
        """Work until nothing is left; return how it ended.

        Returns
        -------
        str
            ``"finished"``, ``"limit"``, ``"time_limit"``, ``"disk"``, ``"stopped"`` or ``"error"``.

        Raises
        ------
        RunError
            If workers die before they run a job, or a job was changed by somebody else.
        PipelineError
            If no worker can load the pipeline.
        LedgerError
            If the ledger cannot be written.
        """
        with QuietCollector() as self._collector:
            self._work()
        if self._disk is not None:
            self._disk.count_files()
        if self._first_error is not None:
            return "error"
        if self._is_stopping:
            return "stopped"
        if (self._is_short_of_disk or self._is_short_of_time or self._is_late()) and (
            self._in_flight or self._backlog.holds_any or self._claims.can_take
        ):
            if self._is_short_of_disk:
                return "disk"
            self._say_what_is_too_long()
            self._say_what_was_cut_off()
            return "time_limit"
        return "limit" if self._claims.limit_reached else "finished"

    def _work(self) -> None:
        while not self._is_over():
            if not self._closes():
                self._submit()
            if not (self._in_flight or (self._backlog and not self._is_closing)):
                break
            import_ahead()
            self._gather(self._patience())
            self._engine.check()
            if self._is_due():
                self._flush()
            self._store_progress()
        if self._is_over():
            self._let_finish(STOP_GRACE_SECONDS)
        self._flush()

    def stop(self) -> None:
        """End the run soon; may be called from anywhere, also from a signal handler."""
        self._is_stopping = True

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._is_stopping

    def drain(self) -> None:
        """Record what still came back after the engine was closed."""
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            if isinstance(event, (Part, Done)):
                self._handle(event)
        self._flush()

    @property
    def failure(self) -> RunError | None:
        """The error to raise for a run that a failed job ended."""
        if self._first_error is None:
            return None
        failed = self._first_error
        return RunError(
            f"job {failed.job_id} of {failed.pipeline_id} failed: {failed.outcome.error_type}: "
            f"{failed.outcome.error_message}\n{failed.outcome.traceback or ''}"
        )

    @property
    def holds_suspects_back(self) -> bool:
        """Whether jobs that a crash interrupted are left pending, since another run works."""
        return self._claims.holds_back

    def load(self) -> Load:
        """Return what the workers do now; may be called from anywhere."""
        chunks, workers = list(self._in_flight.values()), self._engine.workers
        jobs = sum(len(chunk.tasks) for chunk in chunks)
        return Load(workers, min(len(chunks), workers), jobs)

    def left(self) -> int:
        """Return how many of its jobs are pending now."""
        return self._claims.count_pending()

    def _is_over(self) -> bool:
        return self._is_stopping or self._first_error is not None or self._is_late()

    def _is_late(self) -> bool:
        return self._deadline is not None and self._deadline.seconds_left <= 0

    def _closes(self) -> bool:
        """Leave out pipelines of which a job begun now would likely not end in time.

        Returns
        -------
        bool
            True where all are left out, or the disk is too full for any.
        """
        if self._is_closing:
            return True
        if self._disk is not None:
            self._is_short_of_disk = self._disk.is_low()
            self._backlog.one_by_one = self._disk.is_near
        if self._deadline is not None:
            left = self._deadline.seconds_left
            for pipeline_id in self._claims.pipelines:
                if left < (likely := self._backlog.likely_seconds(pipeline_id)):
                    self._leave_out(pipeline_id, likely, left)
        if self._is_short_of_disk or (self._is_short_of_time and not self._claims.pipelines):
            self._is_closing = True
            self._engine.hold()
        return self._is_closing

    def _leave_out(self, pipeline_id: str, likely: float, left: float) -> None:
        self._is_short_of_time = True
        self._backlog.leave_out(pipeline_id)
        self._claims.leave_out(pipeline_id)
        if left >= WORTH_SAYING_SECONDS:
            what = "a batch" if self._backlog.batch_size(pipeline_id) > 1 else "a job"
            self._too_long[pipeline_id] = (
                f"{what} of {pipeline_id} takes up to {describe_seconds(likely)}, and"
                f" {describe_seconds(left)} were left of the time limit, so no other was begun"
            )

    def _say_what_is_too_long(self) -> None:
        for pipeline_id, line in self._too_long.items():
            if self._backlog.holds(pipeline_id) or self._claims.count_pending(pipeline_id):
                self._warn(line)

    def _say_what_was_cut_off(self) -> None:
        """Name the job that worked longest when time was up: it may need more than a whole session."""
        if not self._in_flight:
            return
        chunk = min(self._in_flight.values(), key=lambda one: self._begun[one.chunk_id])
        worked = time.monotonic() - self._begun[chunk.chunk_id]
        if worked >= WORTH_SAYING_SECONDS and chunk.tasks:
            name = chunk.tasks[0].path.rstrip("/").rpartition("/")[2]
            self._warn(
                f"{name!r} of {chunk.pipeline_id} was not done after {describe_seconds(worked)} when time was"
                " up, and is put back to pending"
            )

    # Submitting

    def _submit(self) -> None:
        backlog = self._backlog
        if backlog.next_due is not None and backlog.next_due <= time.monotonic():
            self._flush()  # no group holds two tries of one job
            backlog.revive()
        while True:
            pipeline_id = backlog.first()
            depth = backlog.depth(pipeline_id or self._claimed)
            # A worker that is at a long job gets nothing to wait behind it.
            if len(self._in_flight) + len(self._long) * (depth - 1) >= self._engine.workers * depth:
                return
            if pipeline_id is None:
                # What is claimed while one runs that may end the process would be suspected with it.
                if backlog.is_exclusive(self._in_flight.values()):
                    return
                if not self._claim(self._engine.workers * depth):
                    return
                continue
            if self._workers_die() or backlog.must_wait(pipeline_id, self._in_flight.values()):
                return
            chunk = backlog.make_chunk(pipeline_id)
            self._in_flight[chunk.chunk_id] = chunk
            if self._deadline is not None:
                self._begun[chunk.chunk_id] = time.monotonic()
            self._engine.submit(chunk)

    def _claim(self, least: int) -> bool:
        """Claim about half a second's work; False where nothing is pending."""
        now = time.monotonic()
        if self._in_flight and now < self._ask_again_at:
            return False
        pace = self._backlog.pace(self._claimed)
        wanted = least
        if pace is not None:
            wanted = int(self._engine.workers * CLAIM_SECONDS / max(pace, 1e-6))
        size = self._backlog.batch_size(self._claimed)
        wanted = max(min(wanted, CLAIM_JOBS), least * size)
        claimed = self._claims.take(-(-wanted // size) * size)  # whole batches
        if claimed is None:
            # Somebody may register more meanwhile; before the run ends it looks once more in any case.
            self._ask_again_at = now + ASK_AGAIN_SECONDS
            return False
        self._claimed = claimed.pipeline_id
        self._code_versions[claimed.pipeline_id] = claimed.code_version
        tasks = self._tasks(claimed)
        if claimed.exclusive:
            for task in tasks:
                mark = self._backlog.mark(task)
                mark.exclusive, mark.alone = True, len(tasks) == 1
        self._backlog.append(claimed.pipeline_id, tasks)
        return True

    def _tasks(self, claimed: Claimed) -> list[Task]:
        positions, job_ids, sources, stored, params, attempts = claimed.jobs
        folders: dict[str | None, str | None] = {}
        for source in set(sources):
            root = self._roots[source]
            folders[source] = None if root is None else f"{str(root).rstrip('/')}/"
        paths = decode_paths(stored)
        are_files: Iterable[bool] = repeat(False)
        if set(folders.values()) != {None}:
            given = [
                _given(path, source is None, folders[source])
                for source, path in zip(sources, paths, strict=True)
            ]
            paths, are_files = zip(*given, strict=True)
        found = zip(positions, job_ids, paths, are_files, params, attempts, strict=False)
        # As Task(...) does it, in a third of the time.
        return list(map(tuple.__new__, repeat(Task), found))

    def _workers_die(self) -> bool:
        """Whether workers die before they run a job, so that what is in flight must come back first.

        Raises
        ------
        RunError
            If nothing is in flight any more.
        """
        if self._deaths < (LATER_DEATHS if self._has_started else FIRST_DEATHS):
            return False
        lost = self._last_death
        if not self._in_flight and lost is not None:
            raise RunError(
                f"no job of {lost.chunk.pipeline_id} can begin: {lost.reason}"
                + (f"\nIt printed: {lost.output[-2000:]}" if lost.output else "")
            )
        return True

    # Gathering

    def _patience(self) -> float:
        now = time.monotonic()
        waits = [TICK_SECONDS]
        if self._ended:
            waits.append(self._oldest + GROUP_AGE_SECONDS - now)
        if self._backlog.next_due is not None:
            waits.append(self._backlog.next_due - now)
        return max(0.0, min(waits))

    def _gather(self, patience: float) -> None:
        """Wait for an event, and take all others that are there."""
        try:
            event = self._events.get(timeout=patience) if patience else self._events.get_nowait()
            while True:
                self._handle(event)
                event = self._events.get_nowait()
        except queue.Empty:
            pass

    def _handle(self, event: Event) -> None:
        if isinstance(event, Progress):
            # Looked for at its first one only.
            if event.position in self.fractions or any(
                event.position == task.position
                for chunk in self._in_flight.values()
                for task in chunk.tasks
            ):
                self.fractions[event.position] = self._told[event.position] = event.fraction
        elif isinstance(event, Started):
            self._deaths, self._has_started = 0, True
        elif isinstance(event, Part):
            if event.chunk.chunk_id in self._in_flight:
                self._handle_part(event)
        elif self._in_flight.pop(event.chunk.chunk_id, None) is not None:
            # None where it was given up before it came back.
            self._long.discard(event.chunk.chunk_id)
            self._begun.pop(event.chunk.chunk_id, None)
            if isinstance(event, Done):
                self._handle_done(event.chunk, event.outcomes)
            else:
                self._handle_lost(event)

    def _handle_done(self, chunk: Chunk, outcomes: list[Outcome]) -> None:
        started = len(outcomes)
        if started:
            self._deaths, self._has_started = 0, True
            seconds = [outcome.duration_seconds for outcome in outcomes]
            self._backlog.measure(chunk.pipeline_id, seconds)
            if started > 1:
                self._collector.begin()
        if not self._end_all(chunk, outcomes):
            for task, outcome in zip(chunk.tasks, outcomes, strict=False):
                self._end(chunk.pipeline_id, task, outcome)
        if started < len(chunk.tasks):
            self._backlog.put_back(chunk.pipeline_id, chunk.tasks[started:])

    def _handle_part(self, part: Part) -> None:
        chunk, ended = part.chunk, len(part.outcomes)
        for task, outcome in zip(chunk.tasks[:ended], part.outcomes, strict=True):
            self._end(chunk.pipeline_id, task, outcome)
        stays = len(chunk.tasks) - part.returned
        self._backlog.put_back(chunk.pipeline_id, chunk.tasks[stays:])
        chunk.tasks = chunk.tasks[ended:stays]
        is_new = chunk.chunk_id not in self._long
        self._long.add(chunk.chunk_id)
        if is_new and (part.outcomes or part.returned):
            seconds = [outcome.duration_seconds for outcome in part.outcomes]
            long = (chunk.time_box or 0.0) + OVERDUE_SECONDS
            if chunk.is_batch:
                long /= len(chunk.tasks) or 1
            self._backlog.measure(chunk.pipeline_id, [*seconds, long])

    def _handle_lost(self, lost: Lost) -> None:
        chunk, tasks = lost.chunk, lost.chunk.tasks
        if not tasks:  # all were given back before
            return
        if lost.outcome == "unloadable":
            raise PipelineError(
                f"the pipeline {chunk.pipeline_id!r} cannot be loaded in a worker: {lost.reason}\n"
                f"{lost.output or ''}".rstrip()
            )
        if lost.outcome == "broken":
            raise RunError(lost.reason)
        for task in tasks:
            self.fractions.pop(task.position, None)
        if not lost.began and self._is_nobodys_fault(lost):
            self._backlog.append(chunk.pipeline_id, tasks)
        elif len(tasks) > 1:
            # One of them did it: each is tried again on its own, so that only that one fails.
            for task in tasks:
                self._backlog.mark(task).alone = True
            self._backlog.put_back(chunk.pipeline_id, tasks)
        else:
            self._end(chunk.pipeline_id, tasks[0], _lost_outcome(lost))

    def _is_nobodys_fault(self, lost: Lost) -> bool:
        """Whether a worker that died before its job began says nothing of that job, the first time."""
        self._deaths += 1
        self._last_death = lost
        mark = self._backlog.mark(lost.chunk.tasks[0])
        mark.lost_starts += 1
        mark.alone = True
        return not self._has_started or mark.lost_starts < 2 or len(lost.chunk.tasks) > 1

    def _end_all(self, chunk: Chunk, outcomes: list[Outcome]) -> bool:
        """Note the end of many jobs at once, where none failed and nothing else is known of any."""
        if len(outcomes) < 2 or self.fractions or self._backlog.has_marks:
            return False
        kinds = set(map(_kind_of, outcomes))
        if kinds != {"completed"}:
            return False
        if not self._ended:
            self._oldest = time.monotonic()
        _, job_ids, paths, _, _, attempts = zip(*chunk.tasks[: len(outcomes)], strict=True)
        names = repeat(chunk.pipeline_id)
        versions = repeat(self._code_versions.get(chunk.pipeline_id))
        ended = zip(names, job_ids, attempts, repeat(True), outcomes, paths, versions)
        # As Ended._make does it, in a third of the time.
        self._ended += map(tuple.__new__, repeat(Ended), ended)
        return True

    def _end(self, pipeline_id: str, task: Task, outcome: Outcome) -> None:
        if not self._ended:
            self._oldest = time.monotonic()
        if self.fractions:
            self.fractions.pop(task.position, None)
        version = self._code_versions.get(pipeline_id)
        ended = Ended(pipeline_id, task.job_id, task.attempt, True, outcome, task.path, version)
        if outcome.outcome != "completed":
            mark = self._backlog.mark(task)
            mark.tries += 1
            if mark.tries < self._policy.max_attempts:
                self._ended.append(ended._replace(final=False))
                again = task._replace(attempt=task.attempt + 1)
                self._backlog.delay(pipeline_id, again, mark.tries)
                return
            self._must_flush |= self._policy.on_error == "raise"
        self._ended.append(ended)
        self._backlog.forget(task)

    # Recording

    def _is_due(self) -> bool:
        if not self._ended:
            return False
        is_old = time.monotonic() - self._oldest >= GROUP_AGE_SECONDS
        if is_old or self._must_flush or len(self._ended) >= GROUP_JOBS:
            return True
        # Short jobs that came back all at once wait for more of their group.
        return not (self._in_flight or self._backlog.goes_on(self._ended[-1].pipeline_id))

    def _flush(self) -> None:
        if not self._ended:
            return
        group, self._ended, self._must_flush = self._ended, [], False
        written = record_group(self._database, self._run_id, group, self._warn, self._schemas)
        self._on_recorded(written)
        if self._policy.on_error == "raise" and self._first_error is None:
            failed = (e for e in written if e.final and e.outcome.outcome != "completed")
            self._first_error = next(failed, None)

    def _store_progress(self) -> None:
        now = time.monotonic()
        if self._told and now - self._told_at >= PROGRESS_SECONDS:
            told, self._told, self._told_at = self._told, {}, now
            running = {at: fraction for at, fraction in told.items() if at in self.fractions}
            ledger.set_progress(self._database, self._run_id, running)

    def _let_finish(self, grace: float) -> None:
        """Give jobs in flight a moment to end; what does not is left to be put back."""
        self._engine.hold()
        until = time.monotonic() + grace
        while self._in_flight and (left := until - time.monotonic()) > 0:
            self._gather(min(left, TICK_SECONDS))


def _given(path: str, by_hand: bool, folder: str | None) -> tuple[str, bool]:
    """Return what a pipeline gets of an input, and whether it is a file."""
    if folder is None or (by_hand and "://" in path):
        return path, False
    # As text: pathlib costs more than all the rest of a short job. Absolute paths were made by hand.
    return path if path.startswith("/") else folder + path, True


_kind_of = operator.attrgetter("outcome")


def _lost_outcome(lost: Lost) -> Outcome:
    return Outcome(
        lost.chunk.tasks[0].position,
        lost.outcome,
        time.time() - lost.seconds,
        lost.seconds,
        None,
        {"timeout": "JobTimeout", "died": "WorkerDied"}.get(lost.outcome, "ResultError"),
        clean(lost.reason, MESSAGE_CHARACTERS),
        None,
        lost.output,
        None,
        lost.worker,
    )
