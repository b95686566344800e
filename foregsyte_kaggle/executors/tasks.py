"""Tasks of an event loop that nobody awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from foregsyte_kaggle.worker import describe

__all__ = ["Tasks"]


class Tasks:
    """Keeps tasks until they end, since a loop alone may let them be collected.

    Parameters
    ----------
    on_failure
        Told why, when one failed or was cancelled by somebody else.
    """

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have the running loop do something."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def cancel(self, *, but: set[asyncio.Task[None]]) -> None:
        """Cancel those that still run."""
        for task in self._tasks - but:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._on_failure("was cancelled")
        elif (error := task.exception()) is not None:
            self._on_failure(f"{type(error).__name__}: {describe(error)}")
