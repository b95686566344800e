"""Every control of the live job table by its state, without a browser."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable

import pytest

from foregsyte_kaggle import JobStatus, bootstrap, job_table
from foregsyte_kaggle.widgets import showing
from foregsyte_kaggle.widgets.controls import JobControls
from foregsyte_kaggle.widgets.page import SORTS, JobPage, PageQuery
from foregsyte_kaggle.widgets.showing import LIVE_VIEWS
from foregsyte_kaggle.workspace import Workspace
from tests.job_tables import Published, plain_rows, seed

pytestmark = pytest.mark.unit

EVIL = "<img src=x onerror=alert(1)>"


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
    return [
        chip.description for chip in (controls.filters.all_chip, *controls.filters.chips.values())
    ]


def pressed(controls: JobControls) -> list[str]:
    chips = {
        "all": controls.filters.all_chip,
        **{one.value: c for one, c in controls.filters.chips.items()},
    }
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
    assert (controls.pager.number_box.value, controls.pager.pages_label.value) == (1, "of 6")
    assert (controls.pager.back_button.disabled, controls.pager.forward_button.disabled) == (
        True,
        False,
    )
    assert controls.pager.size_box.value == 10
    assert controls.message.value == ""
    assert "Jobs 1 to 10 of 57" in controls.caption.value


def test_chips_filter_together_and_all_releases_them(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    failed, pending = (
        controls.filters.chips[JobStatus.failed],
        controls.filters.chips[JobStatus.pending],
    )
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
    controls.filters.all_chip.value = True
    assert paths(controls) == plain_rows(memory_workspace)[:10]
    assert pressed(controls) == ["all"]


def test_releasing_the_last_chip_or_pressing_all_four_shows_all(controls: JobControls) -> None:
    controls.filters.chips[JobStatus.failed].value = True
    controls.filters.chips[JobStatus.failed].value = False
    assert pressed(controls) == ["all"]
    for chip in controls.filters.chips.values():
        chip.value = True
    assert pressed(controls) == ["all"]
    assert controls.page.matching == 57


def test_releasing_all_presses_it_again(controls: JobControls) -> None:
    controls.filters.all_chip.value = False
    assert pressed(controls) == ["all"]


def test_pages_turn_to_their_bounds(controls: JobControls, memory_workspace: Workspace) -> None:
    expected = plain_rows(memory_workspace)
    for start in (10, 20, 30, 40, 50):
        controls.pager.forward_button.click()
        assert paths(controls) == expected[start : start + 10]
    assert (controls.pager.back_button.disabled, controls.pager.forward_button.disabled) == (
        False,
        True,
    )
    controls.pager.forward_button.click()
    assert controls.page.query.number == 6
    controls.pager.back_button.click()
    assert paths(controls) == expected[40:50]
    assert controls.pager.number_box.value == 5


def test_page_number_goes_there(controls: JobControls, memory_workspace: Workspace) -> None:
    controls.pager.number_box.value = 4
    assert paths(controls) == plain_rows(memory_workspace)[30:40]
    controls.pager.number_box.value = 99
    assert controls.page.query.number == controls.pager.number_box.value == 6
    controls.pager.number_box.value = 0
    assert controls.page.query.number == 1


def test_filter_on_a_late_page_begins_at_the_first(controls: JobControls) -> None:
    controls.pager.number_box.value = 6
    controls.filters.chips[JobStatus.failed].value = True
    assert (controls.page.query.number, controls.pager.number_box.value) == (1, 1)
    assert controls.pager.number_box.max == 2


def test_page_size_keeps_the_first_row_in_sight(controls: JobControls) -> None:
    controls.pager.number_box.value = 4
    controls.pager.size_box.value = 20
    assert (controls.page.first, controls.page.last) == (21, 40)
    assert controls.pager.number_box.value == 2
    controls.pager.size_box.value = 100
    assert (controls.page.first, controls.page.last) == (1, 57)
    assert controls.pager.number_box.disabled


@pytest.mark.usefixtures("memory_workspace", "front_end")
def test_page_size_of_the_call_is_offered() -> None:
    made = job_table(page_size=33)
    made._ipython_display_()
    assert made._controls is not None
    assert made._controls.pager.size_box.options == (10, 20, 33, 50, 100)
    assert made._controls.pager.size_box.value == 33


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
    controls.pager.number_box.value = 6
    with memory_workspace.database.transaction() as connection:
        connection.execute("DELETE FROM jobs WHERE status <> 'failed'").fetchall()
    controls.filters.refresh_button.click()
    assert chips(controls) == ["✓ all 12", "pending 0", "running 0", "completed 0", "failed 12"]
    assert controls.page.query.number == controls.pager.number_box.value == 2


def test_plain_table_follows_what_the_controls_show(
    controls: JobControls, front_end: Published
) -> None:
    controls.filters.chips[JobStatus.failed].value = True
    assert "shown: 1 to 10 of 12, failed" in front_end.updates[-1]["text/plain"]


@pytest.mark.usefixtures("memory_workspace", "front_end")
def test_live_table_of_an_empty_ledger_says_so() -> None:
    made = job_table()
    made._ipython_display_()
    assert made._controls is not None
    assert "No jobs yet" in made._controls.caption.value
    assert made._controls.pager.forward_button.disabled


@pytest.mark.usefixtures("front_end")
def test_closed_workspace_is_told_in_place_and_the_page_stays(
    workspace: Workspace,
) -> None:
    seed(workspace)
    made = job_table(page_size=10)
    made._ipython_display_()
    assert made._controls is not None
    workspace.close()
    made._controls.filters.chips[JobStatus.failed].value = True
    assert "was closed; call bootstrap() again" in made._controls.message.value
    assert 'role="alert"' in made._controls.message.value
    assert pressed(made._controls) == ["all"]
    assert "Jobs 1 to 10 of 57" in made._controls.caption.value


def test_error_of_a_callback_is_shown_escaped_and_goes_with_the_next_page(
    controls: JobControls, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = controls._jobs.load

    def fail(_query: PageQuery) -> JobPage:
        raise ZeroDivisionError(EVIL)

    monkeypatch.setattr(controls._jobs, "load", fail)
    for use in (
        controls.pager.forward_button.click,
        controls.filters.refresh_button.click,
        lambda: setattr(controls.pager.number_box, "value", 3),
        lambda: setattr(controls.pager.size_box, "value", 50),
    ):
        controls.message.value = ""
        use()
        assert "ZeroDivisionError: &lt;img src=x" in controls.message.value
        assert "test_job_controls.py" in controls.message.value, "the traceback is there to unfold"
        assert (controls.pager.number_box.value, controls.pager.size_box.value) == (1, 10)
    monkeypatch.setattr(controls._jobs, "load", load)
    controls.filters.refresh_button.click()
    assert controls.message.value == ""


# --- search, lists and headings --------------------------------------------------------------------


def text_of(html: str) -> str:
    """Return the text of HTML without tags."""
    return re.sub(r"<[^>]+>", "", html)


def shown(controls: JobControls) -> list[str]:
    """Return the paths in the rows that are shown, as a reader sees them."""
    lines = controls.rows.lines
    visible = {id(widget) for widget in controls.rows.root.children}
    cells = [line.cells.value for line in lines if id(line.cells) in visible]
    return [re.search(r'class="fk-path" title="([^"]*)"', cell)[1] for cell in cells]  # type: ignore[index]


def test_rows_show_what_the_page_holds(controls: JobControls) -> None:
    assert shown(controls) == paths(controls)
    controls.pager.number_box.value = 6
    assert shown(controls) == paths(controls)
    assert len(shown(controls)) == 7


def test_rows_are_filled_again_and_never_made_anew(controls: JobControls) -> None:
    first = controls.rows.root.children
    controls.pager.forward_button.click()
    assert controls.rows.root.children == first
    controls.pager.number_box.value = 6
    assert controls.rows.root.children == first[: 3 + 7 * 4]
    controls.pager.back_button.click()
    assert controls.rows.root.children == first


def test_search_finds_text_of_paths_and_errors_literally(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    controls.filters.search_box.value = "CLIP-01"
    assert shown(controls) == [f"clip-01{n}.mp4" for n in range(10)]
    assert chips(controls)[0] == "✓ all 10"
    controls.filters.search_box.value = "bad frame 5"
    with memory_workspace.database.reading() as cursor:
        found = cursor.execute(
            "SELECT input_path FROM jobs WHERE error_message LIKE '%bad frame 5%' ORDER BY position NULLS LAST"
        ).fetchall()
    assert [(path,) for path in shown(controls)] == found
    assert len(found) > 1
    for pattern in ("clip%", "clip_01", "*.mp4", "clip.0"):
        controls.filters.search_box.value = pattern
        assert shown(controls) == []
        assert f"No jobs: with “{pattern}”" in text_of(controls.caption.value)
    controls.filters.search_box.value = ""
    assert controls.page.matching == 57


def test_lists_offer_what_is_there_and_filter(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    bar = controls.filters
    assert bar.pipeline_list.options == (
        ("all", ""),
        ("ocr", "ocr"),
        ("video_info", "video_info"),
    )
    assert bar.source_list.options == (("all", ""), ("day", "day"), ("night", "night"))
    assert (bar.pipeline_list.label, bar.source_list.label) == ("all", "all")
    bar.pipeline_list.value = "ocr"
    assert shown(controls) == plain_rows(memory_workspace, pipeline_id="ocr")[:10]
    bar.source_list.value = "night"
    both = plain_rows(memory_workspace, pipeline_id="ocr", source="night")
    assert shown(controls) == both[:10]
    assert chips(controls)[0] == f"✓ all {len(both)}"
    assert (bar.pipeline_list.label, bar.source_list.label) == ("ocr", "night")
    bar.pipeline_list.value = ""
    assert shown(controls) == plain_rows(memory_workspace, source="night")[:10]


@pytest.mark.usefixtures("front_end")
def test_list_with_one_name_takes_no_room(memory_workspace: Workspace) -> None:
    seed(memory_workspace, 1)
    made = job_table()
    made._ipython_display_()
    assert made._controls is not None
    assert made._controls.filters.pipeline_list.layout.display == "none"
    with memory_workspace.database.transaction() as connection:
        connection.execute(
            "INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at)"
            " VALUES (uuid(), 'pending', 'a<b>', 'x', now()::TIMESTAMP, now()::TIMESTAMP)"
        ).fetchall()
    made.refresh()
    assert made._controls.filters.pipeline_list.layout.display is None
    assert ("a<b>", "a<b>") in made._controls.filters.pipeline_list.options


@pytest.mark.parametrize("sort", [name for name in SORTS if name != "registered"])
def test_heading_sorts_up_then_down_then_by_registering_again(
    controls: JobControls, memory_workspace: Workspace, sort: str
) -> None:
    heading = controls.rows.headings[sort]
    name = heading.description
    controls.pager.number_box.value = 3
    heading.click()
    assert (heading.description, controls.page.query.number) == (f"{name} ▲", 1)
    key = {
        "input": "input_path",
        "pipeline": "pipeline_id",
        "took": "if(status = 'running', INTERVAL 900 YEAR, finished_at - started_at)",
        "changed": "updated_at",
    }.get(sort, sort)
    for mark, order in (("▲", "ASC"), ("▼", "DESC")):
        with memory_workspace.database.reading() as cursor:
            expected = cursor.execute(
                f"SELECT input_path FROM jobs ORDER BY {key} {order} NULLS LAST, position NULLS LAST, created_at"
                " LIMIT 10"
            ).fetchall()
        assert heading.description == f"{name} {mark}"
        assert [(path,) for path in shown(controls)] == expected
        heading.click()
    assert heading.description == name
    assert shown(controls) == plain_rows(memory_workspace)[:10]


# --- open rows -------------------------------------------------------------------------------------


def open_lines(controls: JobControls) -> list[int]:
    return [
        number
        for number, line in enumerate(controls.rows.lines)
        if line.details.layout.display != "none"
    ]


def test_opener_shows_the_details_below_the_row_and_hides_them_again(controls: JobControls) -> None:
    line = controls.rows.lines[2]
    assert open_lines(controls) == []
    line.opener.click()
    assert open_lines(controls) == [2]
    assert line.opener.description == "▾"
    assert "Attempts" in line.details.value
    children = controls.rows.root.children
    assert children.index(line.details) == children.index(line.cells) + 1
    line.opener.click()
    assert open_lines(controls) == []
    assert (line.opener.description, line.details.value) == ("▸", "")


def test_open_row_stays_open_and_unchanged_while_its_job_does(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    first, second = controls.rows.lines[:2]
    first.opener.click()
    second.opener.click()
    first.details.value = second.details.value = "unfolded by the reader"
    with memory_workspace.database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET attempts = 7 WHERE job_id = $id", {"id": second.job_id}
        ).fetchall()
    controls.refresh()
    assert open_lines(controls) == [0, 1]
    assert first.details.value == "unfolded by the reader"
    assert second.details.value != "unfolded by the reader"


def test_open_row_is_closed_with_its_page(controls: JobControls) -> None:
    controls.rows.lines[0].opener.click()
    controls.pager.forward_button.click()
    assert open_lines(controls) == []
    controls.pager.back_button.click()
    assert open_lines(controls) == []


def test_details_that_cannot_be_read_say_why_in_their_row(
    controls: JobControls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_job_id: str) -> str:
        raise ZeroDivisionError(EVIL)

    monkeypatch.setattr(controls._jobs, "describe", fail)
    line = controls.rows.lines[0]
    line.opener.click()
    assert "The job could not be read: ZeroDivisionError: &lt;img" in line.details.value
    assert controls.message.value == ""


def test_details_of_a_job_that_is_gone_say_so(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    with memory_workspace.database.transaction() as connection:
        connection.execute("DELETE FROM jobs").fetchall()
    controls.rows.lines[0].opener.click()
    assert "not in the ledger any more; press Refresh" in controls.rows.lines[0].details.value


# --- retry -----------------------------------------------------------------------------------------


def retry_labels(controls: JobControls) -> list[str]:
    bar = controls.retries
    buttons = (bar.selected_button, bar.filtered_button, bar.failed_button)
    return [
        f"{one.description}{' off' if one.disabled else ''}"
        for one in buttons
        if one.layout.display != "none"
    ]


def pending(workspace: Workspace) -> set[str]:
    with workspace.database.reading() as cursor:
        rows = cursor.execute("SELECT input_path FROM jobs WHERE status = 'pending'").fetchall()
    return {path for (path,) in rows}


def test_ticks_select_over_pages_and_retry_takes_those_alone(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    before = pending(memory_workspace)
    assert retry_labels(controls) == ["Retry selected 0 off", "Retry all failed 12"]
    rows = dict(zip(shown(controls), controls.rows.lines, strict=False))
    rows["clip-001.mp4"].tick.value = True  # failed
    rows["clip-002.mp4"].tick.value = True  # completed
    controls.pager.forward_button.click()
    assert [line.tick.value for line in controls.rows.lines] == [False] * 10
    rows = dict(zip(shown(controls), controls.rows.lines, strict=False))
    rows["clip-011.mp4"].tick.value = True
    rows["clip-012.mp4"].tick.value = True
    rows["clip-012.mp4"].tick.value = False
    assert retry_labels(controls)[0] == "Retry selected 3"
    controls.pager.back_button.click()
    assert [line.tick.value for line in controls.rows.lines][:3] == [True, True, False]
    controls.retries.selected_button.click()
    assert pending(memory_workspace) - before == {"clip-001.mp4", "clip-002.mp4", "clip-011.mp4"}
    assert "3 jobs are pending again; run_jobs()" in controls.message.value
    assert 'role="status"' in controls.message.value
    assert retry_labels(controls)[0] == "Retry selected 0 off"
    assert [line.tick.value for line in controls.rows.lines] == [False] * 10


def test_pending_and_running_jobs_cannot_be_selected(controls: JobControls) -> None:
    off = [line.tick.disabled for line in controls.rows.lines]
    statuses = [row.status for row in controls.page.rows]
    assert off == [one in (JobStatus.pending, JobStatus.running) for one in statuses]
    assert any(off)
    assert not all(off)


def test_tick_of_the_headings_selects_the_page(controls: JobControls) -> None:
    all_rows = controls.rows.tick_all
    all_rows.value = True
    finished = [not line.tick.disabled for line in controls.rows.lines]
    assert [line.tick.value for line in controls.rows.lines] == finished
    assert retry_labels(controls)[0] == f"Retry selected {sum(finished)}"
    controls.rows.lines[finished.index(True)].tick.value = False
    assert not all_rows.value
    controls.rows.lines[finished.index(True)].tick.value = True
    assert all_rows.value
    all_rows.value = False
    assert retry_labels(controls)[0] == "Retry selected 0 off"


def test_retry_filtered_takes_failed_jobs_of_all_pages_that_pass(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    before = pending(memory_workspace)
    controls.filters.search_box.value = "clip-01"
    controls.filters.source_list.value = "night"
    assert retry_labels(controls) == [
        "Retry selected 0 off",
        "Retry filtered 1",
        "Retry all failed 6",
    ]
    controls.retries.filtered_button.click()
    assert pending(memory_workspace) - before == {"clip-016.mp4"}
    assert "1 job is pending again" in controls.message.value


def test_retry_filtered_takes_completed_jobs_when_their_chip_is_pressed(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    controls.filters.chips[JobStatus.completed].value = True
    controls.filters.chips[JobStatus.running].value = True
    assert retry_labels(controls)[1] == "Retry filtered 23"
    before = pending(memory_workspace)
    controls.retries.filtered_button.click()
    assert pending(memory_workspace) == before, "their results would be hidden: it asks first"
    assert retry_labels(controls)[1] == "Press again to redo 23 completed"
    controls.refresh()
    assert retry_labels(controls)[1] == "Press again to redo 23 completed"
    controls.filters.search_box.value = "clip"
    assert retry_labels(controls)[1] == "Retry filtered 23", "another filter asks anew"
    controls.retries.filtered_button.click()
    controls.retries.filtered_button.click()
    with memory_workspace.database.reading() as cursor:
        counts = dict(
            cursor.execute("SELECT status::VARCHAR, count(*) FROM jobs GROUP BY 1").fetchall()
        )
    assert counts == {"pending": 34, "running": 11, "failed": 12}


def test_nothing_to_retry_among_pending_jobs(controls: JobControls) -> None:
    controls.filters.chips[JobStatus.pending].value = True
    assert retry_labels(controls)[1:] == ["Retry filtered 0 off", "Retry all failed 12"]


def test_retry_all_failed_keeps_to_pipeline_and_source(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    controls.filters.pipeline_list.value = "ocr"
    controls.filters.search_box.value = "nothing has this"
    failed = plain_rows(memory_workspace, pipeline_id="ocr", statuses=(JobStatus.failed,))
    before = pending(memory_workspace)
    assert retry_labels(controls)[2] == f"Retry all failed {len(failed)}"
    controls.retries.failed_button.click()
    assert pending(memory_workspace) - before == set(failed)
    assert retry_labels(controls)[2] == "Retry all failed 0 off"


def test_selection_is_cleared_over_all_pages(controls: JobControls) -> None:
    assert controls.retries.clear_button.layout.display == "none"
    controls.rows.tick_all.value = True
    controls.pager.forward_button.click()
    controls.rows.tick_all.value = True
    assert controls.retries.clear_button.layout.display is None
    controls.retries.clear_button.click()
    assert retry_labels(controls)[0] == "Retry selected 0 off"
    controls.pager.back_button.click()
    assert not any(line.tick.value for line in controls.rows.lines)


def test_job_that_was_retried_elsewhere_is_selected_no_more(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    controls.rows.lines[0].tick.value = True
    with memory_workspace.database.transaction() as connection:
        connection.execute("UPDATE jobs SET status = 'pending' WHERE status = 'failed'").fetchall()
    controls.filters.refresh_button.click()
    assert retry_labels(controls) == ["Retry selected 0 off", "Retry all failed 0 off"]


# --- a run meanwhile -------------------------------------------------------------------------------


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def test_table_follows_a_run_and_the_plain_one_its_end(
    controls: JobControls,
    memory_workspace: Workspace,
    front_end: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = uuid.uuid4()
    memory_workspace.enter(run_id)
    with memory_workspace.database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET status = 'completed' WHERE status = 'running'"
        ).fetchall()
    wait_until(lambda: chips(controls)[2:4] == ["running 0", "completed 34"])
    assert front_end.updates == []
    with memory_workspace.database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET status = 'completed' WHERE status = 'pending'"
        ).fetchall()
    memory_workspace.leave(run_id)
    wait_until(lambda: bool(front_end.updates))
    assert "45 completed" in front_end.updates[-1]["text/plain"]
    wait_until(lambda: "foregsyte-tick" not in {thread.name for thread in threading.enumerate()})


def test_refresh_during_a_run_takes_nothing_from_the_reader(controls: JobControls) -> None:
    controls.filters.chips[JobStatus.failed].value = True
    controls.rows.lines[0].tick.value = True
    controls.rows.lines[0].opener.click()
    controls.rows.headings["input"].click()
    query, ticked = controls.page.query, [line.tick.value for line in controls.rows.lines]
    controls.refresh()
    assert controls.page.query == query
    assert [line.tick.value for line in controls.rows.lines] == ticked
    assert open_lines(controls) == [0]


def test_page_that_was_asked_for_meanwhile_wins_over_a_refresh(
    controls: JobControls, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = controls._jobs.load

    def slow(query: PageQuery) -> JobPage:
        monkeypatch.setattr(controls._jobs, "load", load)
        controls.pager.forward_button.click()
        return load(query)

    monkeypatch.setattr(controls._jobs, "load", slow)
    controls.refresh()
    assert (controls.page.query.number, controls.pager.number_box.value) == (2, 2)


def test_click_during_a_refresh_waits_and_is_not_lost(controls: JobControls) -> None:
    """A refresh during a run sets the same controls, in a thread of its own."""
    stop = threading.Event()

    def refresh() -> None:
        while not stop.is_set():
            controls.refresh()

    thread = threading.Thread(target=refresh)
    thread.start()
    try:
        for _ in range(50):
            for line in (controls.rows.lines[0], controls.rows.lines[1]):
                before = line.job_id in controls._selected
                line.tick.value = not before
                assert (line.job_id in controls._selected) != before
    finally:
        stop.set()
        thread.join()


def test_what_is_asked_of_the_table_object_is_what_is_shown(
    front_end: Published, memory_workspace: Workspace
) -> None:
    seed(memory_workspace)
    made = job_table(page_size=10)
    made._ipython_display_()
    assert made._controls is not None
    made._controls.filters.search_box.value = "clip-01"
    assert "shown: 1 to 10 of 10, with “clip-01”" in made.to_text()
    made.refresh()
    assert made._controls.filters.search_box.value == "clip-01"
    made.close()
    assert "with “clip-01”" in made.to_text()


@pytest.mark.usefixtures("front_end")
def test_live_table_has_two_hundred_rows_at_most(memory_workspace: Workspace) -> None:
    seed(memory_workspace, 300)
    made = job_table(page_size=250)
    assert len(made.to_text().splitlines()) > 250
    made._ipython_display_()
    assert made._controls is not None
    assert len(made._controls.rows.lines) == 200
    assert made._controls.pager.size_box.value == 200


def test_table_of_a_directory_that_is_opened_again_goes_on(
    workspace: Workspace, front_end: Published
) -> None:
    seed(workspace)
    made = job_table(page_size=10)
    made._ipython_display_()
    assert made._controls is not None
    workspace.close()
    made._controls.filters.refresh_button.click()
    assert "was closed; call bootstrap() again" in made._controls.message.value
    again = bootstrap()
    made._controls.filters.refresh_button.click()
    assert made._controls.message.value == ""
    run_id = uuid.uuid4()
    again.enter(run_id)
    again.leave(run_id)
    shown = len(front_end.updates)
    wait_until(lambda: len(front_end.updates) > shown)


def test_only_the_newest_views_stay_live(memory_workspace: Workspace, front_end: Published) -> None:
    seed(memory_workspace)
    made = [job_table() for _ in range(LIVE_VIEWS + 2)]
    for one in made:
        one._ipython_display_()
    assert [one._controls is None for one in made] == [True, True] + [False] * LIVE_VIEWS
    for one in made:
        one.close()


def test_cell_that_runs_again_closes_the_table_that_it_showed(
    memory_workspace: Workspace, front_end: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(memory_workspace)
    cells = iter([("a", "1"), ("a", "1"), ("b", "2"), ("a", "3")])
    monkeypatch.setattr(showing, "_cell", lambda: next(cells))
    made = [job_table() for _ in range(4)]
    for one in made:
        one._ipython_display_()
    assert [one._controls is None for one in made] == [True, True, False, False]
    for one in made:
        one.close()


@pytest.mark.usefixtures("front_end")
def test_closed_table_that_is_displayed_again_follows_runs_again(
    memory_workspace: Workspace,
) -> None:
    seed(memory_workspace)
    made = job_table()
    made._ipython_display_()
    made.close()
    made._ipython_display_()
    run_id = uuid.uuid4()
    memory_workspace.enter(run_id)
    assert "foregsyte-tick" in {thread.name for thread in threading.enumerate()}
    memory_workspace.leave(run_id)
    made.close()
    assert "foregsyte-tick" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.usefixtures("front_end")
def test_closing_during_a_run_leaves_no_thread_and_no_listener(memory_workspace: Workspace) -> None:
    run_id = uuid.uuid4()
    memory_workspace.enter(run_id)
    made = job_table()
    made._ipython_display_()
    assert "foregsyte-tick" in {thread.name for thread in threading.enumerate()}
    made.close()
    assert "foregsyte-tick" not in {thread.name for thread in threading.enumerate()}
    memory_workspace.leave(run_id)
    memory_workspace.enter(run_id)
    assert "foregsyte-tick" not in {thread.name for thread in threading.enumerate()}
    memory_workspace.leave(run_id)
