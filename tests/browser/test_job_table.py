"""The job table in JupyterLab, clicked in a real browser, and in the notebook that is saved then."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

TINY = Path(__file__).parents[1] / "fixtures" / "tiny.mp4"
EVIL = "<img src=x onerror=alert(1)>.mp4"
PATHS = sorted(
    [f"day-1/clip-{number:02}.mp4" for number in range(1, 13)]
    + [f"day-2/clip-{number:02}.mp4" for number in range(13, 25)]
    + ["day-1/clip-03-cut.mp4", "day-1/clip-08-notes.mp4", f"day-2/{EVIL}"]
)
BROKEN = [path for path in PATHS if re.search(r"cut|notes|<", path)]
PENDING = PATHS[24:]
CELLS = [
    "import foregsyte_kaggle as fk\n\nfk.bootstrap()",
    """fk.register_jobs("clips", "video_info", pattern="**/*.mp4")
fk.run_jobs("video_info", limit=24, executor="threads", progress=False)""",
    "table = fk.job_table(page_size=10)\ntable",
]
LIVE = ".jp-NotebookPanel .fk-live"
WAIT = 20_000


@dataclass
class Opened:
    """A notebook in the browser, and what its page complained of."""

    page: Any
    path: Path
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def command(self, name: str, options: dict[str, object] | None = None) -> None:
        """Start a command of JupyterLab."""
        script = "([name, options]) => void window.jupyterapp.commands.execute(name, options)"
        self.page.evaluate(script, [name, options or {}])

    def wait_for_kernel(self) -> None:
        # What is executed before this is lost now and then.
        self.page.wait_for_function("window.jupyterapp !== undefined")
        self.page.evaluate(
            """async () => {
                const context = window.jupyterapp.shell.currentWidget.context.sessionContext;
                await context.ready;
                await context.session.kernel.info;
            }"""
        )

    def run_code(self, code: str) -> None:
        """Run code in the kernel, beside the cells, and wait for its end."""
        self.page.evaluate(
            """code => window.jupyterapp.shell.currentWidget.context.sessionContext
                .session.kernel.requestExecute({code}).done.then(() => null)""",
            code,
        )

    def press(self, name: str) -> None:
        self.page.locator(LIVE).get_by_role("button", name=re.compile(name)).click()

    def expect(self, caption: str) -> None:
        """Wait until the live table has this caption."""
        exact = re.compile(f"^{re.escape(caption)}$")
        self.page.locator(f"{LIVE} caption", has_text=exact).wait_for(timeout=WAIT)

    def paths(self) -> list[str]:
        return [text.strip() for text in self.page.locator(f"{LIVE} .fk-path").all_inner_texts()]

    def statuses(self) -> list[str]:
        return self.page.locator(f"{LIVE} tbody .fk-badge").all_inner_texts()

    def chips(self) -> list[str]:
        return [text.strip() for text in self.page.locator(f"{LIVE} .fk-chip").all_inner_texts()]


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


def make_clips(folder: Path) -> None:
    for path in PATHS:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TINY, file)
    folder.joinpath("day-1/clip-03-cut.mp4").write_bytes(TINY.read_bytes()[:400])
    folder.joinpath("day-1/clip-08-notes.mp4").write_text("<script>alert(2)</script> of day 1")
    folder.joinpath("day-2", EVIL).write_text("<b onmouseover=alert(3)>")


def notebook_of(cells: list[str]) -> dict[str, Any]:
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    return {
        "cells": [{**empty, "id": f"c{n}", "source": text} for n, text in enumerate(cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def watch(page: Any, told: Opened) -> None:
    page.on("pageerror", lambda error: told.errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and told.errors.append(said.text))
    page.on("dialog", lambda asked: (told.dialogs.append(asked.message), asked.dismiss()))


def test_first_page_shows_counts_and_jobs_in_order(table: Opened, screenshots: Path) -> None:
    assert table.chips() == ["✓ all 27", "pending 3", "running 0", "completed 21", "failed 3"]
    assert table.paths() == PATHS[:10]
    assert [s for p, s in zip(table.paths(), table.statuses(), strict=True) if p in BROKEN] == [
        "failed",
        "failed",
    ]
    table.page.screenshot(path=screenshots / "lab-light.png")
    table.page.locator(LIVE).screenshot(path=screenshots / "job_table.png")


def test_pressed_statuses_filter_together_until_released(table: Opened) -> None:
    table.press("^failed")
    table.expect("Jobs 1 to 3 of 3: failed")
    assert table.paths() == BROKEN
    assert "✓ failed 3" in table.chips()
    table.press("^pending")
    table.expect("Jobs 1 to 6 of 6: pending or failed")
    assert table.paths() == sorted(BROKEN + PENDING)
    table.press("failed")
    table.expect("Jobs 1 to 3 of 3: pending")
    assert table.paths() == PENDING


def test_status_without_jobs_says_so(table: Opened) -> None:
    table.press("^running")
    table.page.locator(f"{LIVE} .fk-empty", has_text="No jobs: running.").wait_for(timeout=WAIT)


def test_pages_turn_forward_back_and_to_a_number(table: Opened) -> None:
    table.press("^Forward")
    table.expect("Jobs 11 to 20 of 27")
    assert table.paths() == PATHS[10:20]
    number = table.page.locator(f"{LIVE} input[type=number]")
    number.fill("3")
    number.press("Enter")
    table.expect("Jobs 21 to 27 of 27")
    assert table.paths() == PATHS[20:]
    assert table.page.locator(LIVE).get_by_role("button", name="Forward").is_disabled()
    table.press("^Back")
    table.expect("Jobs 11 to 20 of 27")


def test_page_size_changes_and_keeps_the_first_row_in_sight(table: Opened) -> None:
    size = table.page.locator(f"{LIVE} select")
    table.press("^Forward")
    table.expect("Jobs 11 to 20 of 27")
    size.select_option("20")
    table.expect("Jobs 1 to 20 of 27")
    assert table.paths() == PATHS[:20]
    size.select_option("10")
    table.expect("Jobs 1 to 10 of 27")


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
    table.run_code("table._workspace, kept = type('Gone', (), {}), table._workspace")
    try:
        table.press("^Forward")
        alert = table.page.locator(f"{LIVE} [role=alert]")
        alert.wait_for(timeout=WAIT)
        assert "The table could not be read" in alert.inner_text()
        assert table.paths() == PATHS[:10]
    finally:
        table.run_code("table._workspace = kept")
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
    for area in (LIVE, f"{LIVE} .fk-scroll"):
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


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the notebook as nbclient leaves it: with the state of its widgets."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("executed")
    make_clips(folder / "clips")
    made = nbformat.from_dict(notebook_of(CELLS))
    NotebookClient(made, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return str(nbformat.writes(made))


@pytest.mark.parametrize("template", ["lab", "classic"])
@pytest.mark.parametrize("saved_by", ["JupyterLab", "nbclient"])
def test_saved_notebook_shows_the_table_once(
    notebook: Opened,
    executed: str,
    browser: Any,
    tmp_path: Path,
    screenshots: Path,
    saved_by: str,
    template: str,
) -> None:
    """With the state of its widgets (nbclient) and without (JupyterLab), with scripts and without."""
    source = tmp_path / "saved.ipynb"
    if saved_by == "JupyterLab":
        notebook.press("^(✓ )?all")
        notebook.expect("Jobs 1 to 10 of 27")
        notebook.command("docmanager:save")
        notebook.page.locator(".jp-mod-dirty").wait_for(state="detached", timeout=WAIT)
        shutil.copy(notebook.path, source)
    else:
        source.write_text(executed)
    assert ("widgets" in json.loads(source.read_text())["metadata"]) == (saved_by == "nbclient")
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", f"--template={template}"]
    subprocess.run([*convert, str(source)], check=True, capture_output=True)
    for javascript in (False, True):
        context = browser.new_context(java_script_enabled=javascript, offline=True)
        page = context.new_page()
        told = Opened(page, source)
        watch(page, told)
        page.goto(source.with_suffix(".html").as_uri(), wait_until="domcontentloaded")
        shown = page.locator("table:visible", has_text="day-1/clip-01.mp4")
        assert shown.count() == 1
        assert shown.locator("caption").inner_text() == "Jobs 1 to 10 of 27"
        assert "27 jobs" in page.locator(".fk-saved .fk-counts").inner_text().replace("\n", " ")
        assert told.dialogs == []
        shown.screenshot(path=screenshots / f"saved-{saved_by}-{template}.png")
        context.close()


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_written_page_needs_nothing_beside_it(
    browser: Any, tmp_path: Path, screenshots: Path, scheme: str
) -> None:
    import foregsyte_kaggle as fk

    make_clips(tmp_path / "clips")
    fk.register_jobs("clips", "video_info", pattern="**/*.mp4")
    fk.run_jobs("video_info", limit=24, executor="inline", progress=False)
    path = fk.job_table().to_html(tmp_path / "jobs.html")
    page = browser.new_page(color_scheme=scheme, viewport={"width": 700, "height": 900})
    told = Opened(page, path)
    watch(page, told)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert [text.strip() for text in page.locator(".fk-path").all_inner_texts()] == PATHS[:20]
    assert page.evaluate("document.documentElement.scrollWidth <= 700")
    assert page.evaluate("document.querySelector('.fk-scroll').scrollWidth") <= 700
    page.screenshot(path=screenshots / f"page-{scheme}.png", full_page=True)
    assert low_contrasts(page, ".fk-jobs") == []
    assert told.errors == []
    assert told.dialogs == []
    page.close()


def test_page_with_rendered_widgets_shows_the_saved_table_alone(browser: Any) -> None:
    """Where a saved page's script rebuilds the live table, nobody answers its buttons."""
    from foregsyte_kaggle.widgets.html import style_to_html

    both = f'<div class="fk-live">live</div><div class="fk-saved">{style_to_html()}saved</div>'
    frames = {
        "nbconvert lab": f'<body class="jp-Notebook"><div class="jp-OutputArea">{both}</div></body>',
        "nbconvert classic": f'<body><div id="notebook-container">{both}</div></body>',
    }
    page = browser.new_page(java_script_enabled=False)
    for name, content in frames.items():
        page.set_content(f"<!doctype html>{content}")
        assert not page.locator(".fk-live").is_visible(), name
        assert page.locator(".fk-saved").is_visible(), name
    page.close()


def low_contrasts(page: Any, root: str) -> list[str]:
    """Return the texts under an element that stand out too little from what is behind them (WCAG AA: 4.5)."""
    found = page.evaluate(
        """root => {
            const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
            const over = (below, colour) => {
                canvas.fillStyle = `rgb(${below})`; canvas.fillRect(0, 0, 1, 1);
                canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
            };
            const light = colour => {
                const [r, g, b] = colour.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const bad = [];
            const walk = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
            while (walk.nextNode()) {
                const element = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
                if (!text || !element.checkVisibility() || element.closest('style, [disabled]')) continue;
                const chain = [];
                for (let one = element; one; one = one.parentElement) chain.unshift(one);
                const paint = (below, one) => over(below, getComputedStyle(one).backgroundColor);
                const behind = chain.reduce(paint, [255, 255, 255]);
                const [a, b] = [light(over(behind, getComputedStyle(element).color)), light(behind)];
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5) bad.push(`${text}: ${ratio.toFixed(2)}`);
            }
            return [...new Set(bad)];
        }""",
        root,
    )
    return list(found)
