"""Fixtures that all tests share: ledgers, and a process that a test leaves as it found it."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from foregsyte_kaggle import database as databases
from foregsyte_kaggle import workspace as workspaces
from foregsyte_kaggle.database import LEDGER_FILE, Base
from foregsyte_kaggle.opening import bootstrap
from foregsyte_kaggle.registry import registered
from foregsyte_kaggle.testing import empty_ledger
from foregsyte_kaggle.testing import memory_workspace as in_memory
from foregsyte_kaggle.workspace import Workspace

ROOT = Path(__file__).parents[1]


def pytest_collection_finish() -> None:
    """Leave all that was imported and collected out of garbage collection: 7 % of the tests' time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def test_engine() -> Engine:
    engine = create_engine("duckdb:///:memory:", future=True)
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def session(test_engine: Engine) -> Iterator[Session]:
    Session = sessionmaker(bind=test_engine)
    s = Session()
    yield s
    s.close()


@pytest.fixture(autouse=True)
def isolation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take Kaggle's variables away, and undo what a test opened, registered or changed to."""
    for name in list(os.environ):
        if name.startswith("KAGGLE_") or name == "FOREGSYTE_SESSION_LIMIT":
            monkeypatch.delenv(name)
    folder, known = Path.cwd(), dict(registered._registered)
    yield
    os.chdir(folder)
    registered._registered.clear()
    registered._registered.update(known)
    for left in list(workspaces.open_workspaces.values()):
        left.live_runs.clear()
        left.close()
    for database in list(databases._registry.values()):
        database.close()
    workspaces.activate(None)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A new workspace in the current folder, with a ledger file."""
    monkeypatch.chdir(tmp_path)
    ledger = Path(LEDGER_FILE)
    ledger.parent.mkdir()
    shutil.copyfile(empty_ledger(), ledger)  # cheaper than the migrations
    return bootstrap()


@pytest.fixture
def memory_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A new workspace in the current folder, with a ledger in memory: fast, and gone afterwards."""
    monkeypatch.chdir(tmp_path)
    with in_memory(tmp_path) as made:
        yield made


@pytest.fixture
def persisted() -> Callable[[Path | None, str], list[tuple[Any, ...]]]:
    """Ask what a crash at this moment would leave: the rows that plain DuckDB finds.

    The function takes a ledger file, open or not, and a query. It reads a copy of the file and its
    write-ahead log, so the ledger itself is neither closed nor checkpointed.
    """
    return read_persisted


def read_persisted(path: Path | None, query: str) -> list[tuple[Any, ...]]:
    assert path is not None, "a ledger in memory leaves nothing"
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_files(path, Path(folder))
        with duckdb.connect(str(copy)) as connection:
            return connection.execute(query).fetchall()


def copy_files(path: Path, folder: Path) -> Path:
    """Copy a ledger, open or not, and its write-ahead log into a folder.

    Done by another process: the system takes a process's lock on a file away as soon as that process
    closes any descriptor of it.
    """
    log = path.with_name(path.name + ".wal")
    subprocess.run(["cp", path, *([log] if log.exists() else []), folder], check=True)
    return folder / path.name


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a process of its own, in the test's folder and with this checkout's package.

    The function takes the code and its arguments; it fails the test if the process ends with another
    status than ``status`` (0 by default; minus the signal for one that was killed).
    """

    def run(code: str, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def hold_ledger() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Let another process open the workspace of a folder and keep it, until it is sent a line."""
    holders: list[subprocess.Popen[str]] = []

    def hold(folder: Path) -> subprocess.Popen[str]:
        code = "import foregsyte_kaggle as fk, sys; fk.bootstrap(sys.argv[1]); print(); input()"
        holder = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout is not None
        while holder.stdout.readline() not in ("\n", ""):
            pass
        assert holder.poll() is None, "the process that should hold the ledger ended"
        return holder

    yield hold
    for holder in holders:
        if holder.poll() is None:
            holder.communicate("\n", timeout=60)
