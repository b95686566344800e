"""A run in the background: beside the cells of the notebook, and stopped when its process ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from foregsyte_kaggle.notices import say
from foregsyte_kaggle.progress import ProgressBar
from foregsyte_kaggle.run_thread import RunThread
from foregsyte_kaggle.worker import describe

if TYPE_CHECKING:
    from foregsyte_kaggle.executors import Engine
    from foregsyte_kaggle.loop import Loop
    from foregsyte_kaggle.runs import Run
    from foregsyte_kaggle.workspace import Workspace

__all__ = ["send_off"]


def send_off(workspace: Workspace, run: Run, loop: Loop, engine: Engine, *, progress: bool) -> None:
    """Start a run and return; a thread draws its bar and says how it ended, an error too."""
    bar = ProgressBar(run, shown=progress)
    watcher = threading.Thread(target=_watch, args=(run, bar), name="foregsyte-watch", daemon=True)
    run.be_watched(watcher)
    RunThread(workspace, run, loop, engine).start()
    watcher.start()


def _watch(run: Run, bar: ProgressBar) -> None:
    while run.is_running:
        run.wait_quietly(0.25)
        bar.show()
    bar.close()
    for line in run.summary():
        say(line)
    if run.error is not None:
        say(
            f"the background run of {run.label} ended with {type(run.error).__name__}: "
            f"{describe(run.error)}"
        )
