"""Kaggle, played with plain folders: read-only inputs in either layout, and a working folder for each version."""

from __future__ import annotations

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
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAYER = Path(__file__).with_name("play_version.py")


@dataclass
class Version:
    """A version of a notebook: its working folder, and how its process ended."""

    folder: Path
    status: int | None = None
    said: str = ""

    @property
    def ledger(self) -> Path:
        """The ledger that it left."""
        return self.folder / "data" / "foregsyte.duckdb"

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
    """

    folder: Path
    attached: dict[Path, Path] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        """What stands in for ``/kaggle/input``."""
        return self.folder / "input"

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
        kill_when: Callable[[Version], bool] | None = None,
        **variables: str,
    ) -> Version:
        """Save & Run All: a new working folder, the cells, the page; the inputs stay as they are.

        Parameters
        ----------
        kill_when
            Asked all the time; the whole session is killed once it says so.
        variables
            Set for the session.
        """
        version = Version(self.folder / f"version-{uuid.uuid4().hex[:8]}")
        version.folder.mkdir(parents=True)
        write_notebook(version.folder / "__notebook__.ipynb", cells)
        environ = self._environ(variables)
        before = contents(self.inputs)
        with open(self.folder / f"{version.folder.name}.log", "w+", encoding="utf-8") as log:
            player = subprocess.Popen(
                [sys.executable, str(PLAYER)],
                cwd=version.folder,
                env=environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                while player.poll() is None:
                    if kill_when is not None and kill_when(version):
                        break
                    time.sleep(0.05)
            finally:
                kill_session(environ["PLAYED_SESSION"])
            version.status = player.wait(timeout=30)
            log.seek(0)
            version.said = log.read()
        print(version.said)
        assert contents(self.inputs) == before, "a session wrote among its inputs"
        return version

    def _environ(self, variables: dict[str, str]) -> dict[str, str]:
        path = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        played = {
            "KAGGLE_KERNEL_RUN_TYPE": "Batch",
            "KAGGLE_CACHE_MOUNT_FOLDER": str(self.inputs),
            "PLAYED_SESSION": uuid.uuid4().hex,
            "PYTHONPATH": os.pathsep.join(path),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
        }
        kept = {name: value for name, value in os.environ.items() if name[:7] != "KAGGLE_"}
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
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # ended meanwhile, or somebody else's
            continue


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
        pytest.skip("a version is played by papermill, of the extra `test`")
    made = Kaggle(tmp_path_factory.mktemp("kaggle"))
    yield made
    make_writable(made.inputs)
