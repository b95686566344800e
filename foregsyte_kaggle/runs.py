"""What a run tells of itself: the ``Run``."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple, Self

from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.pace import Pace

if TYPE_CHECKING:
    from foregsyte_kaggle.deadlines import Deadline
    from foregsyte_kaggle.disk import DiskWatch
    from foregsyte_kaggle.tries import Ended
    from foregsyte_kaggle.workspace import Workspace

__all__ = ["Failure", "Load", "Run"]

RECENT_FAILURES = 5


class Load(NamedTuple):
    """What its workers do now."""

    workers: int = 0
    busy: int = 0
    jobs: int = 0
    """With those that wait in a chunk or are in a batch."""


class Failure(NamedTuple):
    """A job that failed for good."""

    job_id: str
    kind: str
    message: str


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
    left : int
        Jobs that were left pending when it was over.
    seconds : float
        How long it has taken so far, or took.
    ended_by : str or None
        ``"finished"``, ``"limit"``, ``"time_limit"``, ``"disk"``, ``"stopped"`` or ``"error"``; None while it
        works.
    error : BaseException or None
        What ended it, where ``ended_by`` is ``"error"``.
    outdated : int
        Completed jobs, of those it could run, that were made by other code than that registered now.
    failures : dict
        For each kind of error, how many jobs failed with it, and the message of the one that was
        registered first.
    workspace : Workspace or None
        Where its jobs are.
    """

    def __init__(
        self, pipeline_id: str | None, total: int, workspace: Workspace | None = None
    ) -> None:
        self.run_id = uuid.uuid4()
        self.workspace = workspace
        self.pipeline_id = pipeline_id
        self.total = total
        self.completed = 0
        self.failed = 0
        self.returned = 0
        self.left = 0
        self.outdated = 0
        self.holds_suspects_back = False
        self.ended_by: str | None = None
        self.error: BaseException | None = None
        self.failures: dict[str, tuple[int, str]] = {}
        self.time_limit: str | None = None
        """What its time limit follows from."""
        self.deadline: Deadline | None = None
        self.disk: DiskWatch | None = None
        """Who looks after the room on the disk."""
        self.recent_failures: tuple[Failure, ...] = ()
        """The last few, newest last."""
        self.retried = 0
        """Of those counted as failed, how many are not failed any more, but were made pending again."""
        self.is_stopping = False
        """Whether somebody asked it to stop."""
        self._retried_before_end = 0
        self._pace = Pace()
        self._load: Callable[[], Load] = Load
        self._fractions: Mapping[int, float] = {}
        self._first_failed: dict[str, tuple[int, str]] = {}
        self._began = time.monotonic()
        self._took = 0.0
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None
        self._halt: Callable[[], None] = lambda: None

    @property
    def label(self) -> str:
        """Whose jobs it runs."""
        return self.pipeline_id or "all pipelines"

    @property
    def is_running(self) -> bool:
        """Whether it still works, or records what it did."""
        return not self._over.is_set()

    @property
    def done(self) -> float:
        """How many jobs ended, with what is done of those that run now."""
        return self.completed + self.failed + sum(list(self._fractions.values()))

    @property
    def seconds(self) -> float:
        """How long it has taken so far, or took."""
        return time.monotonic() - self._began if self.is_running else self._took

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until a run in the background is over; the notebook's Stop ends the waiting only.

        Parameters
        ----------
        timeout
            Seconds to wait at most; without end by default.

        Raises
        ------
        ForegsyteError
            What ended the run, if an error did.
        """
        if self._over.wait(timeout):
            self.wait_for_telling()
        if self.error is not None:
            raise self.error
        return self

    def stop(self) -> Self:
        """End the run within seconds: what finished is recorded, the rest is pending again.

        Returns when it is over. The second call does nothing.
        """
        self.ask_to_stop()
        self._over.wait()
        self.wait_for_telling()
        return self

    def ask_to_stop(self) -> None:
        """Make it end soon, without waiting; may be called from anywhere, also a signal handler."""
        self.is_stopping = True
        self._halt()

    def wait_quietly(self, seconds: float) -> None:
        """Wait up to so many seconds for its end, whatever that was."""
        self._over.wait(seconds)

    def begin(
        self,
        halt: Callable[[], None],
        fractions: Mapping[int, float],
        load: Callable[[], Load] = Load,
    ) -> None:
        """Note what stops it, where it tells how far jobs are by position, and what its workers do."""
        self._halt, self._fractions, self._load = halt, fractions, load

    def be_watched(self, watcher: threading.Thread) -> None:
        """Note the thread that tells how it ended, so that whoever waits comes after that."""
        self._watcher = watcher

    def wait_for_telling(self) -> None:
        """Wait until the thread that watches it told how it ended, if one does."""
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(timeout=1.0)

    def end(self, ended_by: str, error: BaseException | None = None) -> None:
        """Note that it is over."""
        self.ended_by, self.error = ended_by, error
        self._retried_before_end = self.retried
        self._took = time.monotonic() - self._began
        self._over.set()

    @property
    def jobs_per_second(self) -> float:
        """Finished jobs a second, over the whole run."""
        return (self.completed + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def recent_jobs_per_second(self) -> float:
        """Finished jobs a second, over about the last ten seconds."""
        return self._pace.per_second(self.completed + self.failed)

    @property
    def load(self) -> Load:
        """What its workers do now; nothing when it is over."""
        return self._load() if self.is_running else Load(self._load().workers)

    @property
    def pending(self) -> int:
        """How many of its jobs wait, with those that failed in it and were made pending again."""
        ended = self.completed + self.failed - self.retried
        waiting = max(0, self.total - ended - self.load.jobs)
        if self.is_running or self.ended_by == "error":
            return waiting
        # What another run did meanwhile waits no more.
        return min(waiting, self.left + self.retried - self._retried_before_end)

    def summary(self) -> list[str]:
        """Return what happened: one line for the run, and one for each kind of failure."""
        parts = [f"{self.completed:,} completed"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.returned:
            parts.append(f"{self.returned:,} back to pending")
        ended = {
            "limit": f"; limit reached, {self.left:,} left pending",
            "stopped": ", stopped",
            "error": ", error",
        }.get(self.ended_by or "", "")
        speed = f"{self.jobs_per_second:,.1f} jobs/s"
        lines = [f"{self.label}: {', '.join(parts)} in {self.seconds:,.1f} s ({speed}){ended}"]
        if self.ended_by == "time_limit":
            lines.append(
                f"  time is up ({self.time_limit}): {self.left:,} left pending, run_jobs() goes on with them"
            )
        if self.ended_by == "disk" and self.disk is not None:
            lines.append(
                f"  the disk of the working folder is nearly full ({self.disk.reason}): {self.left:,} left"
                " pending, run_jobs() goes on with them when there is room"
            )
        if self.holds_suspects_back:
            lines.append(
                f"  {counted(self.left, 'job')} that ran when a session crashed left pending: each runs by"
                " itself, and another run works; run_jobs() after that goes on"
            )
        for kind, (count, message) in sorted(
            self.failures.items(), key=lambda item: (-item[1][0], item[0])
        ):
            first = message.strip().splitlines()[0][:200] if message.strip() else ""
            _, path = self._first_failed[kind]
            name = path if "://" in path else PurePath(path).name
            if (
                name and name not in first
            ):  # many messages, such as "list index out of range", name nothing
                first = f"{name}: {first}"
            lines.append(f"  {count:,} x {kind}{', first' if count > 1 else ''}: {first}")
        return lines + self.hints()

    def hints(self) -> list[str]:
        """Return what somebody may want to do next: a line if completed jobs are outdated."""
        if not self.outdated:
            return []
        them = "it" if self.outdated == 1 else "them"
        was = counted(self.outdated, "completed job was", "completed jobs were")
        return [f"{was} made by older code; retry_jobs(outdated=True) redoes {them}"]

    def note(self, written: list[Ended]) -> None:
        """Count what was recorded."""
        failed = []
        for ended in written:
            if not ended.final:
                continue
            if ended.outcome.outcome == "completed":
                self.completed += 1
                continue
            self.failed += 1
            failed.append(ended)
            kind = ended.outcome.error_type or ended.outcome.outcome
            count, message = self.failures.get(kind, (0, ""))
            # Not the first to fail, which differs from run to run.
            position = ended.outcome.position
            if position <= self._first_failed.get(kind, (position, ""))[0]:
                self._first_failed[kind] = position, ended.path
                message = ended.outcome.error_message or ""
            self.failures[kind] = (count + 1, message)
        self._pace.note(self.completed + self.failed)
        if failed:
            recent = [_as_failure(ended) for ended in failed[-RECENT_FAILURES:]]
            self.recent_failures = (*self.recent_failures, *recent)[-RECENT_FAILURES:]

    def __repr__(self) -> str:
        state = self.ended_by or "working"
        return f"<Run {self.label}: {self.completed:,} completed, {self.failed:,} failed, {state}>"


def _as_failure(ended: Ended) -> Failure:
    outcome = ended.outcome
    return Failure(ended.job_id, outcome.error_type or outcome.outcome, outcome.error_message or "")
