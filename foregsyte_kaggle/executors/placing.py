"""Which worker of a cluster gets which chunk, and who is blamed when one dies."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from foregsyte_kaggle.executors.contract import OVERDUE_SECONDS, Chunk

__all__ = ["Host", "Placed", "Placing"]

#: A thread of a worker has one chunk that it runs, and one that waits so that it never idles.
CHUNKS_PER_THREAD = 2


@dataclass(eq=False)
class Placed:
    """A chunk that a worker has."""

    chunk: Chunk
    positions: list[int]
    """Of its jobs, as they were sent, without those that were taken back."""
    since: float
    is_shared: bool = False
    """Whether its worker had another chunk too, at some time."""
    told: int = 0
    """How many of its jobs are known to have ended, before the chunk has."""
    is_whole: bool = True
    """Whether none is known to have ended, and none was taken back."""
    was_asked: bool = False
    asking: Any = None
    """What waits for the worker's answer."""


@dataclass(eq=False)
class Host:
    """A worker of the cluster: a process with some threads that run jobs."""

    name: str
    threads: int
    """How many jobs it takes at once; 0 while it takes none."""
    is_ready: bool = False
    """Whether it knows the run's pipelines."""
    is_told: bool = False
    """Whether they are on their way to it."""
    freed_at: float = 0.0
    """When it last gave a chunk back, on the monotonic clock."""
    placed: list[Placed] = field(default_factory=list)
    suspect: Chunk | None = None
    """The chunk that it has, or is kept free for, to run alone in its process."""

    @property
    def runs_suspect(self) -> bool:
        """Whether it has the chunk that it was kept free for."""
        return any(placed.chunk is self.suspect for placed in self.placed)

    @property
    def load(self) -> float:
        """How many chunks it has for each thread; behind one that takes long none is to wait."""
        chunks = sum(CHUNKS_PER_THREAD if placed.was_asked else 1 for placed in self.placed)
        return chunks / self.threads if self.threads else math.inf


class Placing:
    """The chunks that wait in the notebook's process, and the workers that they may go to.

    A job whose worker died is a suspect: from then on it runs alone in its process, so that no job is blamed
    for what another one does there. It fails when its workers died more often than is allowed.

    Parameters
    ----------
    allowed
        How many workers may die at a job before it fails.
    """

    def __init__(self, allowed: int) -> None:
        self.hosts: dict[str, Host] = {}
        self.waiting: deque[Chunk] = deque()
        self._allowed = allowed
        self._deaths: Counter[int] = Counter()

    @property
    def threads(self) -> int:
        """How many jobs the workers can run at once; of one that takes none, those that it has."""
        return sum(host.threads or len(host.placed) for host in self.hosts.values())

    def note(self, host: Host, chunk: Chunk) -> Placed:
        """Note that a worker gets a chunk now."""
        placed = Placed(
            chunk, [task.position for task in chunk.tasks], time.monotonic(), bool(host.placed)
        )
        for other in host.placed:
            other.is_shared = True
        host.placed.append(placed)
        return placed

    def add(self, chunk: Chunk) -> None:
        """Take a chunk that is to be placed."""
        self.waiting.append(chunk)

    def place(self) -> Iterator[tuple[Host, Chunk]]:
        """Yield each chunk that waits with its worker, as far as there is room; the caller notes it there."""
        for host in self.hosts.values():
            if host.suspect is not None and host.is_ready and not host.placed:
                yield host, host.suspect
        still: deque[Chunk] = deque()
        while self.waiting:
            chunk = self.waiting.popleft()
            chosen = self._reserve(chunk) if self.is_suspect(chunk) else self._least_loaded()
            if chosen is None:
                still.append(chunk)
            elif chosen.suspect is not chunk or not chosen.placed:
                yield chosen, chunk
        self.waiting = still

    def take_waiting(self) -> list[Chunk]:
        """Give up all chunks that no worker has."""
        reserved = [host for host in self.hosts.values() if host.suspect and not host.runs_suspect]
        taken = [*self.waiting, *(host.suspect for host in reserved if host.suspect)]
        self.waiting.clear()
        for host in reserved:
            host.suspect = None
        return taken

    def is_suspect(self, chunk: Chunk) -> bool:
        """Whether a worker died at one of its jobs."""
        return bool(self._deaths) and any(task.position in self._deaths for task in chunk.tasks)

    def note_death(self, placed: Placed) -> int | None:
        """Note that the worker of a chunk died.

        Returns
        -------
        int or None
            How often that happened to its only job while nothing else was there; None where the chunk has
            several, which are all suspects now.
        """
        for position in placed.positions:
            self._deaths[position] += not placed.is_shared
        return self._deaths[placed.positions[0]] if len(placed.positions) == 1 else None

    def may_retry(self, deaths: int) -> bool:
        """Whether a job that so many workers died at is tried again."""
        return deaths <= self._allowed

    def clear(self, positions: list[int]) -> None:
        """Forget what is known of jobs that ended."""
        if self._deaths:
            for position in positions:
                self._deaths.pop(position, None)

    def release(self, host: Host, placed: Placed) -> bool:
        """Note that a worker has a chunk no more; False where it had not."""
        if placed not in host.placed:
            return False
        host.placed.remove(placed)
        host.freed_at = time.monotonic()
        if host.suspect is placed.chunk:
            host.suspect = None
        return True

    def remove(self, name: str) -> Host:
        """Forget a worker that is gone; what was to run there alone waits for another one."""
        host = self.hosts.pop(name)
        self._unreserve(host)
        return host

    def set_threads(self, host: Host, threads: int) -> None:
        """Note how many jobs a worker takes at once; where it takes none, what waits there goes elsewhere."""
        if host.threads and not threads:
            self._unreserve(host)
            for placed in host.placed:
                placed.was_asked = False
        host.threads = threads

    def overdue(self, host: Host, patience: float) -> list[Placed]:
        """Return the chunks of a worker that take long, and of which that was not asked yet.

        Parameters
        ----------
        patience
            Seconds that a message may take.
        """
        now = time.monotonic()
        return [
            placed
            for placed in host.placed
            # What waited behind another chunk cannot have begun before that one ended.
            if now - max(placed.since, host.freed_at)
            > (placed.chunk.time_box or 0.0) + OVERDUE_SECONDS + patience
            and not placed.was_asked
        ]

    def _unreserve(self, host: Host) -> None:
        if host.suspect is not None and not host.runs_suspect:
            self.waiting.appendleft(host.suspect)
            host.suspect = None

    def _least_loaded(self) -> Host | None:
        free = (
            host
            for host in self.hosts.values()
            if host.is_ready and host.suspect is None and host.load < CHUNKS_PER_THREAD
        )
        return min(free, key=lambda host: host.load, default=None)

    def _reserve(self, chunk: Chunk) -> Host | None:
        """Keep a worker free for a suspect, at most every second one, so that the others go on."""
        ready = [host for host in self.hosts.values() if host.is_ready and host.threads]
        free = [host for host in ready if host.suspect is None]
        if len(ready) - len(free) >= max(1, len(ready) // 2):
            return None
        host = min(free, key=lambda host: host.load, default=None)
        if host is not None:
            host.suspect = chunk
        return host
