"""A working folder on a small disk of its own, filled for real."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import archives, disk
from foregsyte_kaggle import workspace as workspaces
from foregsyte_kaggle.errors import ForegsyteError
from foregsyte_kaggle.surroundings import room

pytestmark = pytest.mark.integration

MEGABYTE = 1_000_000
NOTEBOOK = b'{"cells": []}' * 100_000


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Kaggle's working folder with 64 MB in place of 20 GB, and the notebook in it."""
    folder = tmp_path / "working"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0.0)
    monkeypatch.chdir(folder)
    (folder / "__notebook__.ipynb").write_bytes(NOTEBOOK)
    yield folder
    for left in list(workspaces.open_workspaces.values()):
        left.live_runs.clear()
        with contextlib.suppress(ForegsyteError):
            left.close()
    os.chdir(tmp_path)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def save_notebook(working: Path) -> None:
    """Write the notebook again, longer, as papermill does at the end."""
    (working / "__notebook__.ipynb").write_bytes(NOTEBOOK * 3)
    assert (working / "__notebook__.ipynb").stat().st_size == 3 * len(NOTEBOOK)


def add_jobs(number: int) -> None:
    @fk.pipeline("writes")
    def writes(name: str, job: fk.JobContext, megabytes: int = 4) -> dict[str, Any]:
        with job.output_path("a.bin").open("wb") as file:
            for _ in range(megabytes):
                time.sleep(0.01)  # no job so short that many travel together
                file.write(b"x" * 1_000_000)
        return {"name": name}

    fk.register_jobs(pd.DataFrame({"id": [str(n) for n in range(number)]}), "writes", name="ids")


@pytest.mark.parametrize("executor", ["inline", "threads", "processes"])
def test_run_ends_before_the_disk_is_full_and_the_notebook_can_be_saved(
    working: Path, executor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fk.bootstrap()
    add_jobs(50)
    run = fk.run_jobs("writes", executor=executor, workers=2, disk_reserve="24MB", progress=False)
    assert run.ended_by == "disk"
    assert run.completed > 0
    assert (run.failed, run.left) == (0, 50 - run.completed)
    assert "and 24.0 MB are kept free" in capsys.readouterr().out.splitlines()[-1]
    save_notebook(working)
    counted = fk.sql("SELECT status::VARCHAR AS status, count(*) AS jobs FROM jobs GROUP BY ALL")
    assert dict(zip(counted.status, counted.jobs, strict=True)) == {
        "completed": run.completed,
        "pending": run.left,
    }
    assert fk.sql("SELECT ended_by FROM runs").ended_by.tolist() == ["disk"]
    assert len(fk.results_frame("writes")) == run.completed
    # With room again, the next run goes on.
    shutil.rmtree(working / "data" / "outputs")
    go_on = fk.run_jobs("writes", executor="inline", limit=2, disk_reserve=None, progress=False)
    assert go_on.completed == 2


def test_reserve_of_kaggle_is_larger_than_this_disk_so_nothing_begins(working: Path) -> None:
    fk.bootstrap()
    add_jobs(3)
    run = fk.run_jobs("writes", executor="inline", progress=False)
    assert (run.ended_by, run.completed, run.left) == ("disk", 0, 3)
    save_notebook(working)


def test_without_a_reserve_jobs_fail_when_the_disk_is_full_and_nothing_recorded_is_lost(
    working: Path,
) -> None:
    fk.bootstrap()
    add_jobs(30)
    completed = 0
    try:
        run = fk.run_jobs("writes", executor="inline", disk_reserve=None, progress=False)
        assert run.failed > 0
        assert all("No space left" in message for _, message in run.failures.values())
        completed = run.completed
    except ForegsyteError as error:  # the ledger needed the last bytes
        assert "space" in str(error) or "full" in str(error)  # noqa: PT017
    assert (working / "__notebook__.ipynb").read_bytes() == NOTEBOOK
    shutil.rmtree(working / "data" / "outputs")
    fk.bootstrap().close()
    fk.bootstrap()
    assert (fk.jobs_frame(status="completed").shape[0]) >= completed
    fk.retry_jobs()
    again = fk.run_jobs("writes", executor="inline", limit=3, disk_reserve=None, progress=False)
    assert again.completed == 3


def test_packing_on_a_full_disk_changes_nothing(
    working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fk.bootstrap()
    add_jobs(50)
    fk.run_jobs("writes", executor="inline", disk_reserve="20MB", progress=False)
    before = fk.jobs_frame().output_path.dropna().tolist()
    with pytest.raises(fk.WorkspaceError, match="no room for the archive"):
        fk.pack_outputs()
    # As where the disk does not say how full it is; nothing is compressed, so it does not fit.
    monkeypatch.setattr(room, "disk_space", lambda _folder: None)
    monkeypatch.setattr(archives, "COMPRESSED", {".bin"})
    with pytest.raises(fk.WorkspaceError, match=r"cannot be packed: No space left .* goes on"):
        fk.pack_outputs()
    assert fk.jobs_frame().output_path.dropna().tolist() == before
    assert all(Path(path).stat().st_size == 4 * MEGABYTE for path in before)
    save_notebook(working)


@pytest.mark.usefixtures("workspace")
def test_end_of_a_run_on_kaggle_leaves_the_file_alone_complete(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    fk.pipeline("p")(lambda name: {"name": name})
    fk.register_jobs(pd.DataFrame({"id": ["a", "b"]}), "p", name="ids")
    assert fk.run_jobs("p", executor="inline", disk_reserve=None, progress=False).completed == 2
    copy = tmp_path / "copy.duckdb"
    # Without its log, and by another process, since a copy would take this one's lock away.
    subprocess.run(["cp", "data/foregsyte.duckdb", str(copy)], check=True)
    with duckdb.connect(str(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM results.p").fetchall() == [(2,)]
        assert connection.execute("SELECT ended_by FROM runs").fetchall() == [("finished",)]
