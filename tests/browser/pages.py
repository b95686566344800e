"""What the browser tests share: a folder of clips, a notebook over them, and a page that is watched."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        self.page.locator(f"{LIVE} .fk-range", has_text=exact).wait_for(timeout=WAIT)

    def paths(self) -> list[str]:
        return self.page.locator(f"{LIVE} .fk-path").evaluate_all(
            "paths => paths.map(path => path.innerText.replaceAll('\\n', ''))"
        )

    def expect_paths(self, paths: list[str]) -> None:
        """Wait until these are shown: what a click changes comes piece by piece."""
        until = time.monotonic() + WAIT / 1000
        while self.paths() != paths and time.monotonic() < until:
            self.page.wait_for_timeout(50)
        assert self.paths() == paths

    def statuses(self) -> list[str]:
        return self.page.locator(f"{LIVE} .fk-rows .fk-badge").all_inner_texts()

    def chips(self) -> list[str]:
        return [text.strip() for text in self.page.locator(f"{LIVE} .fk-chip").all_inner_texts()]


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
