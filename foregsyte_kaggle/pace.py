"""How fast a run is just now, told from a few marks that it sets as it goes."""

from __future__ import annotations

import time

__all__ = ["Pace"]

WINDOW_SECONDS = 10.0
STEP_SECONDS = 0.25


class Pace:
    """Jobs a second over the last ten seconds.

    One thread notes, any may ask: the marks are never changed, but replaced.
    """

    def __init__(self) -> None:
        self._marks: tuple[tuple[float, int], ...] = ((time.monotonic(), 0),)

    def note(self, ended: int) -> None:
        """Note how many jobs have ended so far; often enough is whenever some were recorded."""
        now, marks = time.monotonic(), self._marks
        if now - marks[-1][0] >= STEP_SECONDS:
            # Of those older than the window the newest stays: the window begins there.
            kept = marks[max(0, _begin(marks, now)) :]
            self._marks = (*kept, (now, ended))

    def per_second(self, ended: int) -> float:
        """Return the jobs a second, now that so many have ended."""
        now, marks = time.monotonic(), self._marks
        at, before = marks[max(0, _begin(marks, now))]
        return max(0, ended - before) / max(now - at, STEP_SECONDS)


def _begin(marks: tuple[tuple[float, int], ...], now: float) -> int:
    """Return the index of the newest mark that is older than the window; -1 where none is."""
    return sum(at <= now - WINDOW_SECONDS for at, _ in marks) - 1
