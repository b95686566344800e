"""A table of two pipelines, long paths and outdated jobs; one whose kernel is gone; a notebook that is opened again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import LIVE, WAIT, Opened, notebook_of, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LONG = "/".join(f"folder-{n}-{'x' * 40}" for n in range(6)) + "/the-name.txt"
CELLS = [
    f"""from pathlib import Path

import foregsyte_kaggle as fk

for name in ("a.txt", "bad.txt", "{LONG}"):
    Path("odd", name).parent.mkdir(parents=True, exist_ok=True)
    Path("odd", name).write_text(name)


def check(path):
    if "a.txt" not in path.name:
        raise ValueError(f"{{path.name}} is not what it should be, and this is why")


fk.bootstrap("odd-ones")
fk.pipeline("checked", version="1")(check)
fk.register_jobs("odd", "checked", pattern="**/*.txt")
fk.register_jobs("odd", "file_info", pattern="*.txt")
fk.run_jobs("checked", executor="threads", progress=False)
fk.pipeline("checked", version="2")(check)""",
    "fk.job_table()",
]


@pytest.fixture(scope="module")
def notebook(lab: Any, browser: Any, screenshots: Path) -> Iterator[Opened]:
    path = lab.folder / "odd.ipynb"
    path.write_text(json.dumps(notebook_of(CELLS)))
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    opened = Opened(page, path)
    watch(page, opened)
    open_notebook(opened, lab.url)
    opened.command("notebook:run-all-cells")
    try:
        opened.expect("Jobs 1 to 5 of 5")
    except Exception:
        page.screenshot(path=screenshots / "odd-not-shown.png")
        raise
    page.screenshot(path=screenshots / "odd.png")
    yield opened
    page.close()


def open_notebook(opened: Opened, url: str) -> None:
    opened.page.goto(f"{url}lab/tree/{opened.path.name}?reset")
    opened.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)
    opened.wait_for_kernel()
    opened.command("application:toggle-left-area")


def test_lists_say_all_and_filter_and_say_all_again(notebook: Opened) -> None:
    pipelines = notebook.page.locator(LIVE).get_by_label("Pipeline")
    chosen = "list => list.selectedOptions[0]?.innerText"
    assert pipelines.evaluate(chosen) == "all"
    pipelines.select_option("file_info")
    notebook.expect("Jobs 1 to 2 of 2: pipeline file_info")
    pipelines.select_option("all")
    notebook.expect("Jobs 1 to 5 of 5")
    assert pipelines.evaluate(chosen) == "all"


def test_nothing_of_a_status_is_cut_and_the_end_of_a_path_is_seen(notebook: Opened) -> None:
    page = notebook.page
    assert page.locator(f"{LIVE} .fk-outdated").count() == 1
    for width in (1200, 850):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        for cell in page.locator(f"{LIVE} .fk-cell-status").all():
            assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth"), cell.inner_text()
        names = page.locator(f"{LIVE} .fk-file", has_text="the-name.txt")
        assert names.evaluate("name => name.scrollWidth <= name.clientWidth")
    page.set_viewport_size({"width": 1200, "height": 900})


def test_narrow_table_shows_paths_and_errors(notebook: Opened, screenshots: Path) -> None:
    page = notebook.page
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(300)
    page.screenshot(path=screenshots / "odd-narrow.png")
    for part in ("fk-path", "fk-why"):
        for one in page.locator(f"{LIVE} .fk-cell-input .{part}").all():
            needed = min(160, one.evaluate("one => one.scrollWidth"))
            assert one.bounding_box()["width"] >= needed, (part, one.inner_text())
    page.set_viewport_size({"width": 1200, "height": 900})


def test_dead_kernel_and_an_opened_notebook_show_the_saved_table(
    notebook: Opened, lab: Any, screenshots: Path
) -> None:
    page = notebook.page
    saved = page.locator(".jp-NotebookPanel .fk-saved")
    assert not saved.is_visible()
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.context.sessionContext.restartKernel()"
    )
    saved.wait_for(timeout=WAIT)
    assert not page.locator(LIVE).is_visible()
    notebook.command("docmanager:save")
    page.locator(".jp-mod-dirty").wait_for(state="detached", timeout=WAIT)
    open_notebook(notebook, lab.url)
    saved.wait_for(timeout=WAIT)
    page.screenshot(path=screenshots / "odd-opened-again.png")
    assert not page.get_by_text("Error displaying widget").is_visible()
    assert notebook.dialogs == []
