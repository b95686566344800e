"""The run panel in a real kernel: clicks come as the front end sends them, beside cells and without them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_job_table_in_kernel import (
    COUNT_COMMS,
    WIDGET_VIEW,
    bundles,
    environment,
    run_notebook,
    to_page,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("begun"),
    pytest.mark.timeout(300),
]

SETUP = """
import threading, time
from pathlib import Path
import foregsyte_kaggle as fk

@fk.pipeline("p")
def p(path):
    folder = path.parent.parent
    if path.stem == "0":
        raise ValueError("0 is bad")
    while not (folder / f"go on {path.stem}").exists():
        time.sleep(0.01)

Path("inputs").mkdir()
for number in range(4):
    Path("inputs", f"{number}.txt").touch()
fk.bootstrap()
fk.register_jobs("inputs", "p");
"""
BEGIN = "run = fk.run_jobs('p', executor='threads', workers=4, background=True)"
PANEL = """
panel = fk.run_panel(run)
controls = panel._controls
print(controls.stop_button.model_id, controls.retry_button.model_id)
"""
SHOWN_TEXT = "run of p: 3 completed, 1 failed\n  1 x ValueError: 0 is bad\n  finished"


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.01)


def click(kernel: Any, model_id: str) -> str:
    """Send what a front end sends when a button is pressed; return the message's id."""
    content = {"method": "custom", "content": {"event": "click"}}
    client = kernel.client
    message = client.session.msg("comm_msg", {"comm_id": model_id, "data": content})
    client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def updates(kernel: Any, model_id: str, name: str) -> Callable[[Callable[[Any], bool]], Any]:
    """Return what waits for an update of a widget's trait that is as wanted, in the order of their coming."""

    def wait(wanted: Callable[[Any], bool]) -> Any:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            message = kernel.client.get_iopub_msg(timeout=60)
            content = message["content"]
            if message["msg_type"] == "comm_msg" and content["comm_id"] == model_id:
                value = content["data"].get("state", {}).get(name)
                if value is not None and wanted(value):
                    return value
        raise AssertionError(f"no such update of {name} in 60 s")

    return wait


@pytest.fixture
def kernel(real_kernel: Any) -> Any:
    """A kernel with a background run: one job failed, three wait for files, and a worker is free."""
    real_kernel.run(SETUP)
    real_kernel.run(BEGIN)
    real_kernel.run("while not (run.failed and run.load.jobs == 3): time.sleep(0.01)")
    return real_kernel


def test_panel_is_shown_in_place_of_the_bar_and_the_end_is_printed(kernel: Any) -> None:
    assert kernel.run("print('tqdm' in {*__import__('sys').modules})") == "False\n"
    kernel.run("for n in (1, 2, 3): Path(f'go on {n}').touch()")
    printed = kernel.run("run.wait(); time.sleep(0.2); print(fk.run_panel(run))")
    assert "foregsyte: p: 3 completed, 1 failed" in printed
    assert printed.endswith(SHOWN_TEXT + "\n")


def test_clicks_act_in_an_idle_kernel_beside_the_run(kernel: Any) -> None:
    """Nothing is executed from the first click to the stop: the messages alone make it happen."""
    stop, retry = kernel.run(PANEL + "panel.refresh()").split()
    wait = updates(kernel, retry, "description")
    click(kernel, retry)
    wait(lambda label: label == "Retry failed")
    wait(lambda label: label == "Retry 1 failed")  # the run took it up, and it failed again
    wait = updates(kernel, stop, "description")
    click(kernel, stop)
    wait(lambda label: label == "Stopping…")
    wait(lambda label: label == "Stop")
    kernel.run("run.wait()")  # until it told its end
    assert kernel.run("print(run.ended_by, run.failed)") == "stopped 2\n"
    assert kernel.run("print(*fk.attempts_frame().outcome)").split().count("failed") == 2


def test_panel_updates_while_a_cell_computes_and_says_that_clicks_wait(kernel: Any) -> None:
    stop, _ = kernel.run(PANEL).split()
    progress = kernel.run("print(controls.progress.model_id)").strip()
    cell = kernel.begin(
        "Path('cell computes').touch()\n"
        "while not Path('cell may end').exists(): time.sleep(0.01)\n"
        "print(run.is_stopping, controls.note.value)"
    )
    until(Path("cell computes").exists, "the cell")
    click(kernel, stop)
    Path("go on 1").touch()
    updates(kernel, progress, "value")(lambda value: "completed <b>1</b>" in value)
    Path("cell may end").touch()
    printed, error = kernel.end(cell)
    assert (printed[:6], error) == ("False ", ""), "the click waited for the end of the cell"
    assert "the buttons act when it ends" in printed
    kernel.run("run.wait(60)")
    assert kernel.run("print(run.ended_by, controls.note.value == '')") == "stopped True\n"


def test_note_goes_when_the_cell_ends(kernel: Any) -> None:
    kernel.run(PANEL)
    note = kernel.run("print(controls.note.model_id)").strip()
    kernel.run("while not controls.note.value: time.sleep(0.01)")
    updates(kernel, note, "value")(lambda value: not value)
    kernel.run("run.stop()")


def test_closed_panel_leaves_no_comm_no_thread_and_no_listener(real_kernel: Any) -> None:
    real_kernel.run(SETUP)
    real_kernel.run(COUNT_COMMS)
    state = (
        "def state(): return comms(), threading.active_count(),"
        " sum(map(len, get_ipython().events.callbacks.values()))"
    )
    real_kernel.run(state)
    real_kernel.run(BEGIN.replace(")", ", progress=False)"))
    real_kernel.run("while not (run.failed and run.load.jobs == 3): time.sleep(0.01)")
    real_kernel.run("before = state()\ndisplay(fk.run_panel(run))\nmade = state()")
    assert real_kernel.run(
        "fk.run_panel(run).close(); print(state() == before, made > before)"
    ) == ("True True\n")
    real_kernel.run("run.stop()")


def test_batch_session_has_the_bar_and_no_widget(tmp_path: Path) -> None:
    go = "for n in (1, 2, 3): Path(f'go on {n}').touch()"
    session = {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "FOREGSYTE_SESSION_LIMIT": "10000h"}
    notebook = run_notebook(tmp_path, SETUP, go, BEGIN, "fk.run_panel(run)", **session)
    begun = notebook["cells"][2]["outputs"]
    printed = "".join("".join(out["text"]) for out in begun if "text" in out)
    assert "this run is in the foreground" in printed
    assert bundles(notebook["cells"][2]) == []
    assert "p: 100%" in printed, "a bar"
    (bundle,) = bundles(notebook["cells"][3])
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == SHOWN_TEXT


@pytest.mark.slow
def test_saved_notebook_shows_how_the_run_ended(tmp_path: Path) -> None:
    """With the state of its widgets in it, and however far the run was when it was shown."""
    go = "for n in (1, 2, 3): Path(f'go on {n}').touch()\nrun.wait();"
    notebook = run_notebook(tmp_path, SETUP, BEGIN, go)
    view, saved = bundles(notebook["cells"][1])
    assert WIDGET_VIEW in view
    assert view["text/plain"] == ""
    assert saved["text/plain"] == SHOWN_TEXT
    assert "widgets" in notebook["metadata"]
    page = to_page(tmp_path).split('type="application/vnd.jupyter.widget-state+json"')[0]
    assert page.count("<dt>Took</dt>") == 1
    assert "0.txt" in page


def test_script_has_the_bar_and_never_loads_ipywidgets(tmp_path: Path) -> None:
    import sys

    script = SETUP + (
        "for n in (1, 2, 3): Path(f'go on {n}').touch()\n"
        f"{BEGIN}\nrun.wait()\nprint(fk.run_panel(run))\n"
        "print([name for name in ('ipywidgets', 'IPython') if name in __import__('sys').modules])\n"
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
    assert done.stdout.endswith(f"{SHOWN_TEXT}\n[]\n")
    assert "4/4" in done.stderr
    assert json.dumps(done.stdout).count("3 completed, 1 failed") == 2
