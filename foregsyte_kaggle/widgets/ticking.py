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
        """Begin, unless it ticks already, is not needed, or was closed."""
        with self._lock:
            if self._thread is None and not self._closed.is_set() and self._needed():
                self._thread = threading.Thread(
                    target=self._run, name="foregsyte-tick", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End it for good, and wait for that unless the tick itself asks."""
        self._closed.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._closed.wait(self._seconds):
            with self._lock:
                needed = self._needed()
                if not needed:
                    self._thread = None
            self._tick()
            if not needed:
                return
