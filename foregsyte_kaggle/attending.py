"""A run in a thread of its own, while the calling thread waits, draws the bar and takes the Stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from foregsyte_kaggle import ledger
from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.executors import InlineEngine
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.progress import ProgressBar

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
    thread = _RunThread(workspace, run, loop, engine)
    bar = ProgressBar(run.total, run.pipeline_id or "all pipelines", shown=progress)
    begun = time.monotonic()
    broken: BaseException | None = None
    with _Stop(loop.stop) as stop:
        thread.start()
        # Asked again, it waits again: the end of a run takes seconds and must not be cut short.
        while not thread.done.is_set():
            try:
                _wait(thread.done, run, loop, engine, bar, stop)
            except KeyboardInterrupt:
                stop.came = True
                loop.stop()
            except BaseException as error:  # noqa: BLE001 - raised when the run is over
                broken = error
                loop.stop()
        thread.join()
    run.seconds = time.monotonic() - begun
    bar.show(run.completed + run.failed, run.failed, run.total)
    bar.close()
    for line in run.summary():
        say(line)
    if thread.error is not None:
        raise thread.error
    if broken is not None:
        raise broken
    if stop.came:
        raise KeyboardInterrupt
    if loop.first_error is not None:
        failed = loop.first_error
        raise RunError(
            f"job {failed.job_id} of {failed.pipeline_id} failed: {failed.outcome.error_type}: "
            f"{failed.outcome.error_message}\n{failed.outcome.traceback or ''}"
        )


def _wait(
    done: threading.Event, run: Run, loop: Loop, engine: Engine, bar: ProgressBar, stop: _Stop
) -> None:
    while not done.is_set():
        if isinstance(engine, InlineEngine) and not loop.is_stopping:
            with stop.raising():
                engine.work(0.05)
        else:
            done.wait(0.1)
        bar.show(
            run.completed + run.failed + sum(list(loop.fractions.values())), run.failed, run.total
        )


class _RunThread(threading.Thread):
    """The thread that claims and records; whatever happens in it, it ends with ``done``."""

    def __init__(self, workspace: Workspace, run: Run, loop: Loop, engine: Engine) -> None:
        super().__init__(name="foregsyte-run", daemon=True)
        self._workspace = workspace
        self._run = run
        self._loop = loop
        self._engine = engine
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        """Run the loop, and put everything back in order."""
        run, database = self._run, self._workspace.database
        self._workspace.live_runs.add(run.run_id)
        ended_by = "error"
        try:
            ledger.begin_run(
                database,
                run.run_id,
                run.pipeline_id,
                self._engine.name,
                self._engine.workers,
                alive=self._workspace.live_runs,
            )
            ended_by = self._loop.run()
        except BaseException as error:  # noqa: BLE001 - raised by the calling thread
            self.error = error
        try:
            is_over = ended_by in {"stopped", "error"}
            self._try(lambda: self._engine.close(kill=is_over))
            self._try(self._loop.drain)
            run.ended_by = "error" if self.error is not None else ended_by
            self._try(self._end)
        finally:
            self._workspace.live_runs.discard(run.run_id)
            self.done.set()

    def _end(self) -> None:
        run = self._run
        run.returned = ledger.end_run(
            self._workspace.database,
            run.run_id,
            run.ended_by or "error",
            run.completed,
            run.failed,
        )

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised by the calling thread
            self.error = self.error or error


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
