"""Which of the jobs that a run holds go out next, and which of them together."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from foregsyte_kaggle.executors import Chunk
from foregsyte_kaggle.worker import Task

__all__ = ["SHORT_JOB_SECONDS", "Backlog", "Mark"]

#: Jobs shorter than this travel in chunks, where an engine does not say otherwise.
SHORT_JOB_SECONDS = 0.01
CHUNK_SECONDS = 0.1
CHUNK_JOBS = 1024
#: A batch looks past so many jobs with other params for more of its own.
LOOK_AHEAD_JOBS = 1024
TIME_BOX_SECONDS = 0.5
#: Jobs shorter than this wait in a worker while it works, so that it never idles.
PREFETCH_BELOW_SECONDS = 0.25
BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 30.0


@dataclass
class Mark:
    """What sets a job apart from others; few have one."""

    tries: int = 0
    """That ended in an error, in this run."""
    alone: bool = False
    """Travels in a chunk of its own, to be blamed for its worker's death."""
    exclusive: bool = False
    """Nothing else runs beside it."""
    lost_starts: int = 0
    """How often a worker died before it began."""


class Backlog:
    """The jobs that wait, by pipeline; and what is known of their pace.

    Parameters
    ----------
    batch_sizes
        Of the pipelines that take batches.
    short_seconds
        Jobs shorter than this travel in chunks.

    Attributes
    ----------
    one_by_one : bool
        Whether short jobs go out one at a time too, and none waits in a worker.
    """

    def __init__(
        self,
        batch_sizes: Mapping[str, int] | None = None,
        usual_seconds: Mapping[str, float] | None = None,
        short_seconds: float = SHORT_JOB_SECONDS,
    ) -> None:
        self.one_by_one = False
        self._short_seconds = short_seconds
        self._batch_sizes = batch_sizes or {}
        self._usual_seconds = usual_seconds or {}
        self._left_out: set[str] = set()
        self._ready: dict[str, deque[Task]] = {}
        self._delayed: list[tuple[float, int, str, Task]] = []
        self._order = itertools.count()
        self._marks: dict[int, Mark] = {}
        self._paces: dict[str, float] = {}
        self._spreads: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._delayed) or self.first() is not None

    @property
    def holds_any(self) -> bool:
        """Whether it holds jobs, also those that are left out."""
        return bool(self._delayed) or any(self._ready.values())

    def holds(self, pipeline_id: str) -> bool:
        """Whether it holds jobs of a pipeline."""
        delayed = any(waiting == pipeline_id for _, _, waiting, _ in self._delayed)
        return delayed or bool(self._ready.get(pipeline_id))

    def first(self) -> str | None:
        """Return the pipeline whose jobs are next; None where none is ready."""
        for pipeline_id, tasks in self._ready.items():
            if tasks and pipeline_id not in self._left_out:
                return pipeline_id
        return None

    def goes_on(self, pipeline_id: str) -> bool:
        """Whether the next job is a short one of a pipeline too, and may share a chunk with others."""
        if pipeline_id != self.first() or pipeline_id in self._batch_sizes:
            return False
        following = self._ready[pipeline_id][0]
        is_apart = self._is_alone(following) or self._runs_alone(following)
        return self._short_pace(pipeline_id) is not None and not is_apart

    def leave_out(self, pipeline_id: str) -> None:
        """Give no more jobs of a pipeline out."""
        self._left_out.add(pipeline_id)

    def append(self, pipeline_id: str, tasks: Iterable[Task]) -> None:
        """Take jobs after those that wait."""
        self._queue(pipeline_id).extend(tasks)

    def put_back(self, pipeline_id: str, tasks: list[Task]) -> None:
        """Take jobs before those that wait."""
        self._queue(pipeline_id).extendleft(reversed(tasks))

    def delay(self, pipeline_id: str, task: Task, tries: int) -> None:
        """Take a job that is tried again after a pause, which grows with the tries.

        Where others travel in batches, this one travels alone.
        """
        if pipeline_id in self._batch_sizes:
            self.mark(task).alone = True
        pause = min(BACK_OFF_SECONDS * 2 ** (tries - 1), LONGEST_BACK_OFF_SECONDS)
        due = time.monotonic() + pause
        heapq.heappush(self._delayed, (due, next(self._order), pipeline_id, task))

    @property
    def next_due(self) -> float | None:
        """When the next pause is over, on the monotonic clock."""
        return self._delayed[0][0] if self._delayed else None

    def revive(self) -> None:
        """Make jobs ready whose pause is over."""
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            _, _, pipeline_id, task = heapq.heappop(self._delayed)
            self._queue(pipeline_id).appendleft(task)

    def mark(self, task: Task) -> Mark:
        """Return what sets a job apart, to be changed."""
        return self._marks.setdefault(task.position, Mark())

    @property
    def has_marks(self) -> bool:
        """Whether anything sets some job apart."""
        return bool(self._marks)

    def forget(self, task: Task) -> None:
        """Drop what is known of a job that ended."""
        if self._marks:
            self._marks.pop(task.position, None)

    def measure(self, pipeline_id: str, seconds: list[float]) -> None:
        """Learn how long a pipeline's jobs take."""
        mean = sum(seconds) / len(seconds)
        before = self._paces.get(pipeline_id, mean)
        self._paces[pipeline_id] = 0.7 * before + 0.3 * mean
        # The exponentially weighted variance (West 1979).
        spread = self._spreads.get(pipeline_id, 0.0)
        self._spreads[pipeline_id] = 0.7 * (spread + 0.3 * (mean - before) ** 2)

    def pace(self, pipeline_id: str | None) -> float | None:
        """Return the seconds that a pipeline's jobs take; None where none ended yet."""
        return self._paces.get(pipeline_id or "")

    def likely_seconds(self, pipeline_id: str | None) -> float:
        """Return how long the next job, or batch, takes at most, most likely.

        From those of this run, or while there is none from earlier ones; 0 where there is none either.
        """
        pace = self.pace(pipeline_id)
        if pace is None:
            longest = self._usual_seconds.get(pipeline_id or "", 0.0)
        else:
            longest = pace + 2 * math.sqrt(self._spreads[pipeline_id or ""])
        return longest * self.batch_size(pipeline_id)

    def depth(self, pipeline_id: str | None) -> int:
        """Return how many chunks a worker may hold: two where the second would wait only a moment."""
        pace = self.pace(pipeline_id)
        if pace is None or self.one_by_one:
            return 1
        return 2 if pace * self.batch_size(pipeline_id) < PREFETCH_BELOW_SECONDS else 1

    def batch_size(self, pipeline_id: str | None) -> int:
        """Return how many jobs of a pipeline fill a batch; 1 where it takes them one at a time."""
        return self._batch_sizes.get(pipeline_id or "", 1)

    def must_wait(self, pipeline_id: str, in_flight: Collection[Chunk]) -> bool:
        """Whether the next job, or one in flight, runs beside no other."""
        if not in_flight or not self._marks:
            return False
        return self._runs_alone(self._ready[pipeline_id][0]) or self.is_exclusive(in_flight)

    def is_exclusive(self, in_flight: Collection[Chunk]) -> bool:
        """Whether a job in flight runs beside no other."""
        if not self._marks:
            return False
        return any(self._runs_alone(task) for chunk in in_flight for task in chunk.tasks[:1])

    def make_chunk(self, pipeline_id: str) -> Chunk:
        """Take the next jobs of a pipeline: one, or as many short ones as take a moment, or a batch."""
        tasks = self._ready[pipeline_id]
        if pipeline_id in self._batch_sizes:
            return Chunk(pipeline_id, self._take_batch(pipeline_id, tasks), is_batch=True)
        pace = self._short_pace(pipeline_id)
        most = 1
        if pace is not None:
            most = max(1, min(CHUNK_JOBS, int(CHUNK_SECONDS / max(pace, 1e-6)), len(tasks)))
        chosen = [tasks.popleft()]
        if not self._marks:
            chosen += [tasks.popleft() for _ in range(most - 1)]
        elif not self._is_alone(chosen[0]):
            while len(chosen) < most and not self._is_alone(tasks[0]):
                chosen.append(tasks.popleft())
        return Chunk(pipeline_id, chosen, TIME_BOX_SECONDS if len(chosen) > 1 else None)

    def _short_pace(self, pipeline_id: str) -> float | None:
        """Return the seconds that a pipeline's jobs take if that is so few that they travel together."""
        pace = self.pace(pipeline_id)
        is_short = pace is not None and pace < self._short_seconds and not self.one_by_one
        return pace if is_short else None

    def _take_batch(self, pipeline_id: str, tasks: deque[Task]) -> list[Task]:
        """Take the next job and others with its params; those between stay where they are."""
        chosen = [tasks.popleft()]
        passed: list[Task] = []
        most = 1 if self._is_alone(chosen[0]) else self.batch_size(pipeline_id)
        while tasks and len(chosen) < most and len(passed) < LOOK_AHEAD_JOBS:
            task = tasks.popleft()
            fits = task.params == chosen[0].params and not self._is_alone(task)
            (chosen if fits else passed).append(task)
        tasks.extendleft(reversed(passed))
        return chosen

    def _is_alone(self, task: Task) -> bool:
        mark = self._marks.get(task.position)
        return mark is not None and mark.alone

    def _runs_alone(self, task: Task) -> bool:
        mark = self._marks.get(task.position)
        return mark is not None and mark.exclusive

    def _queue(self, pipeline_id: str) -> deque[Task]:
        return self._ready.setdefault(pipeline_id, deque())
