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
from foregsyte_kaggle.transfer import output_files
from tests.mounts import require_mount, small_disk

pytestmark = pytest.mark.integration

MEGABYTE = 1_000_000
NOTEBOOK = b'{"cells": []}' * 100_000


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Kaggle's working folder with 64 MB in place of 20 GB, and the notebook in it."""
    folder = tmp_path / "working"
    folder.mkdir()
    require_mount()
    with small_disk(folder, megabytes=64):
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
        monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "10000h")  # this machine may be up for days
        monkeypatch.setattr(disk, "LOOK_SECONDS", 0.0)
        monkeypatch.chdir(folder)
        (folder / "__notebook__.ipynb").write_bytes(NOTEBOOK)
        yield folder
        for left in list(workspaces.open_workspaces.values()):
            left.live_runs.clear()
            with contextlib.suppress(ForegsyteError):
                left.close()
        os.chdir(tmp_path)


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


def made_elsewhere(folder: Path, jobs: int, packed: bool = False) -> Path:
    """Play another notebook, on a disk with room: so many jobs with a file of 4 MB each."""
    workspace = fk.bootstrap(folder, resume=False)
    add_jobs(jobs)
    fk.run_jobs("writes", executor="inline", disk_reserve=None, progress=False)
    if packed:  # into a few kB
        fk.pack_outputs()
    workspace.close()
    return folder


def state(working: Path) -> tuple[int, list[Path]]:
    return shutil.disk_usage(working).free, sorted(working.rglob("*"))


@pytest.fixture
def reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 MB that are kept free in place of Kaggle's 500."""
    monkeypatch.setattr(room, "RESERVE_BYTES", 8 * MEGABYTE)


@pytest.mark.usefixtures("reserve")
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("jobs", [14, 7], ids=["more than is free", "into the reserve"])
def test_merging_more_files_than_there_is_room_for_is_refused_before_anything_is_written(
    tmp_path: Path, working: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, packed: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(room, "RESERVE_BYTES", 0)
        part = made_elsewhere(tmp_path / "part", jobs, packed)
    fk.bootstrap()
    (working / "large.bin").write_bytes(b"x" * 30 * MEGABYTE)
    before = state(working)
    needed = (
        f"{jobs * 4}\\.0 MB are needed beside the 8\\.0 MB that are kept free, and 3.* are free"
    )
    with pytest.raises(
        fk.LedgerError, match=f"no room for the output files .*{needed}.*merge again"
    ):
        fk.merge_ledgers([part])
    assert state(working) == before
    assert len(fk.jobs_frame()) == 0
    save_notebook(working)
    (working / "large.bin").unlink()
    if jobs == 7:
        merged = fk.merge_ledgers([part])
        assert (merged.files, merged.missing) == (7, [])
        assert all(
            Path(path).stat().st_size == 4 * MEGABYTE for path in fk.jobs_frame().output_path
        )
        free = shutil.disk_usage(working).free
        (working / "large.bin").write_bytes(b"x" * (free - 4 * MEGABYTE))
        assert fk.merge_ledgers([part]).files == 0, "what brings no files needs no room"


@pytest.mark.usefixtures("reserve")
def test_files_that_came_before_the_disk_was_full_are_removed_and_those_here_stay(
    tmp_path: Path, working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = made_elsewhere(working, 1)
    part = made_elsewhere(tmp_path / "part", 12)
    fk.bootstrap(own)
    (working / "large.bin").write_bytes(b"x" * 30 * MEGABYTE)
    before = state(working)
    with monkeypatch.context() as patch:
        patch.setattr(
            output_files, "missing_room", lambda *_: ""
        )  # as of a disk that does not tell
        with pytest.raises(
            fk.LedgerError, match=r"No space left on device.*part.* was not merged; free"
        ):
            fk.merge_ledgers([part])
    assert state(working) == before
    (here,) = fk.jobs_frame().output_path
    assert Path(here).stat().st_size == 4 * MEGABYTE
    (working / "large.bin").unlink()
    assert fk.merge_ledgers([part]).files == 12


@pytest.mark.parametrize("packed", [None, "all.zip"], ids=["loose", "packed elsewhere"])
def test_continuing_with_copies_of_files_that_have_no_room_leaves_the_disk_as_it_was(
    tmp_path: Path, working: Path, monkeypatch: pytest.MonkeyPatch, packed: str | None
) -> None:
    part = made_elsewhere(tmp_path / "part", 14)
    if packed:
        monkeypatch.setattr(archives, "COMPRESSED", {".bin"})
        monkeypatch.setattr(room, "RESERVE_BYTES", 0)
        fk.bootstrap(part, resume=False)
        fk.pack_outputs(part / packed)
        fk.bootstrap(part, resume=False).close()
    (working / "large.bin").write_bytes(b"x" * 30 * MEGABYTE)
    monkeypatch.setattr(room, "RESERVE_BYTES", 500 * MEGABYTE)
    before = shutil.disk_usage(working).free
    with pytest.raises(fk.LedgerError, match=r"no room for a copy of .* beside the 500\.0 MB that"):
        fk.bootstrap(resume=part, outputs="copy")
    monkeypatch.setattr(room, "RESERVE_BYTES", 8 * MEGABYTE)
    with pytest.raises(
        fk.LedgerError, match=r"56\.\d MB are needed beside the 8\.0 .*outputs='leave'"
    ):
        fk.bootstrap(resume=part, outputs="copy")
    with monkeypatch.context() as patch:
        patch.setattr(output_files, "missing_room", lambda *_: "")
        with pytest.raises(fk.LedgerError, match="No space left on device"):
            fk.bootstrap(resume=part, outputs="copy")
    assert shutil.disk_usage(working).free == before
    assert not [path for path in (working / "data").rglob("*") if path.is_file()]
    fk.bootstrap(resume=part, outputs="leave")
    assert len(fk.jobs_frame(status="completed")) == 14


@pytest.mark.usefixtures("workspace")
def test_end_of_a_run_on_kaggle_leaves_the_file_alone_complete(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "10000h")
    fk.pipeline("p")(lambda name: {"name": name})
    fk.register_jobs(pd.DataFrame({"id": ["a", "b"]}), "p", name="ids")
    assert fk.run_jobs("p", executor="inline", disk_reserve=None, progress=False).completed == 2
    copy = tmp_path / "copy.duckdb"
    # Without its log, and by another process, since a copy would take this one's lock away.
    subprocess.run(["cp", "data/foregsyte.duckdb", str(copy)], check=True)
    with duckdb.connect(str(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM results.p").fetchall() == [(2,)]
        assert connection.execute("SELECT ended_by FROM runs").fetchall() == [("finished",)]
