"""The job table without a browser: its pages, its HTML and text, and every control by its state."""

from __future__ import annotations

import builtins
import threading
from pathlib import Path
from typing import Any

import pytest

from foregsyte_kaggle import JobStatus, job_table
from foregsyte_kaggle.errors import InvalidArgumentError, WorkspaceError
from foregsyte_kaggle.filters import as_statuses
from foregsyte_kaggle.widgets import table
from foregsyte_kaggle.widgets.page import PageQuery
from foregsyte_kaggle.widgets.showing import WIDGET_VIEW
from foregsyte_kaggle.workspace import Workspace
from tests.job_tables import Published, seed, widgets_alive

pytestmark = pytest.mark.unit

EVIL = "<img src=x onerror=alert(1)>"


# --- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"status": "done"},
            "status='done' is unknown; expected one of ['pending', 'running', 'completed', 'failed']",
        ),
        (
            {"status": ["failed", 3]},
            "status=3 is unknown; expected one of ['pending', 'running', 'completed', 'failed']",
        ),
        (
            {"status": [[]]},
            "status=[] is unknown; expected one of ['pending', 'running', 'completed', 'failed']",
        ),
        (
            {"status": 3},
            "status=3; expected one or several of ['pending', 'running', 'completed', 'failed']",
        ),
        (
            {"workspace": 5},
            "workspace=5; expected what bootstrap() returned, or None for the active one",
        ),
        ({"pipeline_id": 5}, "pipeline_id=5; expected text, or None for all"),
        ({"source": Path("clips")}, f"source={Path('clips')!r}; expected text, or None for all"),
        ({"page_size": 0}, "page_size=0; expected a whole number from 1 to 1,000"),
        ({"page_size": 1_001}, "page_size=1001; expected a whole number from 1 to 1,000"),
        ({"page_size": True}, "page_size=True; expected a whole number from 1 to 1,000"),
        ({"page_size": 2.5}, "page_size=2.5; expected a whole number from 1 to 1,000"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_bad_argument_says_what_was_given_and_expected(
    memory_workspace: Workspace, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        job_table(**{"workspace": memory_workspace, **arguments})
    assert str(raised.value) == message


def test_page_number_below_one_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="page number 0; expected a whole number from 1"):
        PageQuery(number=0)


def test_statuses_are_taken_in_any_form_and_given_in_order() -> None:
    assert as_statuses(None) == as_statuses([]) == ()
    assert as_statuses("failed") == as_statuses(JobStatus.failed) == (JobStatus.failed,)
    assert as_statuses(["failed", JobStatus.pending]) == (JobStatus.pending, JobStatus.failed)


def test_table_without_a_workspace_says_bootstrap() -> None:
    with pytest.raises(WorkspaceError, match="bootstrap"):
        job_table()


def test_table_of_a_closed_workspace_says_so(workspace: Workspace) -> None:
    made = job_table()
    workspace.close()
    for use in (made.to_text, made.refresh, made._repr_mimebundle_, made._ipython_display_):
        with pytest.raises(WorkspaceError, match="was closed; call bootstrap"):
            use()


def test_table_keeps_the_workspace_it_was_made_with(tmp_path: Path) -> None:
    from foregsyte_kaggle import bootstrap

    first = bootstrap(tmp_path / "first")
    seed(first)
    made = job_table()
    bootstrap(tmp_path / "second")
    assert made.to_text().startswith("jobs: 11 pending")


def test_text_says_what_part_is_shown(memory_workspace: Workspace) -> None:
    assert job_table().to_text() == "no jobs yet"
    seed(memory_workspace)
    lines = job_table(status="failed", page_size=5).to_text().splitlines()
    assert lines[:2] == [
        "jobs: 11 pending, 11 running, 23 completed, 12 failed",
        "shown: 1 to 5 of 12, failed",
    ]
    assert len(lines) == 9
    nothing = job_table("file_info").to_text()
    assert nothing == "no jobs yet\nshown: none, pipeline file_info"


# --- what is displayed where -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [{}, {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, {"KAGGLE_IS_COMPETITION_RERUN": "1"}],
    ids=["script", "batch", "rerun"],
)
def test_plain_table_alone_where_nobody_sits(
    memory_workspace: Workspace,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seed(memory_workspace)
    before = widgets_alive()
    made = job_table()
    made._ipython_display_()
    (bundle,) = published.shown
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == made.to_text()
    assert "fk-saved" in bundle["text/html"]
    assert widgets_alive() == before


@pytest.mark.usefixtures("memory_workspace")
def test_plain_table_alone_without_a_comm(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "is_interactive", lambda: True)
    before = widgets_alive()
    job_table()._ipython_display_()
    assert [set(bundle) for bundle in published.shown] == [{"text/plain", "text/html"}]
    assert widgets_alive() == before


@pytest.mark.usefixtures("memory_workspace")
def test_plain_table_and_a_word_without_ipywidgets(
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(table, "is_interactive", lambda: True)
    real = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if name == "foregsyte_kaggle.widgets.controls":
            raise ImportError("No module named 'ipywidgets'")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    job_table()._ipython_display_()
    assert [set(bundle) for bundle in published.shown] == [{"text/plain", "text/html"}]
    assert "the job table is not live: No module named 'ipywidgets'" in capsys.readouterr().out


def test_front_end_gets_the_widget_and_the_plain_table_beside_it(
    memory_workspace: Workspace, front_end: Published
) -> None:
    seed(memory_workspace)
    made = job_table(page_size=5)
    made._ipython_display_()
    view, saved = front_end.shown
    assert view[WIDGET_VIEW]["model_id"] in widgets_alive()
    assert view["text/plain"] == "", (
        "else a page that cannot show the widget would show the table twice"
    )
    assert saved["text/plain"] == made.to_text()
    assert "Jobs 1 to 5 of 57" in saved["text/html"]


def test_displaying_again_shows_the_same_widget(
    memory_workspace: Workspace, front_end: Published
) -> None:
    made = job_table()
    made._ipython_display_()
    seed(memory_workspace)
    made._ipython_display_()
    first, _, second, saved = front_end.shown
    assert first[WIDGET_VIEW] == second[WIDGET_VIEW]
    assert "57</b> jobs" in saved["text/html"]
    assert made._controls is not None
    assert made._controls.page.total == 57


def test_refresh_updates_the_widget_and_the_plain_table(
    memory_workspace: Workspace, front_end: Published
) -> None:
    made = job_table()
    made._ipython_display_()
    seed(memory_workspace)
    made.refresh()
    assert made._controls is not None
    assert made._controls.filters.all_chip.description == "✓ all 57"
    assert [bundle["text/plain"] for bundle in front_end.updates] == [made.to_text()]


@pytest.mark.usefixtures("memory_workspace")
def test_close_leaves_no_widget_and_no_thread(front_end: Published) -> None:
    widgets, threads = widgets_alive(), threading.enumerate()
    made = job_table()
    made._ipython_display_()
    assert len(widgets_alive()) > len(widgets)
    made.close()
    assert widgets_alive() == widgets
    assert threading.enumerate() == threads
    made.close()
    made.refresh()
    assert front_end.updates == []
    assert made.to_text() == "no jobs yet"


@pytest.mark.usefixtures("memory_workspace")
def test_bundle_is_for_front_ends_that_ask_for_it() -> None:
    made = job_table()
    bundle = made._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/plain", "text/html"}


def test_str_is_the_table_and_repr_stays_short(memory_workspace: Workspace) -> None:
    seed(memory_workspace)
    assert str(job_table()) == job_table().to_text()
    assert repr(job_table()) == "<JobTable>"
    with memory_workspace.database.transaction() as connection:
        connection.execute("UPDATE jobs SET source = $name", {"name": "s" * 1_000}).fetchall()
    made = job_table(status=["failed", "pending"], pipeline_id="ocr", source="s" * 1_000)
    assert repr(made).startswith("<JobTable: pending or failed, pipeline ocr, source sss")
    assert len(repr(made)) < 250


def test_to_html_writes_one_file_and_returns_its_path(
    memory_workspace: Workspace, tmp_path: Path
) -> None:
    seed(memory_workspace)
    path = job_table().to_html(str(tmp_path / "jobs.html"))
    assert path == tmp_path / "jobs.html"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "clip-001.mp4" in text
    assert job_table(status="failed").to_html(path) == path, "it is replaced"
    assert "clip-002.mp4" not in path.read_text(encoding="utf-8")


def test_to_html_returns_an_absolute_path(memory_workspace: Workspace) -> None:
    path = job_table().to_html("jobs.html")
    assert path == memory_workspace.directory / "jobs.html"
    assert path.exists()


@pytest.mark.usefixtures("memory_workspace")
def test_to_html_of_what_is_no_path_says_so() -> None:
    with pytest.raises(InvalidArgumentError, match="path=5; expected a path, as text or a pathlib"):
        job_table().to_html(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["missing/jobs.html", "."], ids=["no folder", "a folder"])
@pytest.mark.usefixtures("memory_workspace")
def test_to_html_where_nothing_can_be_written_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"cannot be written: .*; expected a file"):
        job_table().to_html(tmp_path / name)
