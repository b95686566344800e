"""The thread that a run works in: it alone claims and records, and puts everything back in order."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from foregsyte_kaggle import ledger
from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.outputs import remove_partial
from foregsyte_kaggle.surroundings import is_on_kaggle

if TYPE_CHECKING:
    from foregsyte_kaggle.executors import Engine
    from foregsyte_kaggle.loop import Loop
    from foregsyte_kaggle.runs import Run
    from foregsyte_kaggle.workspace import Workspace

__all__ = ["RunThread", "working_runs"]

#: Jupyter kills a kernel that takes more than 5 s to end.
EXIT_SECONDS = 4.0

#: In the order in which they began.
_working: dict[Run, None] = {}


def working_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that work in a workspace, the latest last."""
    return [run for run in list(_working) if run.workspace is workspace]


class RunThread(threading.Thread):
    """Carries a run to its end; whatever happens in it, the run is over then and knows its error."""

    def __init__(self, workspace: Workspace, run: Run, loop: Loop, engine: Engine) -> None:
        super().__init__(name="foregsyte-run", daemon=True)
        self._workspace = workspace
        self._run = run
        self._loop = loop
        self._engine = engine
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin; from now on the run is one of those that work in this process."""
        self._workspace.enter(self._run.run_id)
        _working[self._run] = None
        try:
            super().start()
        except BaseException:
            self._leave()
            raise

    def run(self) -> None:
        """Run the loop, then close the engine, record what still came, and end the run."""
        run, database = self._run, self._workspace.database
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
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits for the run
            self._error = error
        try:
            # Where all that was begun has ended, its workers end by themselves.
            self._try(lambda: self._engine.close(kill=ended_by not in {"finished", "limit"}))
            self._try(self._loop.drain)
            ended_by = "error" if self._error or self._loop.failure else ended_by
            self._try(lambda: self._end(ended_by))
        finally:
            self._leave()
            run.end(ended_by, self._error or self._loop.failure)

    def _end(self, ended_by: str) -> None:
        run, database = self._run, self._workspace.database
        run.returned = ledger.end_run(database, run.run_id, ended_by, run.completed, run.failed)
        run.left = self._loop.left()
        run.holds_suspects_back = self._loop.holds_suspects_back
        if self._workspace.live_runs == {run.run_id}:
            remove_partial(self._workspace.outputs)
        if is_on_kaggle():
            # Kaggle may kill the kernel after the last cell, and somebody copy the file without its log.
            with contextlib.suppress(LedgerError):
                database.checkpoint_if_there_is_room()

    def _leave(self) -> None:
        self._workspace.leave(self._run.run_id)
        _working.pop(self._run, None)

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits for the run
            self._error = self._error or error


@atexit.register
def _stop_all() -> None:
    """Stop what still works when the process ends, so that it is recorded and no job is left running."""
    working, until = list(_working), time.monotonic() + EXIT_SECONDS
    for run in working:
        run.ask_to_stop()
    for run in working:
        run.wait_quietly(max(0.0, until - time.monotonic()))
    for run in working:
        if not run.is_running:
            run.wait_for_telling()
