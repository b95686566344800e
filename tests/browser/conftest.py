"""A real JupyterLab on loopback and whichever Chromium is here, with nothing of the user's and nothing from outside.

Where one of them is missing the tests are skipped, by name; with ``FOREGSYTE_REQUIRE_BROWSER=1``, as in CI,
that is a failure.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
START_SECONDS = 60


@pytest.fixture(scope="session")
def chromium() -> str:
    """Give the path of Chromium, for Playwright's ``executable_path``."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    return path or miss(f"no browser, none of {', '.join(NAMES)}: install Debian's chromium")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """Give a headless Chromium; while Playwright is there, its event loop runs in the thread of all tests."""
    if importlib.util.find_spec("playwright") is None:
        miss("no playwright: install the extra 'browser'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, and the folder that it serves."""

    url: str
    folder: Path


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give a JupyterLab on a free port of loopback; its process is ended afterwards, and its kernels with it."""
    if importlib.util.find_spec("jupyterlab") is None:
        miss("no jupyterlab: install the extra 'browser'")
    home = tmp_path_factory.mktemp("lab-home")
    folder = tmp_path_factory.mktemp("lab")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    settings.joinpath("notification.jupyterlab-settings").write_text(json.dumps(quiet))
    environ = {name: value for name, value in os.environ.items() if "JUPYTER" not in name}
    environ |= {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    command += [f"--LabApp.user_settings_dir={home / 'settings'}"]
    log = home / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    try:
        yield Lab(wait_for_address(process, home / "runtime", log), folder)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Give the folder for pictures to look at; git ignores it."""
    folder = Path(__file__).with_name("screenshots")
    folder.mkdir(exist_ok=True)
    folder.joinpath(".gitignore").write_text("*\n")
    return folder


def wait_for_address(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait until the server says where it listens: the port was free for it to choose."""
    file = runtime / f"jpserver-{process.pid}.json"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and (text := file.read_text()):
            return str(json.loads(text)["url"])
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


def miss(advice: str) -> NoReturn:
    """Fail where a browser is required, else skip."""
    if os.environ.get("FOREGSYTE_REQUIRE_BROWSER") == "1":
        pytest.fail(advice)
    pytest.skip(advice)
