"""``run_panel``: a run to look at while it works, live in a notebook that somebody sits at."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from foregsyte_kaggle.errors import ForegsyteError, InvalidArgumentError, RunError
from foregsyte_kaggle.ledger import retry_jobs
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.run_thread import working_runs
from foregsyte_kaggle.runs import Run
from foregsyte_kaggle.surroundings import is_interactive
from foregsyte_kaggle.widgets.cell_watch import CellWatch
from foregsyte_kaggle.widgets.panel_html import run_to_html
from foregsyte_kaggle.widgets.run_state import RunState, state_to_text, take_state
from foregsyte_kaggle.widgets.showing import Displays, forget_live, keep_live, publish
from foregsyte_kaggle.widgets.ticking import Ticker
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    from foregsyte_kaggle.widgets.panel_controls import PanelControls

__all__ = ["RunPanel", "run_panel"]

TICK_SECONDS = 0.5
NOTES = {
    True: "A cell computes: the buttons act when it ends.",
    None: "A cell computes: the buttons may act only when it ends.",
    False: "",
}

_panels: WeakValueDictionary[uuid.UUID, RunPanel] = WeakValueDictionary()


def run_panel(run: Run | None = None, *, workspace: Workspace | None = None) -> RunPanel:
    """Show a run: its jobs by status, its speed, the time left, its last failures, Stop and Retry.

    In a notebook it is live, also while a cell computes, and a plain HTML view is kept beside it, which shows how
    the run ended to whoever reads the saved notebook. In a batch session, a script, or where no widget can live,
    there is only the plain view. ``run_jobs(background=True)`` shows it by itself.

    Parameters
    ----------
    run
        What ``run_jobs`` returned; by default the run of the workspace that works, the latest of several.
    workspace
        The active one by default.

    Returns
    -------
    RunPanel
        Shows itself at the end of a cell; the same one for the same run, until it is closed.

    Raises
    ------
    InvalidArgumentError
        If ``run`` is not a ``Run``.
    RunError
        If no run is given and none works.
    WorkspaceError
        If no workspace is open.

    Examples
    --------
    >>> run = run_jobs("video_info", background=True, progress=False)
    >>> run_panel(run)
    """
    if run is not None and not isinstance(run, Run):
        raise InvalidArgumentError(
            f"run={run!r:.80}; expected what run_jobs() returned, or None for the run that works now"
        )
    chosen = run.workspace if run is not None and run.workspace else active_workspace(workspace)
    if run is None:
        working = working_runs(chosen)
        if not working:
            raise RunError(
                "no run works now: run_jobs(..., background=True) starts one and shows its panel, and "
                "run_panel(run) shows one that is over"
            )
        run = working[-1]
    return _panels.get(run.run_id) or RunPanel(run, chosen)


class RunPanel:
    """A run, its numbers and its buttons; made by ``run_panel``."""

    def __init__(self, run: Run, workspace: Workspace) -> None:
        self._run = run
        self._workspace = workspace
        self._controls: PanelControls | None = None
        self._displays = Displays()
        self._saw_end = False
        self._paths: dict[str, str] = {}
        self._lock = threading.RLock()
        self._cells = CellWatch()
        self._ticker = Ticker(self.settle, self._must_tick, TICK_SECONDS)
        self._is_broken = False
        _panels[run.run_id] = self

    def refresh(self) -> None:
        """Update what is shown; while the run works, that happens by itself twice a second."""
        with self._lock:
            state = take_state(self._run)
            paths = self._find_paths(state)
            if self._controls is not None:
                waits = (
                    self._cells.clicks_wait(self._controls.comm) if not state.has_ended else False
                )
                self._controls.show(state, paths, NOTES[waits])
            if state.has_ended and not self._saw_end:
                self._saw_end = True
                self._cells.stop()
                self._update_saved(state)
                if self._controls is not None:  # what a retry would lead to is seen now
                    self._controls.forget()

    def settle(self) -> None:
        """Do the same and never fail: what goes wrong with it ends the panel's updates, and not the run."""
        try:
            self.refresh()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            self._is_broken = True
            self._cells.stop()
            self._alert("The panel is not updated any more", error)

    def show_live(self) -> bool:
        """Display it as widgets that update themselves; False, with nothing shown, where they could not live."""
        controls = self._live_controls()
        if controls is None:
            return False
        self.refresh()
        self._displays.show(controls.root.model_id, self._bundle())
        keep_live(self)
        if self._run.is_running:
            self._cells.start()
            self._ticker.start()
        return True

    def to_text(self) -> str:
        """Return the run as text: its jobs by status, failures by kind, and how it ended."""
        return state_to_text(take_state(self._run))

    def close(self) -> None:
        """Take the live view away, with its thread and every channel to the front end; the run goes on."""
        forget_live(self)
        self._ticker.close()
        self._cells.stop()
        with self._lock:
            controls, self._controls = self._controls, None
            self._displays.forget()
        if _panels.get(self._run.run_id) is self:
            del _panels[self._run.run_id]
        if controls is not None:
            controls.close()

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"<RunPanel of {self._run!r}>"

    def _repr_mimebundle_(self, **_kwargs: object) -> dict[str, str]:
        return self._bundle()

    def _ipython_display_(self) -> None:
        if not self.show_live():
            publish(self._bundle())

    def _bundle(self, state: RunState | None = None) -> dict[str, str]:
        state = state or take_state(self._run)
        html = run_to_html(state, self._find_paths(state))
        return {"text/plain": state_to_text(state), "text/html": html}

    def _must_tick(self) -> bool:
        return self._run.is_running and not self._is_broken

    def _live_controls(self) -> PanelControls | None:
        if self._controls is None and is_interactive():
            try:
                from foregsyte_kaggle.widgets.panel_controls import PanelControls
            except ImportError as error:
                say(f"the run panel is not live: {error}")
                return None
            controls = PanelControls(self._stop, self._retry)
            if not controls.has_comm:
                controls.close()
                return None
            self._controls = controls
        return self._controls

    def _update_saved(self, state: RunState) -> None:
        self._displays.update(self._bundle(state))

    def _find_paths(self, state: RunState) -> dict[str, str]:
        """Return the inputs of the jobs that failed last; looked up only when others did."""
        wanted = [job_id for job_id, _, _ in state.recent]
        if not self._paths.keys() >= set(wanted):
            try:
                with self._workspace.database.reading() as cursor:
                    rows = cursor.execute(
                        "SELECT job_id::VARCHAR, input_path FROM jobs"
                        " WHERE job_id IN (SELECT unnest($wanted)::UUID)",
                        {"wanted": wanted},
                    ).fetchall()
            except ForegsyteError:  # as when the workspace is closed; the ids are shown then
                rows = []
            self._paths = dict(rows)
        return self._paths

    # Clicks

    def _stop(self) -> None:
        self._cells.note_click()
        self._act("The run was not asked to stop", self._run.ask_to_stop)

    def _retry(self) -> None:
        self._cells.note_click()
        self._act("Nothing was retried", self._retry_failed)

    def _act(self, failure: str, action: Callable[[], object]) -> None:
        """Do what a button is for; a front end drops what a callback raises, so that is shown here."""
        try:
            action()
            self.refresh()
        except Exception as error:  # noqa: BLE001
            self._alert(failure, error)

    def _retry_failed(self) -> None:
        run = self._run
        failed = run.failed
        database = active_workspace(self._workspace).database
        with database.reading() as cursor:
            rows = cursor.execute(
                "SELECT job_id::VARCHAR FROM jobs WHERE run_id = $run_id AND status = 'failed'",
                {"run_id": run.run_id},
            ).fetchall()
        retried = retry_jobs(job_ids=[one for (one,) in rows], workspace=self._workspace)
        run.retried = failed
        if self._controls is not None:
            self._controls.tell(_what_is_retried(run, retried))
        if self._saw_end:
            self._update_saved(take_state(run))

    def _alert(self, message: str, error: Exception) -> None:
        controls = self._controls
        if controls is not None:
            try:
                controls.alert(message, error)
            except Exception:  # noqa: BLE001 - the front end is gone
                return


def _what_is_retried(run: Run, jobs: int) -> str:
    if not jobs:
        return "No job of this run is failed now."
    pipeline = "" if run.pipeline_id is None else repr(run.pipeline_id)
    again = f"{counted(jobs, 'job is', 'jobs are')} pending again"
    them = "it" if jobs == 1 else "them"
    if run.is_running and not run.is_stopping:
        return f"{again}: this run takes {them} up, or run_jobs({pipeline}) where it ends before."
    return f"{again}: run_jobs({pipeline}) runs {them}."
