"""The job table without a browser: its arguments, HTML and text, and every control by its state."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foregsyte_kaggle import JobStatus, job_table
from foregsyte_kaggle.errors import InvalidArgumentError, WorkspaceError
from foregsyte_kaggle.filters import as_statuses
from foregsyte_kaggle.widgets import table
from foregsyte_kaggle.widgets.controls import JobControls
from foregsyte_kaggle.widgets.page import JobPage, PageQuery
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

EVIL = "<img src=x onerror=alert(1)>"


def seed(workspace: Workspace, jobs: int = 57) -> None:
    """Add jobs of all statuses, of two pipelines and sources; 5 of them made by hand, so without a position."""
    with workspace.database.transaction() as connection:
        connection.execute(
            """
            INSERT INTO jobs (job_id, status, pipeline_id, source, input_path, attempts, position, created_at,
                              updated_at, started_at, finished_at, error_type, error_message)
            SELECT md5(i::VARCHAR)::UUID,
                   (['completed', 'failed', 'completed', 'pending', 'running'])[i % 5 + 1]::job_status_enum,
                   if(i % 3 = 0, 'ocr', 'video_info'), if(i % 2 = 0, 'night', 'day'),
                   'clip-' || lpad(i::VARCHAR, 3, '0') || '.mp4', 1, if(i > $jobs - 5, NULL, i * 3),
                   TIMESTAMP '2026-01-01' + to_seconds(i), TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-01',
                   TIMESTAMP '2026-01-01 00:00:01.5', if(i % 5 = 1, 'ValueError', NULL),
                   if(i % 5 = 1, 'bad frame ' || i, NULL)
            FROM generate_series(1, $jobs) AS numbers(i)
            """,
            {"jobs": jobs},
        ).fetchall()


def plain_rows(workspace: Workspace, **wanted: Any) -> list[str]:
    """Return the paths that plain SQL gives for a filter, in order."""
    statuses = [one.value for one in wanted.get("statuses") or JobStatus]
    with workspace.database.reading() as cursor:
        rows = cursor.execute(
            "SELECT input_path FROM jobs WHERE status::VARCHAR IN (SELECT unnest($statuses))"
            " AND ($pipeline_id IS NULL OR pipeline_id = $pipeline_id)"
            " AND ($source IS NULL OR source = $source) ORDER BY position NULLS LAST, created_at",
            {
                "statuses": statuses,
                "pipeline_id": wanted.get("pipeline_id"),
                "source": wanted.get("source"),
            },
        ).fetchall()
    return [path for (path,) in rows]


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


class Published:
    """Stands for IPython's display: keeps what was shown, and its updates."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []

    def __call__(self, data: dict[str, Any], **_kwargs: Any) -> Published:
        self.shown.append(data)
        return self

    def display(self, data: dict[str, Any], **kwargs: Any) -> None:
        assert kwargs == {"raw": True}
        self.shown.append(data)

    def update(self, data: dict[str, Any], **kwargs: Any) -> None:
        assert kwargs == {"raw": True}
        self.updates.append(data)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    made = Published()
    monkeypatch.setattr(table, "_publish", made)
    return made


@pytest.fixture
def front_end(published: Published, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """Pretend that somebody sits at a notebook; afterwards no widget may be left."""
    before = set(widgets_alive())
    monkeypatch.setattr(table, "is_interactive", lambda: True)
    monkeypatch.setattr(JobControls, "has_comm", True)
    yield published
    left = [widgets_alive()[one] for one in set(widgets_alive()) - before]
    for one in left:
        one.close()


def widgets_alive() -> dict[str, Any]:
    """Return ipywidgets' own list of widgets that have a comm."""
    from ipywidgets.widgets import widget

    if hasattr(widget, "_instances"):
        return dict(widget._instances)
    return dict(widget.Widget.widgets)  # until ipywidgets 7


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
    assert view[table.WIDGET_VIEW]["model_id"] in widgets_alive()
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
    assert first[table.WIDGET_VIEW] == second[table.WIDGET_VIEW]
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
    assert made._controls.all_chip.description == "✓ all 57"
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


# --- controls --------------------------------------------------------------------------------------


@pytest.fixture
def controls(memory_workspace: Workspace, front_end: Published) -> JobControls:
    """The live table of 57 jobs, ten a page."""
    seed(memory_workspace)
    made = job_table(page_size=10)
    made._ipython_display_()
    assert len(front_end.shown) == 2
    assert made._controls is not None
    return made._controls


def paths(controls: JobControls) -> list[str]:
    return [row.input_path for row in controls.page.rows]


def chips(controls: JobControls) -> list[str]:
    return [chip.description for chip in (controls.all_chip, *controls.chips.values())]


def pressed(controls: JobControls) -> list[str]:
    chips = {"all": controls.all_chip, **{one.value: c for one, c in controls.chips.items()}}
    return [name for name, chip in chips.items() if chip.value]


def test_first_page_fills_every_control(controls: JobControls) -> None:
    assert chips(controls) == [
        "✓ all 57",
        "pending 11",
        "running 11",
        "completed 23",
        "failed 12",
    ]
    assert pressed(controls) == ["all"]
    assert (controls.number_box.value, controls.pages_label.value) == (1, "of 6")
    assert (controls.back_button.disabled, controls.forward_button.disabled) == (True, False)
    assert controls.size_box.value == 10
    assert controls.message.value == ""
    assert "Jobs 1 to 10 of 57" in controls.body.value


def test_chips_filter_together_and_all_releases_them(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    failed, pending = controls.chips[JobStatus.failed], controls.chips[JobStatus.pending]
    failed.value = True
    assert paths(controls) == plain_rows(memory_workspace, statuses=(JobStatus.failed,))[:10]
    assert pressed(controls) == ["failed"]
    assert chips(controls)[-1] == "✓ failed 12"
    pending.value = True
    both = (JobStatus.pending, JobStatus.failed)
    assert paths(controls) == plain_rows(memory_workspace, statuses=both)[:10]
    assert pressed(controls) == ["pending", "failed"]
    failed.value = False
    assert paths(controls) == plain_rows(memory_workspace, statuses=(JobStatus.pending,))[:10]
    controls.all_chip.value = True
    assert paths(controls) == plain_rows(memory_workspace)[:10]
    assert pressed(controls) == ["all"]


def test_releasing_the_last_chip_or_pressing_all_four_shows_all(controls: JobControls) -> None:
    controls.chips[JobStatus.failed].value = True
    controls.chips[JobStatus.failed].value = False
    assert pressed(controls) == ["all"]
    for chip in controls.chips.values():
        chip.value = True
    assert pressed(controls) == ["all"]
    assert controls.page.matching == 57


def test_releasing_all_presses_it_again(controls: JobControls) -> None:
    controls.all_chip.value = False
    assert pressed(controls) == ["all"]


def test_pages_turn_to_their_bounds(controls: JobControls, memory_workspace: Workspace) -> None:
    expected = plain_rows(memory_workspace)
    for start in (10, 20, 30, 40, 50):
        controls.forward_button.click()
        assert paths(controls) == expected[start : start + 10]
    assert (controls.back_button.disabled, controls.forward_button.disabled) == (False, True)
    controls.forward_button.click()
    assert controls.page.query.number == 6
    controls.back_button.click()
    assert paths(controls) == expected[40:50]
    assert controls.number_box.value == 5


def test_page_number_goes_there(controls: JobControls, memory_workspace: Workspace) -> None:
    controls.number_box.value = 4
    assert paths(controls) == plain_rows(memory_workspace)[30:40]
    controls.number_box.value = 99
    assert controls.page.query.number == controls.number_box.value == 6
    controls.number_box.value = 0
    assert controls.page.query.number == 1


def test_filter_on_a_late_page_begins_at_the_first(controls: JobControls) -> None:
    controls.number_box.value = 6
    controls.chips[JobStatus.failed].value = True
    assert (controls.page.query.number, controls.number_box.value) == (1, 1)
    assert controls.number_box.max == 2


def test_page_size_keeps_the_first_row_in_sight(controls: JobControls) -> None:
    controls.number_box.value = 4
    controls.size_box.value = 20
    assert (controls.page.first, controls.page.last) == (21, 40)
    assert controls.number_box.value == 2
    controls.size_box.value = 100
    assert (controls.page.first, controls.page.last) == (1, 57)
    assert controls.number_box.disabled


@pytest.mark.usefixtures("memory_workspace", "front_end")
def test_page_size_of_the_call_is_offered() -> None:
    made = job_table(page_size=33)
    made._ipython_display_()
    assert made._controls is not None
    assert made._controls.size_box.options == (10, 20, 33, 50, 100)
    assert made._controls.size_box.value == 33


@pytest.mark.usefixtures("front_end")
def test_statuses_of_the_call_are_pressed(
    memory_workspace: Workspace,
) -> None:
    seed(memory_workspace)
    made = job_table(status=["failed", "running"])
    made._ipython_display_()
    assert made._controls is not None
    assert pressed(made._controls) == ["running", "failed"]


def test_refresh_button_reads_again_and_follows_a_shrinking_ledger(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    controls.number_box.value = 6
    with memory_workspace.database.transaction() as connection:
        connection.execute("DELETE FROM jobs WHERE status <> 'failed'").fetchall()
    controls.refresh_button.click()
    assert chips(controls) == ["✓ all 12", "pending 0", "running 0", "completed 0", "failed 12"]
    assert controls.page.query.number == controls.number_box.value == 2


def test_plain_table_follows_what_the_controls_show(
    controls: JobControls, front_end: Published
) -> None:
    controls.chips[JobStatus.failed].value = True
    assert "shown: 1 to 10 of 12, failed" in front_end.updates[-1]["text/plain"]


@pytest.mark.usefixtures("memory_workspace", "front_end")
def test_live_table_of_an_empty_ledger_says_so() -> None:
    made = job_table()
    made._ipython_display_()
    assert made._controls is not None
    assert "No jobs yet" in made._controls.body.value
    assert made._controls.forward_button.disabled


@pytest.mark.usefixtures("front_end")
def test_closed_workspace_is_told_in_place_and_the_page_stays(
    workspace: Workspace,
) -> None:
    seed(workspace)
    made = job_table(page_size=10)
    made._ipython_display_()
    assert made._controls is not None
    workspace.close()
    made._controls.chips[JobStatus.failed].value = True
    assert "was closed; call bootstrap() again" in made._controls.message.value
    assert 'role="alert"' in made._controls.message.value
    assert pressed(made._controls) == ["all"]
    assert "Jobs 1 to 10 of 57" in made._controls.body.value


def test_error_of_a_callback_is_shown_escaped_and_goes_with_the_next_page(
    controls: JobControls, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = controls._load

    def fail(_query: PageQuery) -> JobPage:
        raise ZeroDivisionError(EVIL)

    monkeypatch.setattr(controls, "_load", fail)
    for use in (
        controls.forward_button.click,
        controls.refresh_button.click,
        lambda: setattr(controls.number_box, "value", 3),
        lambda: setattr(controls.size_box, "value", 50),
    ):
        controls.message.value = ""
        use()
        assert "ZeroDivisionError: &lt;img src=x" in controls.message.value
        assert "test_job_table.py" in controls.message.value, "the traceback is there to unfold"
        assert (controls.number_box.value, controls.size_box.value) == (1, 10)
    monkeypatch.setattr(controls, "_load", load)
    controls.refresh_button.click()
    assert controls.message.value == ""
