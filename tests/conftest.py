"""Fixtures that all tests share: ledgers, and a process that a test leaves as it found it."""

from __future__ import annotations

import os
import subprocess
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
from foregsyte_kaggle.database import Base
from foregsyte_kaggle.opening import bootstrap
from foregsyte_kaggle.pipelines import registry
from foregsyte_kaggle.testing import memory_workspace as in_memory
from foregsyte_kaggle.workspace import Workspace


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
        if name.startswith("KAGGLE_"):
            monkeypatch.delenv(name)
    folder, known = Path.cwd(), dict(registry._registered)
    yield
    os.chdir(folder)
    registry._registered.clear()
    registry._registered.update(known)
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
