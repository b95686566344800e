"""A thread that does something again and again while there is a reason to, as the table's refresh during a run."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Ticker"]

JOIN_SECONDS = 5.0


class Ticker:
    """Calls ``tick`` every few seconds, in a thread of its own that is there only while it is needed.

    Parameters
    ----------
    tick
        What to do; deals with its own errors.
    needed
        Whether to go on. After it says no, ``tick`` is called a last time and the thread ends.
    seconds
        From the end of one call to the next.
    """

    def __init__(
        self, tick: Callable[[], None], needed: Callable[[], bool], seconds: float
    ) -> None:
        self._tick = tick
        self._needed = needed
        self._seconds = seconds
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it ticks already or is not needed."""
        with self._lock:
            if self._thread is None and self._needed():
                self._thread = threading.Thread(
                    target=self._run, args=(self._closed,), name="foregsyte-tick", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End it, and wait for that unless the tick itself asks; ``start`` begins anew."""
        with self._lock:
            closed, self._closed = self._closed, threading.Event()
            thread, self._thread = self._thread, None
        closed.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    def _run(self, closed: threading.Event) -> None:
        while not closed.wait(self._seconds):
            with self._lock:
                needed = self._needed()
                if not needed and closed is self._closed:
                    self._thread = None
            self._tick()
            if not needed:
                return
