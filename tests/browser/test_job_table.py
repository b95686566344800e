"""The job table in JupyterLab, clicked in a real browser, and in the notebook that is saved then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import (
    BROKEN,
    CELLS,
    EVIL,
    LIVE,
    PATHS,
    PENDING,
    WAIT,
    Opened,
    low_contrasts,
    make_clips,
    notebook_of,
    watch,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def notebook(lab: Any, browser: Any, screenshots: Path) -> Iterator[Opened]:
    """Give a notebook that registered 27 clips, ran 24 of them, of which 3 cannot be read, and shows the table."""
    make_clips(lab.folder / "clips")
    path = lab.folder / "table.ipynb"
    path.write_text(json.dumps(notebook_of(CELLS)))
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    opened = Opened(page, path)
    watch(page, opened)
    page.goto(f"{lab.url}lab/tree/{path.name}?reset")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)
    opened.wait_for_kernel()
    opened.command("application:toggle-left-area")
    opened.command("notebook:run-all-cells")
    try:
        opened.expect("Jobs 1 to 10 of 27")
    except Exception:
        page.screenshot(path=screenshots / "not-shown.png")
        raise
    yield opened
    page.close()


@pytest.fixture
def table(notebook: Opened) -> Iterator[Opened]:
    """Give the notebook with its table on the first page of all jobs; the page must not complain meanwhile."""
    notebook.page.set_viewport_size({"width": 1200, "height": 1000})
    notebook.press("^(✓ )?all")
    notebook.expect("Jobs 1 to 10 of 27")
    yield notebook
    assert notebook.errors == []
    assert notebook.dialogs == [], "something of a row was run as a script"


def test_first_page_shows_counts_and_jobs_in_order(table: Opened, screenshots: Path) -> None:
    assert table.chips() == ["✓ all 27", "pending 3", "running 0", "completed 21", "failed 3"]
    table.expect_paths(PATHS[:10])
    assert [s for p, s in zip(table.paths(), table.statuses(), strict=True) if p in BROKEN] == [
        "failed",
        "failed",
    ]
    table.page.screenshot(path=screenshots / "lab-light.png")
    table.page.locator(LIVE).screenshot(path=screenshots / "job_table.png")


def test_pressed_statuses_filter_together_until_released(table: Opened) -> None:
    table.press("^failed")
    table.expect("Jobs 1 to 3 of 3: failed")
    table.expect_paths(BROKEN)
    assert "✓ failed 3" in table.chips()
    table.press("^pending")
    table.expect("Jobs 1 to 6 of 6: pending or failed")
    table.expect_paths(sorted(BROKEN + PENDING))
    table.press("^✓ failed")
    table.expect("Jobs 1 to 3 of 3: pending")
    table.expect_paths(PENDING)


def test_status_without_jobs_says_so(table: Opened) -> None:
    table.press("^running")
    table.page.locator(f"{LIVE} .fk-range", has_text="No jobs: running.").wait_for(timeout=WAIT)


def test_pages_turn_forward_back_and_to_a_number(table: Opened) -> None:
    table.press("^Forward")
    table.expect("Jobs 11 to 20 of 27")
    table.expect_paths(PATHS[10:20])
    number = table.page.locator(f"{LIVE} input[type=number]")
    number.fill("3")
    number.press("Enter")
    table.expect("Jobs 21 to 27 of 27")
    table.expect_paths(PATHS[20:])
    assert table.page.locator(LIVE).get_by_role("button", name="Forward").is_disabled()
    table.press("^Back")
    table.expect("Jobs 11 to 20 of 27")


def test_page_size_changes_and_keeps_the_first_row_in_sight(table: Opened) -> None:
    size = table.page.get_by_label("Rows a page")
    table.press("^Forward")
    table.expect("Jobs 11 to 20 of 27")
    size.select_option("20")
    table.expect("Jobs 1 to 20 of 27")
    table.expect_paths(PATHS[:20])
    size.select_option("10")
    table.expect("Jobs 1 to 10 of 27")


def test_search_finds_text_literally(table: Opened, screenshots: Path) -> None:
    box = table.page.locator(LIVE).get_by_label("Search")
    box.fill("<IMG src=x")
    box.press("Enter")
    table.expect("Jobs 1 to 1 of 1: with “<IMG src=x”")
    table.expect_paths([f"day-2/{EVIL}"])
    assert table.chips()[0] == "✓ all 1"
    box.fill("clip-0_")
    box.press("Enter")
    table.expect("No jobs: with “clip-0_”.")
    box.fill("")
    box.press("Enter")
    table.expect("Jobs 1 to 10 of 27")


def test_headings_sort(table: Opened) -> None:
    live = table.page.locator(LIVE)
    live.get_by_role("button", name="Input", exact=True).click()
    live.get_by_role("button", name="Input ▲").click()
    live.get_by_role("button", name="Input ▼").wait_for(timeout=WAIT)
    table.expect_paths(sorted(PATHS, reverse=True)[:10])
    live.get_by_role("button", name="Input ▼").click()
    live.get_by_role("button", name="Input", exact=True).wait_for(timeout=WAIT)
    table.expect_paths(PATHS[:10])


def test_row_opens_with_picture_result_and_attempts(table: Opened, screenshots: Path) -> None:
    live = table.page.locator(LIVE)
    table.press("^failed")
    table.expect("Jobs 1 to 3 of 3: failed")
    openers = live.locator(".fk-opener")
    openers.nth(0).click()
    opened = live.locator(".fk-opened:visible")
    opened.get_by_text("moov atom not found").first.wait_for(timeout=WAIT)
    assert "UnreadableVideoError" in opened.locator("pre:visible").first.inner_text()
    table.page.screenshot(path=screenshots / "lab-open-failed.png")
    openers.nth(0).click()
    opened.wait_for(state="detached", timeout=WAIT)
    table.press("^(✓ )?all")
    table.expect("Jobs 1 to 10 of 27")
    openers.nth(1).focus()
    table.page.keyboard.press("Enter")
    opened.locator("img").first.wait_for(timeout=WAIT)
    size = opened.locator("img").first.evaluate(
        "image => [image.naturalWidth, image.naturalHeight]"
    )
    assert size[0] > 0
    assert opened.locator("th", has_text="duration_seconds").count() == 1
    table.page.screenshot(path=screenshots / "lab-open.png")
    live.screenshot(path=screenshots / "job_table.png")
    openers.nth(1).click()


def test_ticked_job_is_retried(table: Opened) -> None:
    live = table.page.locator(LIVE)
    table.press("^failed")
    table.expect("Jobs 1 to 3 of 3: failed")
    live.get_by_label("Select row 2").check()
    table.press("^Retry selected 1$")
    live.get_by_text("1 job is pending again; run_jobs() runs what is pending").wait_for(
        timeout=WAIT
    )
    table.expect("Jobs 1 to 2 of 2: failed")
    assert not live.get_by_label("Select row 2").is_checked()
    table.press("^Retry all failed 2$")
    table.expect("No jobs: failed.")
    table.run_code("fk.run_jobs('video_info', limit=3, executor='threads', progress=False)")
    table.expect("Jobs 1 to 3 of 3: failed")


def test_keyboard_reaches_and_presses_the_controls(table: Opened) -> None:
    table.page.locator(f"{LIVE} .fk-chip").first.focus()
    for _ in range(4):
        table.page.keyboard.press("Tab")
    assert "failed" in table.page.evaluate("document.activeElement.innerText")
    table.page.keyboard.press("Space")
    table.expect("Jobs 1 to 3 of 3: failed")


def test_refresh_shows_what_changed_in_the_ledger(table: Opened) -> None:
    table.run_code("fk.retry_jobs('video_info')")
    assert table.chips()[-1] == "failed 3"
    table.press("^Refresh")
    table.page.locator(f"{LIVE} .fk-chip", has_text="failed 0").wait_for(timeout=WAIT)
    assert table.chips() == ["✓ all 27", "pending 6", "running 0", "completed 21", "failed 0"]
    table.run_code("fk.run_jobs('video_info', limit=3, executor='threads', progress=False)")
    table.run_code("table.refresh()")
    table.page.locator(f"{LIVE} .fk-chip", has_text="failed 3").wait_for(timeout=WAIT)


def test_error_in_a_callback_is_shown(table: Opened) -> None:
    table.run_code("table._source.load = lambda query: 1 / 0")
    try:
        table.press("^Forward")
        alert = table.page.locator(f"{LIVE} [role=alert]")
        alert.wait_for(timeout=WAIT)
        assert "The table could not be read" in alert.inner_text()
        table.expect_paths(PATHS[:10])
    finally:
        table.run_code("del table._source.load")
    table.press("^Refresh")
    alert.wait_for(state="detached", timeout=WAIT)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_everything_is_readable(table: Opened, screenshots: Path, theme: str) -> None:
    table.command("apputils:change-theme", {"theme": f"JupyterLab {theme}"})
    table.page.locator(f'body[data-jp-theme-name="JupyterLab {theme}"]').wait_for(
        state="attached", timeout=WAIT
    )
    table.page.wait_for_timeout(500)  # until its style sheet is in
    table.press("^Forward")
    table.expect("Jobs 11 to 20 of 27")
    table.page.screenshot(path=screenshots / f"lab-{theme.lower()}-2.png")
    assert low_contrasts(table.page, LIVE) == []


def test_narrow_notebook_needs_no_sideways_scrolling(table: Opened, screenshots: Path) -> None:
    table.page.set_viewport_size({"width": 850, "height": 1000})
    table.page.wait_for_timeout(300)
    width = table.page.locator(LIVE).evaluate("live => live.clientWidth")
    assert width <= 700
    for area in (LIVE, f"{LIVE} .fk-rows"):
        assert table.page.locator(area).evaluate("one => one.scrollWidth <= one.clientWidth"), area
    table.page.screenshot(path=screenshots / "lab-narrow.png")


def test_saved_table_hides_beside_the_live_one(table: Opened) -> None:
    assert table.page.locator(".jp-NotebookPanel .fk-saved").count() == 1
    assert not table.page.locator(".jp-NotebookPanel .fk-saved").is_visible()


def test_closed_table_leaves_the_saved_one(table: Opened) -> None:
    table.run_code("table.close()")
    table.page.locator(LIVE).wait_for(state="detached", timeout=WAIT)
    assert table.page.locator(".jp-NotebookPanel .fk-saved").is_visible()
    table.command("notebook:run-all-cells")
    table.expect("Jobs 1 to 10 of 27")


def test_notebook_saved_by_jupyterlab_holds_the_table(table: Opened, tmp_path: Path) -> None:
    table.command("docmanager:save")
    table.page.locator(".jp-mod-dirty").wait_for(state="detached", timeout=WAIT)
    saved = json.loads(table.path.read_text())
    assert "widgets" not in saved["metadata"]
    pages = [
        "".join(output["data"]["text/html"])
        for output in saved["cells"][2]["outputs"]
        if "text/html" in output["data"]
    ]
    assert len(pages) == 1
    assert "<caption>Jobs 1 to 10 of 27</caption>" in pages[0]
    assert PATHS[9].partition("/")[2] in pages[0]
