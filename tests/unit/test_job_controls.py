"""Every control of the live job table by its state, without a browser."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
import uuid
from collections.abc import Callable

import pytest

from foregsyte_kaggle import JobStatus, job_table
from foregsyte_kaggle.widgets.controls import JobControls
from foregsyte_kaggle.widgets.page import SORTS, JobPage, PageQuery
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
    jobs = controls._jobs

    def fail(_query: PageQuery) -> JobPage:
        raise ZeroDivisionError(EVIL)

    monkeypatch.setattr(controls, "_jobs", dataclasses.replace(jobs, load=fail))
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
    monkeypatch.setattr(controls, "_jobs", jobs)
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
        ("all", None),
        ("ocr", "ocr"),
        ("video_info", "video_info"),
    )
    assert bar.source_list.options == (("all", None), ("day", "day"), ("night", "night"))
    bar.pipeline_list.value = "ocr"
    assert shown(controls) == plain_rows(memory_workspace, pipeline_id="ocr")[:10]
    bar.source_list.value = "night"
    both = plain_rows(memory_workspace, pipeline_id="ocr", source="night")
    assert shown(controls) == both[:10]
    assert chips(controls)[0] == f"✓ all {len(both)}"
    bar.pipeline_list.value = None
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

    monkeypatch.setattr(controls, "_jobs", dataclasses.replace(controls._jobs, describe=fail))
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
    return [f"{one.description}{' off' if one.disabled else ''}" for one in buttons]


def pending(workspace: Workspace) -> set[str]:
    with workspace.database.reading() as cursor:
        rows = cursor.execute("SELECT input_path FROM jobs WHERE status = 'pending'").fetchall()
    return {path for (path,) in rows}


def test_ticks_select_over_pages_and_retry_takes_those_alone(
    controls: JobControls, memory_workspace: Workspace
) -> None:
    before = pending(memory_workspace)
    assert retry_labels(controls) == [
        "Retry selected 0 off",
        "Retry filtered 12",
        "Retry all failed 12",
    ]
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
    jobs = controls._jobs

    def slow(query: PageQuery) -> JobPage:
        page = jobs.load(query)
        monkeypatch.setattr(controls, "_jobs", jobs)
        controls.pager.forward_button.click()
        return page

    monkeypatch.setattr(controls, "_jobs", dataclasses.replace(jobs, load=slow))
    controls.refresh()
    assert (controls.page.query.number, controls.pager.number_box.value) == (2, 2)


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
