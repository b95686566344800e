"""The jobs of a chunk on their way through one thread, and the way back for those that have not begun."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foregsyte_kaggle.worker.calling import Outcome, Task

__all__ = ["Work"]


class Work:
    """The jobs of a chunk: one thread runs them, and another may take back what has not begun.

    So a job that takes long holds up neither those behind it nor the outcomes of those before it.

    Attributes
    ----------
    outcomes : list of Outcome
        How the jobs ended that did, in order.
    is_batch : bool
        Whether the pipeline gets all of them in one call; then they are taken, or given back, together.
    """

    def __init__(self, tasks: Iterable[Task], *, is_batch: bool = False) -> None:
        self.is_batch = is_batch
        self.outcomes: list[Outcome] = []
        self._left = deque(tasks)
        self._told = 0
        self._was_asked = False
        self._is_over = False
        self._lock = threading.Lock()

    def take(self) -> Task | None:
        """Return the next job to begin; None where none is left."""
        try:
            return self._left.popleft()
        except IndexError:
            return None

    def take_all(self) -> list[Task]:
        """Return all jobs that are left, to begin them together."""
        with self._lock:
            tasks = list(self._left)
            self._left.clear()
        return tasks

    def give_back(self, report: Callable[[list[Outcome], int], None]) -> None:
        """Report what ended, and how many of the last jobs have not begun and will not.

        The first time in any case, then where there is something to report; never after ``finish``.
        """
        with self._lock:
            if self._is_over:
                return
            returned = 0
            while self._left:
                try:
                    self._left.pop()
                except IndexError:  # its thread took the last one
                    break
                returned += 1
            ended = self.outcomes[self._told :]
            if ended or returned or not self._was_asked:
                self._was_asked = True
                report(ended, returned)
                self._told += len(ended)

    def finish(self) -> list[Outcome]:
        """Return what ended and was not reported."""
        with self._lock:
            self._is_over = True
            return self.outcomes[self._told :]
