"""What a run panel shows: one look at a run, as numbers and words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.surroundings import session_age_seconds, session_limit_seconds
from foregsyte_kaggle.widgets.words import cut, visible
from foregsyte_kaggle.worker import describe

if TYPE_CHECKING:
    from foregsyte_kaggle.runs import Run

__all__ = ["RunState", "roughly", "state_to_text", "take_state"]

ERROR_CHARACTERS = 200
#: Kinds of failures that are shown, the most frequent ones.
KINDS = 5


@dataclass(frozen=True)
class RunState:
    """A run at one moment.

    Attributes
    ----------
    counts : dict
        Its jobs by status, in the order of the bar.
    retried : int
        Of the failures, how many of their jobs were made pending again.
    kinds : tuple
        For each kind of failure: the kind, how many, the first line of one of its messages.
    recent : tuple
        Of the last failures, newest first: the job's id, the kind and the first line of the message.
    seconds_left, limit_left, session_left : float or None
        Until it is done (None where nothing tells), until its time limit, until Kaggle's session ends.
    ended : str
        How it ended; empty while it works.
    """

    label: str
    counts: dict[JobStatus, int]
    retried: int
    kinds: tuple[tuple[str, int, str], ...]
    recent: tuple[tuple[str, str, str], ...]
    workers: int
    busy: int
    seconds: float
    jobs_per_second: float
    recent_jobs_per_second: float
    seconds_left: float | None
    limit_left: float | None
    session_left: float | None
    is_stopping: bool
    ended: str

    @property
    def total(self) -> int:
        """All of its jobs."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """How many of its jobs are failed now."""
        return self.counts[JobStatus.failed]

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return bool(self.ended)


def take_state(run: Run) -> RunState:
    """Look at a run; from any thread."""
    over = not run.is_running
    load = run.load
    session = None if over else session_limit_seconds()
    kinds = sorted(dict(run.failures).items(), key=lambda item: (-item[1][0], item[0]))
    return RunState(
        label=run.label,
        counts={
            JobStatus.completed: run.completed,
            JobStatus.failed: max(0, run.failed - run.retried),
            JobStatus.running: load.jobs,
            JobStatus.pending: run.pending,
        },
        retried=run.retried,
        kinds=tuple((kind, n, cut(message, ERROR_CHARACTERS)) for kind, (n, message) in kinds),
        recent=tuple(
            (failure.job_id, failure.kind, cut(failure.message, ERROR_CHARACTERS))
            for failure in reversed(run.recent_failures)
        ),
        workers=load.workers,
        busy=load.busy,
        seconds=run.seconds,
        jobs_per_second=run.jobs_per_second,
        recent_jobs_per_second=run.recent_jobs_per_second,
        seconds_left=None if over else _seconds_left(run),
        limit_left=None if over or run.deadline is None else max(0.0, run.deadline.seconds_left),
        session_left=None if session is None else max(0.0, session - session_age_seconds()),
        is_stopping=run.is_stopping and not over,
        ended=_how_it_ended(run) if over else "",
    )


def _seconds_left(run: Run) -> float | None:
    unfinished = run.pending + run.load.jobs - (run.done - run.completed - run.failed)
    # Of slow jobs too few end in ten seconds to tell anything.
    speed = run.recent_jobs_per_second
    if speed < 1.0:
        speed = run.done / run.seconds if run.seconds else 0.0
    return max(0.0, unfinished / speed) if speed else None


def _how_it_ended(run: Run) -> str:
    left = f"{counted(run.left, 'job')} left pending"
    if run.ended_by == "error":
        error = run.error
        said = f"{type(error).__name__}: {describe(error)}" if error is not None else "an error"
        return f"ended with {cut(visible(said, keep=chr(10)), ERROR_CHARACTERS)}"
    if run.ended_by == "stopped":
        return f"stopped, {left}"
    if run.ended_by == "time_limit":
        return f"time is up ({run.time_limit}): {left}, run_jobs() goes on with them"
    if run.ended_by == "disk":
        return f"the disk is nearly full ({run.disk.reason if run.disk else ''}): {left}"
    if run.ended_by == "limit":
        return f"finished: its limit of {counted(run.total, 'job')} is reached"
    return "finished" if not run.holds_suspects_back else f"finished, {left} for a run by itself"


def roughly(seconds: float) -> str:
    """Return a length of time as one estimates it: ``about 2 min``."""
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 57.5:
        return f"about {round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"about {minutes} min"
    hours, rest = divmod(round(seconds / 300) * 5, 60)
    if hours >= 10 or not rest:
        return f"about {round(seconds / 3600):,} h"
    return f"about {hours} h {rest} min"


def state_to_text(state: RunState) -> str:
    """Return counts, failures by kind and the end; without times, so the same jobs give the same text."""
    counts = ", ".join(f"{jobs:,} {status.value}" for status, jobs in _shown(state))
    lines = [f"run of {visible(state.label)}: {counts or 'no jobs'}"]
    lines += [
        f"  {number:,} x {visible(kind)}: {visible(message)}"
        for kind, number, message in state.kinds[:KINDS]
    ]
    return "\n".join([*lines, *([f"  {state.ended}"] if state.ended else [])])


def _shown(state: RunState) -> Iterable[tuple[JobStatus, int]]:
    return ((status, jobs) for status, jobs in state.counts.items() if jobs)
