"""Kaggle, played: read-only inputs in either layout, and a small disk of its own as each version's working folder.

Without the right to mount, both are plain folders.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mounts import may_mount, miss, read_only, small_disk

ROOT = Path(__file__).parents[2]
PLAYER = Path(__file__).with_name("play_version.py")
LEDGER = "data/foregsyte.duckdb"
#: In place of Kaggle's 20 GB; a run leaves 500 MB of it free.
DISK_MEGABYTES = 640


@dataclass
class Version:
    """A version of a notebook: the output that was kept of it, and how its process ended."""

    folder: Path
    status: int | None = None

    @property
    def ledger(self) -> Path:
        """The ledger that it left."""
        return self.folder / LEDGER

    @property
    def page(self) -> str:
        """The saved page."""
        return (self.folder / "__results__.html").read_text(encoding="utf-8")

    @property
    def notebook(self) -> str:
        """The saved notebook."""
        return (self.folder / "__notebook__.ipynb").read_text(encoding="utf-8")


@dataclass
class Kaggle:
    """One user's Kaggle.

    Parameters
    ----------
    folder
        Where all of it is.
    may_mount
        Whether its folders are mounts, and not plain.
    """

    folder: Path
    may_mount: bool

    @property
    def inputs(self) -> Path:
        """What stands in for ``/kaggle/input``."""
        return self.folder / "input"

    @property
    def working(self) -> Path:
        """What stands in for ``/kaggle/working``; there while a version is played."""
        return self.folder / "working"

    def attach(self, layout: str, handles: dict[str, Path]) -> None:
        """Attach these inputs and no others, as ``datasets/owner/slug`` or ``notebooks/owner/slug``."""
        make_writable(self.inputs)
        shutil.rmtree(self.inputs, ignore_errors=True)
        self.inputs.mkdir(parents=True)
        for handle, source in handles.items():
            place = handle if layout == "new" else handle.split("/")[-1]
            shutil.copytree(source, self.inputs / place)
        for path in [*self.inputs.rglob("*"), self.inputs]:
            path.chmod(0o555 if path.is_dir() else 0o444)

    def play(
        self,
        cells: list[str],
        *,
        limit_seconds: float | None = None,
        ripe: Callable[[Path], bool] = lambda _ledger: True,
        **variables: str,
    ) -> Version:
        """Save & Run All: a new working folder, the cells, the page; what it leaves is kept.

        Parameters
        ----------
        limit_seconds
            So long after its start the whole session is killed.
        ripe
            Asked with the path of its ledger from then on: the limit is later on a machine so slow that the
            session has not come as far as this wants.
        variables
            Set for the session.
        """
        version = Version(self.folder / f"version-{uuid.uuid4().hex[:8]}")
        environ = self._environ(variables)
        log = self.folder / f"{version.folder.name}.log"
        before = contents(self.inputs)
        with self.mounted():
            write_notebook(self.working / "__notebook__.ipynb", cells)
            with log.open("w", encoding="utf-8") as said:
                player = subprocess.Popen(
                    [sys.executable, str(PLAYER)],
                    cwd=self.working,
                    env=environ,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                )
            limit = time.monotonic() + (float("inf") if limit_seconds is None else limit_seconds)
            ledger = self.working / LEDGER
            try:
                while player.poll() is None and not (time.monotonic() > limit and ripe(ledger)):
                    time.sleep(0.05)
            finally:
                kill_session(environ["PLAYED_SESSION"])
                version.status = player.wait(timeout=30)
                shutil.copytree(self.working, version.folder)
        print(log.read_text(encoding="utf-8"))
        assert contents(self.inputs) == before, "a session wrote among its inputs"
        return version

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """Have a new working folder, and nobody write to the inputs, for a while."""
        self.working.mkdir()
        with contextlib.ExitStack() as mounts:
            mounts.callback(shutil.rmtree, self.working)
            if self.may_mount:
                mounts.enter_context(read_only(self.inputs))
                mounts.enter_context(small_disk(self.working, DISK_MEGABYTES))
            yield

    def _environ(self, variables: dict[str, str]) -> dict[str, str]:
        path = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        played = {
            "KAGGLE_KERNEL_RUN_TYPE": "Batch",
            "KAGGLE_CACHE_MOUNT_FOLDER": str(self.inputs),
            "FOREGSYTE_SESSION_LIMIT": "10000h",  # this machine may be up for days
            "PLAYED_SESSION": uuid.uuid4().hex,
            "PYTHONPATH": os.pathsep.join(path),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
        }
        told = ("KAGGLE_", "FOREGSYTE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(told)}
        return {**kept, **played, **variables}


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of code cells."""
    code = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": cell,
        }
        for number, cell in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    made = {"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(made), encoding="utf-8")


def kill_session(token: str) -> None:
    """Kill every process of a session, at once and with no warning, as the end of a container does.

    The kernel and its workers are in process groups of their own, so they are told by their environment.
    """
    mine = f"PLAYED_SESSION={token}".encode()
    while found := [process for process in Path("/proc").glob("[0-9]*") if is_told(process, mine)]:
        for process in found:
            with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.01)


def is_told(process: Path, variable: bytes) -> bool:
    """Return whether a process, by its folder in ``/proc``, lives and has this in its environment."""
    try:
        return variable in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or somebody else's
        return False


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return all files and folders below a folder with what they hold."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def make_writable(folder: Path) -> None:
    """Undo what attaching did, so that the folder can be removed."""
    for path in [folder, *folder.rglob("*")] if folder.exists() else []:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kaggle]:
    """One Kaggle for the tests of a module, since each version takes seconds."""
    if importlib.util.find_spec("papermill") is None:
        miss("a version is played by papermill, of the extra `test`")
    made = Kaggle(tmp_path_factory.mktemp("kaggle"), may_mount())
    yield made
    make_writable(made.inputs)
