"""The loop of a run: claim, hand to the engine, gather, record in groups.

It has a thread of its own, the only one that writes while the run lasts.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle import ledger
from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.executors import Chunk, Done, Engine, Events, Lost, Progress
from foregsyte_kaggle.identity import decode_path
from foregsyte_kaggle.recording import Ended, record_group
from foregsyte_kaggle.worker import MESSAGE_CHARACTERS, Outcome, Task, clean

if TYPE_CHECKING:
    from foregsyte_kaggle.claims import Claims
    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.ledger import ClaimedJob

__all__ = ["Loop", "Policy"]

TICK_SECONDS = 0.1
#: Results are on disk this long after they came back, at the latest.
GROUP_AGE_SECONDS = 0.5
GROUP_JOBS = 4096
PROGRESS_SECONDS = 2.0
#: Jobs shorter than this travel in chunks.
SHORT_JOB_SECONDS = 0.005
CHUNK_SECONDS = 0.1
CHUNK_JOBS = 1024
TIME_BOX_SECONDS = 0.5
#: Jobs shorter than this wait in a worker while it works, so that it never idles.
PREFETCH_BELOW_SECONDS = 0.25
STOP_GRACE_SECONDS = 1.0
BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 30.0


@dataclass(frozen=True)
class Policy:
    """What a run does with failures."""

    max_attempts: int = 1
    on_error: str = "continue"


@dataclass
class _Held:
    """A job that this run claimed and has not recorded."""

    pipeline_id: str
    job: ClaimedJob
    task: Task
    attempt: int
    tries: int = 0
    alone: bool = False
    """Travels in a chunk of its own, to be blamed for its worker's death."""
    exclusive: bool = False
    """Nothing else runs beside it."""
    lost_starts: int = 0


class Loop:
    """Runs the claimed jobs of one run to their end.

    Parameters
    ----------
    roots
        For each source name, the folder that its paths count from; None for ids and URLs.
    on_recorded
        Told what was committed, group by group.
    warn
        Told of a column that became JSON.
    """

    def __init__(
        self,
        database: Database,
        run_id: uuid.UUID,
        engine: Engine,
        events: Events,
        claims: Claims,
        roots: dict[str | None, Path | None],
        policy: Policy,
        on_recorded: Callable[[list[Ended]], None],
        warn: Callable[[str], None],
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
        self._held: dict[int, _Held] = {}
        self._ready: deque[_Held] = deque()
        self._delayed: list[tuple[float, int, _Held]] = []
        self._order = itertools.count()
        self._in_flight: dict[int, Chunk] = {}
        self._ended: list[Ended] = []
        self._oldest = 0.0
        self._told_at = 0.0
        self._told: dict[int, float] = {}
        self._pace: float | None = None
        self._deaths_at_start = 0
        self._exhausted = False
        self._first_error: Ended | None = None
        self.fractions: dict[int, float] = {}
        self.stopping = threading.Event()

    def run(self) -> str:
        """Work until nothing is left; return how it ended: finished, limit, stopped or error."""
        while not self.stopping.is_set() and self._first_error is None:
            self._submit()
            if not (self._in_flight or self._ready or self._delayed):
                break
            self._gather(self._patience())
            self._engine.check()
            self._flush(only_if_due=True)
            self._store_progress()
        if self.stopping.is_set() or self._first_error is not None:
            self._let_finish(STOP_GRACE_SECONDS)
        self._flush()
        if self._first_error is not None:
            return "error"
        if self.stopping.is_set():
            return "stopped"
        return "limit" if self._claims.limit_reached else "finished"

    @property
    def first_error(self) -> Ended | None:
        """The failure that ended a run with ``on_error="raise"``."""
        return self._first_error

    def drain(self) -> None:
        """Record what still came back after the engine was closed."""
        self._gather(0.0)
        self._flush()

    # Submitting

    def _submit(self) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._delayed)[2])
        depth = 2 if self._pace is not None and self._pace < PREFETCH_BELOW_SECONDS else 1
        while len(self._in_flight) < self._engine.workers * depth:
            if not self._ready:
                self._claim(depth)
            if not self._ready or (self._ready[0].exclusive and self._in_flight):
                return
            if any(self._held[t.position].exclusive for c in self._in_flight.values() for t in c.tasks[:1]):
                return
            chunk = self._make_chunk()
            self._in_flight[chunk.chunk_id] = chunk
            self._engine.submit(chunk)

    def _claim(self, depth: int) -> None:
        """Claim about half a second's work, and enough for all workers."""
        if self._exhausted:
            return
        least = self._engine.workers * depth
        wanted = least
        if self._pace is not None:
            wanted = int(self._engine.workers * 0.5 / max(self._pace, 1e-5))
        claimed = self._claims.take(min(max(wanted, least), 2 * GROUP_JOBS))
        if claimed is None:
            self._exhausted = True
            return
        for job in claimed.jobs:
            held = _Held(
                claimed.pipeline_id,
                job,
                self._task(job),
                job.attempts,
                alone=claimed.alone,
                exclusive=claimed.alone,
            )
            self._held[job.position] = held
            self._ready.append(held)

    def _task(self, job: ClaimedJob) -> Task:
        path = decode_path(job.input_path)
        root = self._roots[job.source]
        full = path if root is None else str(root / path)
        return Task(job.position, job.job_id, full, root is not None, job.params, job.attempts)

    def _make_chunk(self) -> Chunk:
        first = self._ready.popleft()
        most = 1
        if self._pace is not None and self._pace < SHORT_JOB_SECONDS and not first.alone:
            most = max(1, min(CHUNK_JOBS, int(CHUNK_SECONDS / max(self._pace, 1e-6))))
        tasks = [first.task]
        while (
            len(tasks) < most
            and self._ready
            and self._ready[0].pipeline_id == first.pipeline_id
            and not self._ready[0].alone
        ):
            tasks.append(self._ready.popleft().task)
        return Chunk(first.pipeline_id, tasks, TIME_BOX_SECONDS if len(tasks) > 1 else None)

    # Gathering

    def _patience(self) -> float:
        waits = [TICK_SECONDS]
        now = time.monotonic()
        if self._ended:
            waits.append(self._oldest + GROUP_AGE_SECONDS - now)
        if self._delayed:
            waits.append(self._delayed[0][0] - now)
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

    def _handle(self, event: Done | Lost | Progress) -> None:
        if isinstance(event, Progress):
            if event.position in self._held:
                self.fractions[event.position] = event.fraction
                self._told[event.position] = event.fraction
            return
        if self._in_flight.pop(event.chunk.chunk_id, None) is None:
            return  # given up before it came back
        if isinstance(event, Done):
            if event.outcomes:
                self._deaths_at_start = 0
                self._measure(event.outcomes)
            for outcome in event.outcomes:
                self._end(outcome)
            started = len(event.outcomes)
            for task in reversed(event.chunk.tasks[started:]):
                self._ready.appendleft(self._held[task.position])
        else:
            self._handle_lost(event)

    def _handle_lost(self, lost: Lost) -> None:
        tasks = lost.chunk.tasks
        if not lost.began:
            self._deaths_at_start += 1
            if self._deaths_at_start > 2 * self._engine.workers + 1:
                raise RunError(
                    f"worker processes die before they run a job: {lost.reason}."
                    + (f" The last one printed: {lost.output[-500:]}" if lost.output else "")
                )
            self._held[tasks[0].position].lost_starts += 1
        again = len(tasks) > 1 or (
            not lost.began and self._held[tasks[0].position].lost_starts < 2
        )
        if again:
            # One of them did it, or none: each is tried again on its own, so that only that one fails.
            for task in reversed(tasks):
                held = self._held[task.position]
                held.alone = True
                self._ready.appendleft(held)
            return
        self._end(
            Outcome(
                tasks[0].position,
                lost.outcome,
                time.time() - lost.seconds,
                lost.seconds,
                None,
                {"timeout": "JobTimeout", "died": "WorkerDied"}.get(lost.outcome, "ResultError"),
                clean(lost.reason, MESSAGE_CHARACTERS),
                None,
                lost.output,
            )
        )

    def _measure(self, outcomes: list[Outcome]) -> None:
        mean = sum(outcome.duration_seconds for outcome in outcomes) / len(outcomes)
        self._pace = mean if self._pace is None else 0.7 * self._pace + 0.3 * mean

    def _end(self, outcome: Outcome) -> None:
        held = self._held[outcome.position]
        held.tries += 1
        final = outcome.outcome == "completed" or held.tries >= self._policy.max_attempts
        if not self._ended:
            self._oldest = time.monotonic()
        self._ended.append(
            Ended(held.pipeline_id, held.job.job_id, held.attempt, final, outcome)
        )
        self.fractions.pop(outcome.position, None)
        if final:
            del self._held[outcome.position]
            return
        held.attempt += 1
        held.task = held.task._replace(attempt=held.attempt)
        pause = min(BACK_OFF_SECONDS * 2 ** (held.tries - 1), LONGEST_BACK_OFF_SECONDS)
        heapq.heappush(self._delayed, (time.monotonic() + pause, next(self._order), held))

    # Recording

    def _flush(self, *, only_if_due: bool = False) -> None:
        if not self._ended:
            return
        young = time.monotonic() - self._oldest < GROUP_AGE_SECONDS
        if only_if_due and young and len(self._ended) < GROUP_JOBS and self._in_flight:
            return
        group, self._ended = self._ended, []
        written = record_group(self._database, self._run_id, group, self._warn)
        self._on_recorded(written)
        if self._policy.on_error == "raise" and self._first_error is None:
            failed = (e for e in written if e.final and e.outcome.outcome != "completed")
            self._first_error = next(failed, None)

    def _store_progress(self) -> None:
        now = time.monotonic()
        if self._told and now - self._told_at >= PROGRESS_SECONDS:
            told, self._told, self._told_at = self._told, {}, now
            running = {at: fraction for at, fraction in told.items() if at in self._held}
            ledger.set_progress(self._database, self._run_id, running)

    def _let_finish(self, grace: float) -> None:
        """Give jobs in flight a moment to end; what does not is left to be put back."""
        until = time.monotonic() + grace
        while self._in_flight and (left := until - time.monotonic()) > 0:
            self._gather(min(left, TICK_SECONDS))
