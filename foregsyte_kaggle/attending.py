"""A run in the foreground: the calling thread waits for it, draws the bar and takes the Stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from foregsyte_kaggle.executors import InlineEngine
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.progress import ProgressBar
from foregsyte_kaggle.run_thread import RunThread

if TYPE_CHECKING:
    from foregsyte_kaggle.executors import Engine
    from foregsyte_kaggle.loop import Loop
    from foregsyte_kaggle.runs import Run
    from foregsyte_kaggle.workspace import Workspace

__all__ = ["attend"]

#: Between two interrupts of an inline job, so that the first can be cleaned up after.
INTERRUPT_SECONDS = 0.5


def attend(workspace: Workspace, run: Run, loop: Loop, engine: Engine, *, progress: bool) -> None:
    """Carry a run to its end; a Stop ends it within seconds.

    Raises
    ------
    KeyboardInterrupt
        If it was stopped, after what finished is recorded and the rest is pending again.
    RunError
        If it cannot go on, or with ``on_error="raise"`` a job failed.
    LedgerError
        If the ledger cannot be written.
    """
    thread = RunThread(workspace, run, loop, engine)
    bar = ProgressBar(run, shown=progress)
    broken: BaseException | None = None
    with _Stop(run.ask_to_stop) as stop:
        thread.start()
        # Asked again, it waits again: the end of a run takes seconds and must not be cut short.
        while run.is_running:
            try:
                _wait(run, loop, engine, bar, stop)
            except KeyboardInterrupt:
                stop.came = True
                run.ask_to_stop()
            except BaseException as error:  # noqa: BLE001 - raised when the run is over
                broken = error
                run.ask_to_stop()
        thread.join()
    bar.close()
    for line in run.summary():
        say(line)
    if run.error is not None:
        raise run.error
    if broken is not None:
        raise broken
    if stop.came:
        raise KeyboardInterrupt


def _wait(run: Run, loop: Loop, engine: Engine, bar: ProgressBar, stop: _Stop) -> None:
    while run.is_running:
        if isinstance(engine, InlineEngine) and not loop.is_stopping:
            with stop.raising():
                engine.work(0.05)
        else:
            run.wait_quietly(0.1)
        bar.show()


class _Stop:
    """Takes the notebook's Stop, SIGINT, for the time of a run.

    Python would raise KeyboardInterrupt at whatever line the main thread is, also between starting the
    run and waiting for it; so nothing is raised until the run ended, but in an inline job.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._before: Callable[[int, FrameType | None], object] | None = None
        self._may_raise = False
        self._raised_at = 0.0
        self.came = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):  # neither ignored nor the system's own
                self._before = before
                signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise a Stop too, so that it ends a job of the user's."""
        try:
            self._may_raise = True
            yield
        finally:
            self._may_raise = False

    def _take(self, _signal: int, _frame: FrameType | None) -> None:
        self.came = True
        self._ask()
        now = time.monotonic()
        if self._may_raise and now - self._raised_at > INTERRUPT_SECONDS:
            self._raised_at = now
            raise KeyboardInterrupt
