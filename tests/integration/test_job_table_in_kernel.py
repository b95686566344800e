"""The job table in a real kernel that nobody sits at, and in a plain script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("begun"),
    pytest.mark.timeout(300),
]

ROOT = Path(__file__).parents[2]
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TABLE = """\
jobs: 3 completed, 1 failed

status     input  pipeline    attempts  error
completed  a.txt  file_check         1
completed  b.txt  file_check         1
failed     c.txt  file_check         1  ValueError: c.txt is bad
completed  d.txt  file_check         1"""
SETUP = """
from pathlib import Path
import foregsyte_kaggle as fk

@fk.pipeline("file_check")
def file_check(path):
    if "bad" in path.read_text():
        raise ValueError(f"{path.name} is bad")
    return {"size": path.stat().st_size}

Path("inputs").mkdir()
for name in "abcd":
    Path("inputs", f"{name}.txt").write_text("bad" if name == "c" else "good")
fk.bootstrap()
fk.register_jobs("inputs", "file_check")
fk.run_jobs("file_check", executor="inline", progress=False)
"""
COUNT_COMMS = """
from ipywidgets.widgets import widget

def comms():
    return len(widget._instances if hasattr(widget, "_instances") else widget.Widget.widgets)
"""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        **variables,
    }


def run_notebook(folder: Path, *cells: str, **variables: str) -> dict[str, Any]:
    """Run cells as nbconvert does, with a kernel in the folder; return the notebook."""
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    content = {
        "cells": [{**empty, "id": f"c{n}", "source": text} for n, text in enumerate(cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    folder.joinpath("in.ipynb").write_text(json.dumps(content))
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "in.ipynb"]
    done = subprocess.run(
        [*command, "--output", "out.ipynb"],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(folder.joinpath("out.ipynb").read_text())
    return made


def bundles(cell: dict[str, Any]) -> list[dict[str, str]]:
    """Return what a cell displayed, with lines joined; ids of widgets left out."""
    return [
        {kind: "".join(data) for kind, data in output["data"].items()}
        for output in cell["outputs"]
        if "data" in output
    ]


def to_page(folder: Path) -> str:
    """Convert the notebook that was run to HTML; return its text."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "out.ipynb"]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True, capture_output=True)
    return folder.joinpath("out.html").read_text(encoding="utf-8")


def test_batch_session_gets_the_plain_table_alone(tmp_path: Path) -> None:
    session = {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "FOREGSYTE_SESSION_LIMIT": "10000h"}
    notebook = run_notebook(tmp_path, SETUP, "fk.job_table()", **session)
    (bundle,) = bundles(notebook["cells"][1])
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == TABLE
    assert "widgets" not in notebook["metadata"]
    assert to_page(tmp_path).count("<caption>Jobs 1 to 4 of 4</caption>") == 1


def test_kernel_without_a_person_leaves_a_page_with_the_table_once(tmp_path: Path) -> None:
    """With the state of its widgets in the notebook, where nbconvert drops HTML beside a widget's view."""
    notebook = run_notebook(tmp_path, SETUP, "fk.job_table()")
    view, saved = bundles(notebook["cells"][1])
    assert WIDGET_VIEW in view
    assert view["text/plain"] == ""
    assert saved["text/plain"] == TABLE
    assert "widgets" in notebook["metadata"]
    visible = to_page(tmp_path).split('type="application/vnd.jupyter.widget-state+json"')[0]
    assert visible.count("<caption>Jobs 1 to 4 of 4</caption>") == 1


@pytest.mark.slow
def test_outputs_are_the_same_in_every_run(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        notebook = run_notebook(folder, SETUP, "fk.job_table(status='failed')")
        texts.append([bundle["text/plain"] for bundle in bundles(notebook["cells"][1])])
    assert texts[0] == texts[1]


def test_closed_table_leaves_no_comm_and_no_thread(tmp_path: Path) -> None:
    check = """
import threading
before = comms(), threading.active_count()
table = fk.job_table()
display(table)
shown = comms()
table._controls.pager.forward_button.click()
table._controls.pager.number_box.value = 1
table.refresh()
table.close()
print(shown > before[0], (comms(), threading.active_count()) == before)
"""
    notebook = run_notebook(tmp_path, SETUP, COUNT_COMMS, check)
    printed = [out["text"] for out in notebook["cells"][2]["outputs"] if "text" in out]
    assert "".join(map("".join, printed)) == "True True\n"


def test_script_shows_the_table_and_never_loads_ipywidgets(tmp_path: Path) -> None:
    script = SETUP + (
        "print(fk.job_table())\n"
        "fk.job_table().to_html('jobs.html')\n"
        "import sys\n"
        "print([name for name in ('ipywidgets', 'IPython') if name in sys.modules])\n"
        "sys.stdout.flush()\n"
        "import os; os._exit(0)\n"
    )
    tmp_path.joinpath("script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert TABLE in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    assert tmp_path.joinpath("jobs.html").exists()
