"""The run panel without a browser: what it shows of a run, its two buttons, and what it leaves behind."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foregsyte_kaggle import jobs_frame, pipeline, register_jobs, retry_jobs, run_jobs, run_panel
from foregsyte_kaggle import pace as paces
from foregsyte_kaggle.deadlines import Deadline
from foregsyte_kaggle.disk import DiskWatch
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, RunError, WorkspaceError
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.pace import Pace
from foregsyte_kaggle.runs import Load, Run
from foregsyte_kaggle.tries import Ended
from foregsyte_kaggle.widgets import cell_watch, panel, run_state
from foregsyte_kaggle.widgets.cell_watch import CellWatch
from foregsyte_kaggle.widgets.panel_controls import PanelControls
from foregsyte_kaggle.widgets.panel_html import run_to_html, state_to_html
from foregsyte_kaggle.widgets.run_state import roughly, state_to_text, take_state
from foregsyte_kaggle.widgets.showing import WIDGET_VIEW
from foregsyte_kaggle.worker import Outcome
from foregsyte_kaggle.workspace import Workspace
from tests.job_tables import Published, widgets_alive

pytestmark = pytest.mark.unit

EVIL = "<img src=x onerror=alert(1)>"


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.01)


def ended(position: int, error: str | None = None, kind: str = "ValueError") -> Ended:
    outcome = Outcome(position, "failed" if error else "completed", 0.0, 0.1, None)
    if error:
        outcome = outcome._replace(error_type=kind, error_message=error)
    return Ended("p", str(uuid.UUID(int=position)), 1, True, outcome)


def working_run(workspace: Workspace | None = None, total: int = 10, **load: int) -> Run:
    run = Run("p", total, workspace)
    run.begin(lambda: None, {}, lambda: Load(**load))
    return run


def counts(run: Run) -> list[int]:
    """Return completed, failed, running and pending."""
    return list(take_state(run).counts.values())


# --- the state of a run ------------------------------------------------------------------------------


def test_jobs_are_counted_by_status_and_add_up() -> None:
    run = working_run(workers=4, busy=3, jobs=3)
    assert counts(run) == [0, 0, 3, 7]
    run.note([ended(1), ended(2), ended(3, "no")])
    assert counts(run) == [2, 1, 3, 4]
    state = take_state(run)
    assert (state.total, state.failed, state.workers, state.busy) == (10, 1, 4, 3)
    assert not state.has_ended


def test_jobs_that_came_after_its_begin_make_the_total_larger() -> None:
    run = working_run(total=1, workers=1, busy=1, jobs=2)
    run.note([ended(1)])
    assert counts(run) == [1, 0, 2, 0]


def test_retried_jobs_are_pending_again_and_then_end_a_second_time() -> None:
    run = working_run(total=3)
    run.note([ended(1), ended(2, "no"), ended(3, "no")])
    run.retried = 2
    assert counts(run) == [1, 0, 0, 2]
    run.note([ended(2), ended(3, "no")])
    assert counts(run) == [2, 1, 0, 0]
    assert (run.completed, run.failed) == (2, 3), "each end is in the ledger"


@pytest.mark.parametrize(
    ("ended_by", "left", "pending"),
    [
        ("finished", 0, 0),
        ("limit", 50, 9),
        ("stopped", 9, 9),
        ("time_limit", 4, 4),
        ("error", 0, 9),
    ],
)
def test_when_it_is_over_only_what_was_left_is_pending(
    ended_by: str, left: int, pending: int
) -> None:
    run = working_run(workers=2, busy=2, jobs=2)
    run.note([ended(1)])
    run.left = left
    run.end(ended_by)
    assert counts(run) == [1, 0, 0, pending]
    assert take_state(run).busy == 0


def test_retry_after_the_end_makes_jobs_pending() -> None:
    run = working_run(total=2)
    run.note([ended(1), ended(2, "no")])
    run.end("finished")
    run.retried = 1
    assert counts(run) == [1, 0, 0, 1]


def test_last_failures_are_the_newest_first_and_few() -> None:
    run = working_run()
    run.note([ended(n, f"bad {n}\nmore") for n in range(3)])
    run.note([ended(n, f"bad {n}", "OSError") for n in range(3, 9)])
    state = take_state(run)
    assert [message for _, _, message in state.recent] == [
        "bad 8",
        "bad 7",
        "bad 6",
        "bad 5",
        "bad 4",
    ]
    assert state.recent[0][:2] == (str(uuid.UUID(int=8)), "OSError")
    assert state.kinds == (("OSError", 6, "bad 3"), ("ValueError", 3, "bad 0"))


def test_first_try_of_several_is_no_failure_yet() -> None:
    run = working_run()
    run.note([ended(1, "no")._replace(final=False)])
    assert take_state(run).recent == ()
    assert counts(run) == [0, 0, 0, 10]


class Clock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(paces, "time", made)
    return made


def test_pace_is_that_of_the_last_ten_seconds(clock: Clock) -> None:
    made = Pace()
    for second in range(1, 21):
        clock.now += 1
        made.note(second * 100)
    assert made.per_second(2_000) == pytest.approx(100)
    for second in range(1, 11):
        clock.now += 1
        made.note(2_000 + second)
    assert made.per_second(2_010) == pytest.approx(1)
    clock.now += 10
    assert made.per_second(2_010) == 0


def test_pace_of_a_run_that_just_began_counts_from_its_begin(clock: Clock) -> None:
    made = Pace()
    assert made.per_second(0) == 0
    clock.now += 2
    assert made.per_second(10) == pytest.approx(5)


def test_pace_keeps_few_marks_however_often_it_is_told(clock: Clock) -> None:
    made = Pace()
    for ended_jobs in range(10_000):
        clock.now += 0.01
        made.note(ended_jobs)
    assert len(made._marks) < 50


def test_time_left_follows_from_the_recent_pace_and_else_from_the_mean(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foregsyte_kaggle.runs.time", clock)
    run = working_run(total=1_000)
    assert take_state(run).seconds_left is None
    clock.now += 10
    run.note([ended(n) for n in range(100)])
    assert take_state(run).seconds_left == pytest.approx(90)
    clock.now += 990
    run.note([ended(n) for n in range(5)])
    assert run.recent_jobs_per_second < 1
    assert take_state(run).seconds_left == pytest.approx(895 / (105 / 1_000))


def test_limits_of_time_are_told_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    run = working_run()
    assert (take_state(run).limit_left, take_state(run).session_left) == (None, None)
    run.deadline = Deadline(time.monotonic() + 3_600, "the time limit of 1 h")
    monkeypatch.setattr(run_state, "session_limit_seconds", lambda: 43_200.0)
    monkeypatch.setattr(run_state, "session_age_seconds", lambda: 3_600.0)
    state = take_state(run)
    assert state.session_left == 39_600
    html = state_to_html(state)
    assert "<dt>Time limit</dt><dd>in 60 min</dd>" in html
    assert "<dt>Session ends</dt><dd>in 11 h</dd>" in html
    run.end("finished")
    state = take_state(run)
    assert (state.limit_left, state.session_left, state.seconds_left) == (None, None, None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "a few seconds"),
        (7, "a few seconds"),
        (12, "about 10 s"),
        (57, "about 55 s"),
        (58, "about 1 min"),
        (130, "about 2 min"),
        (5_940, "about 99 min"),
        (6_000, "about 1 h 40 min"),
        (7_170, "about 2 h"),
        (39_000, "about 11 h"),
        (4_000_000, "about 1,111 h"),
    ],
)
def test_estimates_are_told_roughly(seconds: float, said: str) -> None:
    assert roughly(seconds) == said


@pytest.mark.parametrize(
    ("ended_by", "said"),
    [
        ("finished", "finished"),
        ("limit", "finished: its limit of 10 jobs is reached"),
        ("stopped", "stopped, 3 jobs left pending"),
        (
            "time_limit",
            "time is up (it is late): 3 jobs left pending, run_jobs() goes on with them",
        ),
        ("disk", "the disk is nearly full (1 MB free): 3 jobs left pending"),
        ("error", "ended with LedgerError: the disk is full"),
    ],
)
def test_how_it_ended_is_told(ended_by: str, said: str) -> None:
    run = working_run()
    run.left, run.time_limit = 3, "it is late"
    run.disk = DiskWatch(Path(), 0, None, print)
    run.disk.reason = "1 MB free"
    run.end(ended_by, LedgerError("the disk is full\nby far") if ended_by == "error" else None)
    assert take_state(run).ended == said
    assert said in run_to_html(take_state(run), {})


# --- text and HTML -----------------------------------------------------------------------------------


def test_text_tells_counts_failures_and_the_end_and_no_times() -> None:
    run = working_run(total=3)
    assert state_to_text(take_state(run)) == "run of p: 3 pending"
    run.note([ended(1), ended(2, "bad\nmore"), ended(3, "bad")])
    run.end("finished")
    expected = "run of p: 1 completed, 2 failed\n  2 x ValueError: bad\n  finished"
    assert state_to_text(take_state(run)) == expected


def test_bar_is_as_long_as_its_jobs_and_says_so_to_those_who_hear_it() -> None:
    run = working_run(workers=4, busy=3, jobs=3)
    run.note([ended(1), ended(2), ended(3, "no")])
    html = state_to_html(take_state(run))
    assert 'role="img" aria-label="2 completed, 1 failed, 3 running, 4 pending"' in html
    widths = re.findall(r'<span class="fk-(\w+)" style="width: ([\d.]+)%"', html)
    assert widths == [
        ("completed", "20.000"),
        ("failed", "10.000"),
        ("running", "30.000"),
        ("pending", "40.000"),
    ]
    assert "3 of 4 busy" in html
    assert "of 10 jobs" in html


def test_run_without_jobs_has_an_empty_bar() -> None:
    run = Run(None, 0)
    run.end("finished")
    html = run_to_html(take_state(run), {})
    assert 'aria-label="no jobs"' in html
    assert "all pipelines" in html


def test_whatever_is_in_a_name_or_message_is_text() -> None:
    run = Run(EVIL, 5)
    run.note([ended(1, f"{EVIL}\u202e\x1b", EVIL)])
    run.end("error", RunError(EVIL))
    html = run_to_html(take_state(run), {str(uuid.UUID(int=1)): EVIL})
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") == 6
    assert "\u202e" not in html
    assert "\\u202e\\x1b" in html
    assert "\u202e" not in state_to_text(take_state(run))


def test_message_of_five_megabytes_is_cut() -> None:
    run = working_run()
    run.note([ended(1, "e" * 5_000_000)])
    assert len(run_to_html(take_state(run), {})) < 20_000


def test_many_kinds_of_failures_are_shown_in_part() -> None:
    run = working_run(total=20)
    run.note([ended(n, "no", f"Error{n:02}") for n in range(12)])
    html = state_to_html(take_state(run)) + run_to_html(take_state(run), {})
    assert "1 x Error04" in html
    assert "1 x Error05" not in html
    assert "and 7 other kinds" in html


# --- run_panel ---------------------------------------------------------------------------------------


def test_what_is_no_run_is_refused(memory_workspace: Workspace) -> None:
    with pytest.raises(InvalidArgumentError, match="run=5; expected what run_jobs"):
        run_panel(5, workspace=memory_workspace)  # type: ignore[arg-type]


def test_panel_without_a_workspace_says_bootstrap() -> None:
    with pytest.raises(WorkspaceError, match="bootstrap"):
        run_panel()


@pytest.mark.usefixtures("memory_workspace")
def test_no_run_that_works_says_what_to_do() -> None:
    with pytest.raises(RunError, match=r"no run works now: run_jobs\(..., background=True\)"):
        run_panel()


@pytest.fixture
def background_run(workspace: Workspace) -> Iterator[Run]:
    """A run of three jobs in threads: one failed, one is done, the third waits for a file."""

    @pipeline("p")
    def wait(path: Path) -> None:
        if path.stem == "1":
            raise ValueError(f"{EVIL} is bad")
        while path.stem == "2" and not path.with_name("go on").exists():
            time.sleep(0.01)

    Path("inputs").mkdir()
    for number in range(3):
        Path("inputs", f"{number}.txt").touch()
    register_jobs("inputs", "p", pattern="*.txt")
    run = run_jobs("p", executor="threads", workers=2, background=True, progress=False)
    until(lambda: run.completed and run.failed and run.load.jobs == 1, "two jobs")
    yield run
    Path("inputs", "go on").touch()
    until(lambda: not workspace.live_runs, "the end of the run")


def test_by_default_it_is_the_run_that_works(background_run: Run) -> None:
    made = run_panel()
    assert made is run_panel(background_run), "a run has one panel"
    assert made.to_text().splitlines() == [
        "run of p: 1 completed, 1 failed, 1 running",
        "  1 x ValueError: <img src=x onerror=alert(1)> is bad",
    ]
    assert str(made) == made.to_text()
    assert repr(made) == "<RunPanel of <Run p: 1 completed, 1 failed, working>>"
    bundle = made._repr_mimebundle_(include=None)
    assert set(bundle) == {"text/plain", "text/html"}
    assert "1.txt" in bundle["text/html"]
    assert "while it worked" in bundle["text/html"]


# --- what is displayed where -------------------------------------------------------------------------


def tickers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "foregsyte-tick"]


@pytest.mark.parametrize(
    "variables",
    [{}, {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}],
    ids=["script", "batch"],
)
def test_plain_view_alone_where_nobody_sits(
    background_run: Run,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = widgets_alive()
    run_panel(background_run)._ipython_display_()
    (bundle,) = published.shown
    assert set(bundle) == {"text/plain", "text/html"}
    assert "fk-saved" in bundle["text/html"]
    assert widgets_alive() == before
    assert tickers() == []


def test_plain_view_alone_without_a_comm(
    background_run: Run, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "is_interactive", lambda: True)
    before = widgets_alive()
    run_panel(background_run)._ipython_display_()
    assert [set(bundle) for bundle in published.shown] == [{"text/plain", "text/html"}]
    assert widgets_alive() == before


def shown(run: Run) -> tuple[panel.RunPanel, PanelControls]:
    made = run_panel(run)
    made._ipython_display_()
    assert made._controls is not None
    return made, made._controls


def test_front_end_gets_the_widget_and_the_plain_view_beside_it(
    background_run: Run, front_end: Published
) -> None:
    made, controls = shown(background_run)
    view, saved = front_end.shown
    assert view[WIDGET_VIEW]["model_id"] == controls.root.model_id
    assert view["text/plain"] == ""
    assert saved["text/plain"] == made.to_text()
    assert "fk-saved" in saved["text/html"]
    assert "of 3 jobs" in controls.progress.value
    assert "1.txt" in controls.failures.value
    assert (controls.stop_button.description, controls.stop_button.disabled) == ("Stop", False)
    assert (controls.retry_button.description, controls.retry_button.disabled) == (
        "Retry 1 failed",
        False,
    )
    assert len(tickers()) == 1
    made.close()


def test_it_updates_itself_and_shows_how_the_run_ended(
    background_run: Run, front_end: Published
) -> None:
    made, controls = shown(background_run)
    Path("inputs", "go on").touch()
    until(lambda: not tickers(), "the end of the panel's thread")
    assert ">finished<" in controls.progress.value
    assert controls.stop_button.disabled
    assert not controls.retry_button.disabled
    (update,) = front_end.updates
    assert update["text/plain"] == made.to_text()
    assert update["text/plain"].endswith("finished")
    assert "while it worked" not in update["text/html"]
    made.close()


@pytest.mark.usefixtures("front_end")
def test_stop_stops_the_run_and_says_so_at_once(background_run: Run) -> None:
    made, controls = shown(background_run)
    controls.stop_button.click()
    assert background_run.is_stopping
    assert (controls.stop_button.description, controls.stop_button.disabled) == ("Stopping…", True)
    until(lambda: not tickers(), "the end of the panel's thread")
    assert background_run.ended_by == "stopped"
    assert "stopped, 1 job left pending" in controls.progress.value
    assert (controls.stop_button.description, controls.stop_button.disabled) == ("Stop", True)
    made.close()


@pytest.mark.usefixtures("front_end")
def test_retry_while_it_works_has_the_run_take_the_jobs_up(background_run: Run) -> None:
    made, controls = shown(background_run)
    controls.retry_button.click()
    assert "1 job is pending again: this run takes it up" in controls.message.value
    until(lambda: background_run.failed == 2, "the second failure")
    made.refresh()
    assert controls.retry_button.description == "Retry 1 failed"
    assert "1 of them retried" in controls.failures.value
    assert counts(background_run)[:2] == [1, 1]
    Path("inputs", "go on").touch()
    until(lambda: not tickers(), "the end of the panel's thread")
    assert controls.message.value == "", "what was told is not so any more"
    made.close()


def test_retry_after_the_end_says_what_to_call(background_run: Run, front_end: Published) -> None:
    Path("inputs", "go on").touch()
    background_run.wait()
    made, controls = shown(background_run)
    controls.retry_button.click()
    assert "1 job is pending again: run_jobs(&#x27;p&#x27;) runs it." in controls.message.value
    assert (controls.retry_button.description, controls.retry_button.disabled) == (
        "Retry failed",
        True,
    )
    assert jobs_frame().status.value_counts()["pending"] == 1
    assert "1 pending" in front_end.updates[-1]["text/plain"], "the saved view follows"
    made.close()


@pytest.mark.usefixtures("front_end")
def test_retry_of_what_was_retried_elsewhere_says_so(background_run: Run) -> None:
    Path("inputs", "go on").touch()
    background_run.wait()
    made, controls = shown(background_run)
    retry_jobs()
    controls.retry_button.click()
    assert "No job of this run is failed now." in controls.message.value
    assert controls.retry_button.disabled
    made.close()


@pytest.mark.usefixtures("front_end")
def test_error_of_a_click_is_shown(background_run: Run, workspace: Workspace) -> None:
    Path("inputs", "go on").touch()
    background_run.wait()
    made, controls = shown(background_run)
    workspace.close()
    controls.retry_button.click()
    assert "Nothing was retried: the workspace" in controls.message.value
    assert 'role="alert"' in controls.message.value
    assert controls.retry_button.description == "Retry 1 failed"
    made.close()


@pytest.mark.usefixtures("front_end")
def test_error_of_an_update_ends_the_panel_and_not_the_run(
    background_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, controls = shown(background_run)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(panel, "take_state", fail)
    until(lambda: not tickers(), "the end of the panel's thread")
    assert "not updated any more: ZeroDivisionError: a bug" in controls.message.value
    assert background_run.is_running
    made.close()


@pytest.mark.usefixtures("front_end")
def test_close_leaves_no_widget_and_no_thread_and_the_run_goes_on(background_run: Run) -> None:
    widgets, threads = widgets_alive(), set(threading.enumerate())
    made, _ = shown(background_run)
    assert len(widgets_alive()) > len(widgets)
    made.close()
    assert widgets_alive() == widgets
    assert set(threading.enumerate()) <= threads
    assert background_run.is_running
    made.close()
    made.refresh()
    assert run_panel(background_run) is not made


def test_displaying_again_shows_the_same_widget(background_run: Run, front_end: Published) -> None:
    made, _ = shown(background_run)
    made._ipython_display_()
    first, _, second, _ = front_end.shown
    assert first[WIDGET_VIEW] == second[WIDGET_VIEW]
    assert len(tickers()) == 1
    made.close()


# --- in place of the bar -----------------------------------------------------------------------------


def test_background_run_shows_its_panel_and_no_bar(
    memory_workspace: Workspace,
    front_end: Published,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline("p")(lambda path: None)
    (memory_workspace.directory / "one.txt").touch()
    register_jobs("*.txt", "p", name="here")
    run = run_jobs("p", executor="threads", background=True)
    run.wait()
    assert [set(bundle) for bundle in front_end.shown] == [
        {WIDGET_VIEW, "text/plain"},
        {"text/plain", "text/html"},
    ]
    assert front_end.updates[-1]["text/plain"] == "run of p: 1 completed\n  finished"
    out, err = capsys.readouterr()
    assert "p: 1 completed" in out
    assert err == "", "a bar would be here"
    run_panel(run).close()


@pytest.mark.parametrize("progress", [True, False])
def test_panel_that_cannot_be_shown_leaves_the_bar_and_the_run(
    memory_workspace: Workspace,
    front_end: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    progress: bool,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(panel.RunPanel, "show_live", fail)
    pipeline("p")(lambda path: None)
    (memory_workspace.directory / "one.txt").touch()
    register_jobs("*.txt", "p", name="here")
    run = run_jobs("p", executor="threads", background=True, progress=progress).wait()
    assert run.completed == 1
    assert front_end.shown == []
    out, err = capsys.readouterr()
    assert ("the run panel cannot be shown: ZeroDivisionError: a bug" in out) == progress
    assert ("1/1" in err) == progress


# --- cells that compute ------------------------------------------------------------------------------


class Events:
    """Stands for IPython's events."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Callable[[], None]]] = {}

    def register(self, event: str, listener: Callable[[], None]) -> None:
        self.listeners.setdefault(event, []).append(listener)

    def unregister(self, event: str, listener: Callable[[], None]) -> None:
        (at,) = [n for n, one in enumerate(self.listeners[event]) if one is listener]
        del self.listeners[event][at]

    def tell(self, event: str) -> None:
        for listener in self.listeners[event]:
            listener()


class Kernel:
    """Stands for ipykernel's: what asked for what happens now, and the subshells, None for no such thing."""

    def __init__(self, asked: str = "execute_request", subshells: list[str] | None = None) -> None:
        self.asked = asked
        self._supports_kernel_subshells = subshells is not None
        self._subshells = subshells
        self.shell_channel_thread = self.manager = self

    def get_parent(self, _channel: str) -> Any:
        return {"header": {"msg_type": self.asked}}

    def list_subshell(self) -> list[str] | None:
        return self._subshells


class Shell:
    def __init__(self, kernel: Kernel) -> None:
        self.events = Events()
        self.kernel = kernel


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kernel], tuple[CellWatch, Shell]]:
    """Start to watch a notebook with this kernel."""

    def start(kernel: Kernel) -> tuple[CellWatch, Shell]:
        shell = Shell(kernel)
        ipython = type("IPython", (), {"get_ipython": staticmethod(lambda: shell)})
        monkeypatch.setattr(cell_watch.sys, "modules", {"IPython": ipython})
        made = CellWatch()
        made.start()
        return made, shell

    return start


Watching = Callable[[Kernel], tuple[CellWatch, Shell]]


def test_clicks_wait_from_the_begin_of_a_cell_to_its_end(watch: Watching) -> None:
    made, shell = watch(Kernel(asked="comm_msg"))
    assert made.clicks_wait(None) is False, "a click shows the panel: no cell computes"
    shell.events.tell("pre_execute")
    assert made.clicks_wait(None) is True
    shell.events.tell("post_execute")
    assert made.clicks_wait(None) is False


def test_cell_that_shows_the_panel_computes_too(watch: Watching) -> None:
    made, shell = watch(Kernel())
    assert made.clicks_wait(None) is True
    shell.events.tell("post_execute")
    assert made.clicks_wait(None) is False


def test_cell_in_a_subshell_keeps_no_click_waiting(watch: Watching) -> None:
    made, shell = watch(Kernel(asked="comm_msg", subshells=["a"]))
    other = threading.Thread(target=shell.events.tell, args=("pre_execute",))
    other.start()
    other.join()
    assert made.clicks_wait(None) is False


@pytest.mark.parametrize(
    ("subshells", "chosen", "waits"),
    [
        pytest.param([], None, True, id="front end uses none"),
        pytest.param(["a"], None, True, id="kernel chose the main shell"),
        pytest.param(["a"], "a", False, id="kernel chose a subshell"),
        pytest.param(["a"], "gone", True, id="kernel chose one that is gone"),
        pytest.param(["a"], ..., None, id="front end chooses"),
    ],
)
def test_kernel_with_subshells_may_act_at_once(
    watch: Watching, subshells: list[str], chosen: object, waits: bool | None
) -> None:
    made, _ = watch(Kernel(subshells=subshells))
    comm = type("Comm", (), {} if chosen is ... else {"_reply_subshell_id": chosen})()
    assert made.clicks_wait(comm) is waits


def test_click_that_came_beside_a_cell_tells_that_others_will(watch: Watching) -> None:
    made, _ = watch(Kernel(subshells=["a"]))
    made.note_click()
    assert made.clicks_wait(None) is None
    other = threading.Thread(target=made.note_click)
    other.start()
    other.join()
    assert made.clicks_wait(None) is False


def test_watch_that_is_stopped_leaves_no_listener(watch: Watching) -> None:
    made, shell = watch(Kernel())
    made.start()
    made.stop()
    assert shell.events.listeners == {"pre_execute": [], "post_execute": []}
    assert made.clicks_wait(None) is False
    made.stop()


@pytest.mark.usefixtures("front_end")
@pytest.mark.parametrize(
    ("waits", "said"), [(True, "act when it ends"), (None, "may act only when"), (False, "")]
)
def test_panel_says_that_clicks_wait(
    background_run: Run, monkeypatch: pytest.MonkeyPatch, waits: bool | None, said: str
) -> None:
    monkeypatch.setattr(CellWatch, "clicks_wait", lambda *_: waits)
    made, controls = shown(background_run)
    assert said in controls.note.value
    assert bool(said) == bool(controls.note.value)
    Path("inputs", "go on").touch()
    until(lambda: not tickers(), "the end of the panel's thread")
    assert controls.note.value == "", "when the run is over, nobody has to hurry"
    made.close()


def test_statuses_of_the_bar_are_all_there_are() -> None:
    assert set(take_state(Run("p", 1)).counts) == set(JobStatus)
