"""The job table in pages that nobody answers any more: notebooks saved as HTML, and the file that it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import CELLS, PATHS, Opened, low_contrasts, make_clips, notebook_of, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


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
@pytest.mark.parametrize("state", ["with widget state", "without"])
def test_saved_notebook_shows_the_table_once(
    executed: str, browser: Any, tmp_path: Path, screenshots: Path, state: str, template: str
) -> None:
    """By whichever nbconvert is installed, with scripts and without."""
    source = tmp_path / "saved.ipynb"
    saved = json.loads(executed)
    assert "widgets" in saved["metadata"]
    if state == "without":  # as JupyterLab saves it by default
        del saved["metadata"]["widgets"]
    source.write_text(json.dumps(saved))
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
        shown.screenshot(path=screenshots / f"saved-{state}-{template}.png")
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
