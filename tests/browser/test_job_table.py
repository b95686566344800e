"""The job table in JupyterLab, clicked by a browser, and in the notebook that is saved then."""

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
CELLS = [
    "import foregsyte_kaggle as fk\nfk.bootstrap()",
    "fk.register_jobs('clips', 'video_info', pattern='**/*.mp4')\n"
    "fk.run_jobs('video_info', executor='threads', progress=False)",
    "table = fk.job_table(page_size=10)\ntable",
]
LIVE = ".jp-NotebookPanel .fk-live"


@dataclass
class Opened:
    """A notebook in the browser, and what its page complained of."""

    page: Any
    path: Path
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def run(self, command: str, arguments: dict[str, object] | None = None) -> None:
        """Execute a command of JupyterLab and wait for it."""
        self.page.evaluate(
            "([command, options]) => window.jupyterapp.commands.execute(command, options).then(() => {})",
            [command, arguments or {}],
        )

    def paths(self) -> list[str]:
        """Return the input paths that the live table shows."""
        return [text.strip() for text in self.page.locator(f"{LIVE} .fk-path").all_inner_texts()]

    def statuses(self) -> list[str]:
        return self.page.locator(f"{LIVE} tbody .fk-badge").all_inner_texts()

    def press(self, name: str) -> None:
        self.page.locator(LIVE).get_by_role("button", name=re.compile(name)).click()

    def expect_caption(self, text: str) -> None:
        self.page.locator(f"{LIVE} caption", has_text=text).wait_for(timeout=10_000)


@pytest.fixture(scope="module")
def opened(lab: Any, browser: Any, screenshots: Path) -> Iterator[Opened]:
    """Give a notebook that ran 27 jobs on real clips, of which 3 cannot be read, and shows their table."""
    clips = lab.folder / "clips"
    (clips / "day 1").mkdir(parents=True)
    for number in range(1, 25):
        shutil.copy(TINY, clips / "day 1" / f"clip-{number:02}.mp4")
    clips.joinpath("truncated.mp4").write_bytes(TINY.read_bytes()[:400])
    clips.joinpath("text.mp4").write_text("not a video")
    clips.joinpath(EVIL).write_text("<script>alert(2)</script>")
    path = lab.folder / "table.ipynb"
    write_notebook(path)
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    made = Opened(page, path)
    page.on("pageerror", lambda error: made.errors.append(str(error)))
    page.on(
        "console", lambda said: made.errors.append(said.text) if said.type == "error" else None
    )
    page.on("dialog", lambda dialog: (made.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"{lab.url}lab/tree/{path.name}?reset")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)
    page.wait_for_function("window.jupyterapp !== undefined")
    made.run("application:toggle-left-area")
    page.wait_for_timeout(3000)
    print("RUN", page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells').then(x => String(x), x => 'ERR'+x)"), made.errors)
    try:
        page.locator(f"{LIVE} caption").wait_for(timeout=20_000)
    except Exception:
        print(page.evaluate("document.querySelectorAll('.jp-OutputArea-output').length"), made.errors)
        print(page.locator(".jp-OutputArea").all_inner_texts())
        page.screenshot(path=screenshots / "not-shown.png", timeout=5000)
        raise
    yield made
    made.run("docmanager:save")
    page.close()


def write_notebook(path: Path) -> None:
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))


def test_explore(opened: Opened, screenshots: Path) -> None:
    page = opened.page
    page.wait_for_timeout(1500)
    page.screenshot(path=screenshots / "lab-light.png")
    print(opened.paths(), opened.errors, opened.dialogs)
    opened.press("failed")
    opened.expect_caption("failed")
    page.screenshot(path=screenshots / "lab-failed.png")
    opened.run("apputils:change-theme", {"theme": "JupyterLab Dark"})
    page.wait_for_timeout(1500)
    page.screenshot(path=screenshots / "lab-dark.png")
    print(opened.errors)
