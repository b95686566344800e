"""How far jobs are, told as they say it but seldom: a message costs more than a tiny job."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable

__all__ = ["Teller"]

INTERVAL_SECONDS = 0.1


class Teller:
    """Sends what jobs say of their progress: at once, or else the last of each when 0.1 s have passed.

    What a job said before a long silence is so never lost, and what it said just before its end is never
    sent: its end says it all. Safe from any thread.

    Parameters
    ----------
    send
        Takes the position of a job and its fraction; None where nobody wants to know.
    interval
        The seconds between two messages; 0.1 by default.
    """

    def __init__(
        self, send: Callable[[int, float], object] | None, interval: float | None = None
    ) -> None:
        self._send: Callable[[int, float], object] = send or (lambda *_: None)
        self._interval = INTERVAL_SECONDS if interval is None else interval
        self._waiting: dict[int, float] = {}
        self._sent_at = -math.inf
        self._has_timer = False
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._is_open = send is not None

    def tell(self, position: int, fraction: float) -> None:
        """Send a fraction now, or soon."""
        if not self._is_open:
            return
        with self._lock:
            if not self._has_timer:
                now = time.monotonic()
                if now - self._sent_at >= self._interval:
                    self._sent_at = now
                    self._waiting.pop(position, None)
                    self._send(position, fraction)
                    return
                # Where no thread can be started, it waits for the next thing that is said.
                with contextlib.suppress(RuntimeError):
                    name = "foregsyte-progress"
                    threading.Thread(target=self._send_later, name=name, daemon=True).start()
                    self._has_timer = True
            self._waiting[position] = fraction

    def forget(self, position: int) -> None:
        """Send nothing more of a job, since it ended."""
        with self._lock:
            self._waiting.pop(position, None)

    def close(self) -> None:
        """Send nothing more."""
        self._is_open = False
        self._closed.set()

    def _send_later(self) -> None:
        """Send what waits after each interval, for as long as something does."""
        while not self._closed.wait(self._interval):
            with self._lock:
                if not self._waiting:
                    self._has_timer = False
                    return
                waiting, self._waiting = self._waiting, {}
                self._sent_at = time.monotonic()
                # With the lock, so that nothing of a job comes after its end.
                for position, fraction in waiting.items():
                    self._send(position, fraction)
