"""A run in the background: beside the cells of the notebook, and stopped when its process ends."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from foregsyte_kaggle.notices import say
from foregsyte_kaggle.progress import ProgressBar
from foregsyte_kaggle.run_thread import RunThread
from foregsyte_kaggle.surroundings import is_interactive
from foregsyte_kaggle.worker import describe

if TYPE_CHECKING:
    from foregsyte_kaggle.executors import Engine
    from foregsyte_kaggle.loop import Loop
    from foregsyte_kaggle.runs import Run
    from foregsyte_kaggle.widgets import RunPanel
    from foregsyte_kaggle.workspace import Workspace

__all__ = ["send_off"]


def send_off(workspace: Workspace, run: Run, loop: Loop, engine: Engine, *, progress: bool) -> None:
    """Start a run and return; a panel or a bar shows it, and a thread says how it ended, an error too."""
    try:
        panel = _show_panel(workspace, run) if progress else None
        bar = ProgressBar(run, shown=progress and panel is None)
        arguments = (run, bar, panel)
        watcher = threading.Thread(
            target=_watch, args=arguments, name="foregsyte-watch", daemon=True
        )
        run.be_watched(watcher)
        RunThread(workspace, run, loop, engine).start()
    except BaseException as error:
        run.end("error", error)  # so that what shows it ends too
        raise
    watcher.start()


def _show_panel(workspace: Workspace, run: Run) -> RunPanel | None:
    """Show the live panel; None where none can live, or anything is wrong with it."""
    if not is_interactive():
        return None
    panel = None
    try:
        from foregsyte_kaggle.widgets import RunPanel

        panel = RunPanel(run, workspace)
        if panel.show_live():
            return panel
    except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
        say(f"the run panel cannot be shown: {type(error).__name__}: {describe(error)}")
        with contextlib.suppress(Exception):
            if panel is not None:
                panel.close()
    return None


def _watch(run: Run, bar: ProgressBar, panel: RunPanel | None) -> None:
    while run.is_running:
        run.wait_quietly(0.25)
        bar.show()
    bar.close()
    if panel is not None:
        panel.settle()
    for line in run.summary():
        say(line)
    if run.error is not None:
        say(
            f"the background run of {run.label} ended with {type(run.error).__name__}: "
            f"{describe(run.error)}"
        )
