"""Python's garbage collector during a run of tiny jobs."""

from __future__ import annotations

import gc
from typing import Self

__all__ = ["QuietCollector"]


class QuietCollector:
    """Keeps the collector from looking through the whole notebook while a run makes many objects.

    Thousands of jobs a second make so many that Python would go through every object of pandas and of
    the user, a dozen times for 100,000 jobs, which took as long as all of the run's own work. From
    ``begin`` on, what existed before is left out; what comes later is looked through as ever.
    """

    def __init__(self) -> None:
        self._is_ours = False

    def begin(self) -> None:
        """Leave out what exists now; the second call does nothing."""
        if not self._is_ours and not gc.get_freeze_count():
            gc.freeze()
            self._is_ours = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            gc.unfreeze()
            self._is_ours = False
