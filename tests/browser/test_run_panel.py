"""A run in the background in JupyterLab: its panel and a table beside it, while it works and when it is stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import WAIT, Opened, low_contrasts, notebook_of, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

JOBS = 400
CELLS = [
    f"""import time
from pathlib import Path

import foregsyte_kaggle as fk

Path("queue").mkdir(exist_ok=True)
for number in range({JOBS}):
    Path(f"queue/{{number:03}}.txt").write_text("")


@fk.pipeline("waiting")
def waiting(path, job):
    steps = 60 if path.stem.endswith("3") else 3
    for step in range(steps):
        time.sleep(0.1)
        job.progress((step + 1) / steps)
    if path.stem.endswith("7"):
        raise ValueError("<img src=x onerror=alert(1)> ends with 7")
    return {{"waited": steps / 10}}


fk.bootstrap(Path.cwd() / "NAME")
fk.register_jobs("queue", "waiting", pattern="*.txt")""",
    "fk.job_table(page_size=10)",
    'run = fk.run_jobs("waiting", executor="threads", workers=4, background=True)',
]
PANEL = ".jp-NotebookPanel .fk-live-run"
TABLE = ".jp-NotebookPanel .fk-live:not(.fk-live-run)"


@pytest.fixture
def running(
    lab: Any, browser: Any, screenshots: Path, request: pytest.FixtureRequest
) -> Iterator[Opened]:
    """Give a notebook in which a run works beside its cells; the page may not complain meanwhile."""
    name = request.node.name
    path = lab.folder / f"{name}.ipynb"
    path.write_text(json.dumps(notebook_of([cell.replace("NAME", name) for cell in CELLS])))
    page = browser.new_page(viewport={"width": 1200, "height": 1300})
    opened = Opened(page, path)
    watch(page, opened)
    page.goto(f"{lab.url}lab/tree/{path.name}?reset")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)
    opened.wait_for_kernel()
    opened.command("application:toggle-left-area")
    opened.command("notebook:run-all-cells")
    try:
        page.locator(PANEL).wait_for(timeout=60_000)
    except Exception:
        page.screenshot(path=screenshots / "panel-not-shown.png")
        raise
    yield opened
    opened.run_code("fk.run_jobs  # the kernel answers")
    page.close()
    assert opened.errors == []
    assert opened.dialogs == [], "something of a row was run as a script"


def count(page: Any, where: str, status: str) -> int:
    """Return the number beside a status in the panel, or on its chip in the table."""
    kind = ".fk-counts .fk-" if where == PANEL else ".fk-chip.fk-"
    text = page.locator(f"{where} {kind}{status}").first.inner_text()
    return int(re.sub(r"\D", "", text))


def wait_for(page: Any, where: str, status: str, least: int) -> None:
    """Wait until there are so many jobs of a status."""
    kind = ".fk-counts .fk-" if where == PANEL else ".fk-chip.fk-"
    page.wait_for_function(
        "([where, least]) => +document.querySelector(where).innerText.replace(/\\D/g, '') >= least",
        arg=[f"{where} {kind}{status}", least],
        timeout=WAIT,
    )


def test_run_is_watched_and_stopped_beside_the_cells(running: Opened, screenshots: Path) -> None:
    page = running.page
    wait_for(page, PANEL, "completed", 5)
    seen = count(page, PANEL, "completed")
    wait_for(page, PANEL, "completed", seen + 5)
    wait_for(page, PANEL, "failed", 1)
    page.locator(f"{PANEL} .fk-failures", has_text="<img src=x").wait_for(timeout=WAIT)
    # The table above, shown before the run began, follows it too, with bars in the rows that run.
    wait_for(page, TABLE, "completed", 10)
    page.locator(TABLE).get_by_role("button", name=re.compile("^running")).click()
    page.locator(f"{TABLE} .fk-badge.fk-partly").first.wait_for(timeout=WAIT)
    page.screenshot(path=screenshots / "panel-running.png")
    assert low_contrasts(page, PANEL) == []
    page.locator(PANEL).get_by_role("button", name="Stop").click()
    page.locator(f"{PANEL} .fk-ended", has_text="stopped").wait_for(timeout=WAIT)
    assert page.locator(PANEL).get_by_role("button", name="Stop").is_disabled()
    page.locator(f"{TABLE} .fk-chip", has_text="running 0").wait_for(timeout=WAIT)
    done = count(page, PANEL, "completed")
    assert count(page, TABLE, "completed") == done
    assert count(page, TABLE, "pending") == JOBS - done - count(page, PANEL, "failed")
    page.screenshot(path=screenshots / "panel-stopped.png")


def test_panel_goes_on_while_a_cell_computes(running: Opened) -> None:
    page = running.page
    wait_for(page, PANEL, "completed", 1)
    page.evaluate(
        """() => { window.jupyterapp.shell.currentWidget.context.sessionContext
            .session.kernel.requestExecute({code: 'time.sleep(4)'}) }"""
    )
    seen = count(page, PANEL, "completed")
    wait_for(page, PANEL, "completed", seen + 10)
    running.run_code("run.stop()")
    page.locator(f"{PANEL} .fk-ended", has_text="stopped").wait_for(timeout=WAIT)
    failed = count(page, PANEL, "failed")
    page.locator(PANEL).get_by_role("button", name=f"Retry {failed} failed").click()
    page.locator(f"{PANEL} .fk-told", has_text="pending again").wait_for(timeout=WAIT)
    page.locator(TABLE).get_by_role("button", name="Refresh").click()
    page.locator(f"{TABLE} .fk-chip", has_text="failed 0").wait_for(timeout=WAIT)
