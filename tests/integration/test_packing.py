"""``pack_outputs``: one archive in place of many files, and nothing lost wherever it is killed."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import packing
from foregsyte_kaggle.packed import output_size, split_packed, unpacked
from foregsyte_kaggle.surroundings import room
from foregsyte_kaggle.transfer import find_output
from foregsyte_kaggle.widgets.details import load_details
from foregsyte_kaggle.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.slow]


#: A picture of one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def writes(name: str, job: fk.JobContext) -> dict[str, Any]:
    job.output_path("a.txt").write_text(f"{name} {job.attempt}" * 1000)
    job.output_path("b.png").write_bytes(bytes(range(256)) * int(name))
    if name == "2":
        folder = job.output_path("frames")
        (folder / "empty").mkdir(parents=True)
        (folder / "1.txt").write_text(f"frame of {job.attempt}")
    return {"name": name}


def add_outputs(jobs: int = 4) -> None:
    fk.pipeline("writes")(writes)
    fk.register_jobs(pd.DataFrame({"id": [str(n) for n in range(jobs)]}), "writes", name="ids")
    assert fk.run_jobs("writes", executor="inline", progress=False).failed == 0


def recorded() -> dict[str, list[str]]:
    """Return the files of each job's last completed attempt, as the ledger has them."""
    frame = fk.attempts_frame().drop_duplicates("job_id")
    return {row.job_id: json.loads(row.output_paths) for row in frame.itertuples()}


def contents(directory: Path) -> dict[tuple[str, str], bytes]:
    """Read all that the ledger names, by job and name."""
    found = {}
    for job_id, paths in recorded().items():
        for path in paths:
            name, member = split_packed(path)
            inside = Path(name) if member is None else zipfile.Path(name, member)
            if member is not None and not inside.exists():
                inside = zipfile.Path(name, f"{member}/")
            files = [inside] if inside.is_file() else list(inside.iterdir())
            for file in files:
                if file.is_file():
                    found[job_id, f"{path.rpartition('-')[2]} {file.name}"] = file.read_bytes()
    assert directory.exists()
    return found


def loose(workspace: Workspace) -> list[str]:
    files = (path for path in workspace.outputs.rglob("*") if path.is_file())
    return sorted(path.relative_to(workspace.outputs).as_posix() for path in files)


def test_files_are_in_one_archive_and_the_ledger_says_where(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    add_outputs()
    before = contents(workspace.directory)
    assert len(before) == 9
    archive = fk.pack_outputs()
    assert archive == workspace.outputs / "packed-1.zip"
    assert "9 files packed into data/outputs/packed-1.zip" in capsys.readouterr().out
    assert loose(workspace) == ["packed-1.zip"]
    assert contents(workspace.directory) == before
    for path in fk.jobs_frame().output_path:
        assert path.startswith("data/outputs/packed-1.zip!/writes/")
        assert zipfile.Path(*split_packed(path)).read_text()  # as the docstring says


def test_packing_again_changes_nothing_and_later_files_get_an_archive_of_their_own(
    workspace: Workspace,
) -> None:
    assert fk.pack_outputs() is None
    add_outputs()
    first = fk.pack_outputs()
    assert first is not None
    stamp = first.stat().st_mtime_ns
    assert fk.pack_outputs() == first
    assert first.stat().st_mtime_ns == stamp
    add_outputs(6)
    assert fk.pack_outputs() == workspace.outputs / "packed-2.zip"
    assert loose(workspace) == ["packed-1.zip", "packed-2.zip"]
    assert len(contents(workspace.directory)) == 13


def test_job_that_runs_again_is_recorded_with_its_new_files(workspace: Workspace) -> None:
    add_outputs()
    fk.pack_outputs()
    fk.retry_jobs(status="completed")
    add_outputs()
    after = contents(workspace.directory)
    assert len(after) == 9
    assert {text[-1:] for (_, name), text in after.items() if name.startswith("a")} == {b"2"}
    fk.pack_outputs()
    assert contents(workspace.directory) == after
    assert all("packed-" in path for paths in recorded().values() for path in paths)


def test_name_of_its_own_below_the_working_directory(workspace: Workspace) -> None:
    add_outputs()
    before = contents(workspace.directory)
    assert fk.pack_outputs("all.zip") == workspace.directory / "all.zip"
    assert contents(workspace.directory) == before
    add_outputs(5)
    with pytest.raises(fk.InvalidArgumentError, match=r"all\.zip exists already"):
        fk.pack_outputs("all.zip")
    assert len(contents(workspace.directory)) == 11


@pytest.mark.parametrize("path", ["all.tar", "../all.zip", "/all.zip", "a!/all.zip", "all.ZIP"])
def test_other_names_are_refused(workspace: Workspace, path: str) -> None:
    add_outputs()
    before = loose(workspace)
    with pytest.raises(fk.InvalidArgumentError, match="path="):
        fk.pack_outputs(path)
    assert loose(workspace) == before


def test_packing_is_refused_while_a_run_works(workspace: Workspace) -> None:
    add_outputs()
    go_on = Path("go on").absolute()

    @fk.pipeline("waits")
    def waits(name: str) -> None:
        import time

        while not go_on.exists():
            time.sleep(0.01)

    fk.register_jobs(pd.DataFrame({"id": ["x"]}), "waits", name="x")
    run = fk.run_jobs("waits", background=True, executor="threads", progress=False)
    with pytest.raises(fk.WorkspaceError, match="has a run that works"):
        fk.pack_outputs()
    go_on.touch()
    run.wait()
    assert fk.pack_outputs() is not None


def test_what_an_archive_cannot_hold_stays_where_it_is(workspace: Workspace) -> None:
    add_outputs(1)
    folder = workspace.outputs / "writes"
    (folder / "link").symlink_to(Path.cwd())
    (folder / ".partial").mkdir(exist_ok=True)
    (folder / ".partial" / "half").touch()
    (workspace.outputs / "mine.txt").touch()
    fk.pack_outputs()
    assert (folder / "link").is_symlink()
    assert {"mine.txt", "packed-1.zip", "writes/.partial/half"} <= set(loose(workspace))


def test_file_that_changes_while_it_is_packed_is_not_removed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_outputs()
    write = packing.write_archive

    def change(partial: Path, outputs: Path, parts: list[Any]) -> None:
        write(partial, outputs, parts)
        parts[0].path.write_text("another")

    monkeypatch.setattr(packing, "write_archive", change)
    before = loose(workspace)
    with pytest.raises(fk.WorkspaceError, match=r"1 file of .* changed meanwhile"):
        fk.pack_outputs()
    assert loose(workspace) == before


def test_file_that_is_written_again_after_it_was_checked_is_not_removed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_outputs()
    record, changed = packing._record, []

    def change(database: Any, moved: dict[str, str]) -> None:
        record(database, moved)
        changed.append(next(iter(moved)))
        Path(changed[0]).write_text("newer")

    monkeypatch.setattr(packing, "_record", change)
    fk.pack_outputs()
    assert Path(changed[0]).read_text() == "newer"


def test_archive_that_is_damaged_before_the_parts_are_gone_is_not_trusted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_outputs()
    before = contents(workspace.directory)
    archive = workspace.outputs / "packed-1.zip"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_record", stop)
        with pytest.raises(KeyboardInterrupt):
            fk.pack_outputs()
    data = bytearray(archive.read_bytes())
    data[60:200] = bytes(140)
    archive.write_bytes(data)
    assert fk.pack_outputs() == workspace.outputs / "packed-2.zip"
    assert contents(workspace.directory) == before


def test_without_room_nothing_is_begun(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_outputs()
    before = loose(workspace)
    monkeypatch.setattr(room, "disk_space", lambda _folder: (10_000, 10_000))
    with pytest.raises(fk.WorkspaceError, match=r"no room for the archive .* are free"):
        fk.pack_outputs()
    monkeypatch.setattr(room, "disk_space", lambda _folder: (400_000_000, 10**10))
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    with pytest.raises(fk.WorkspaceError, match=r"beside the 500\.0 MB that are kept free"):
        fk.pack_outputs()
    assert loose(workspace) == before


def test_details_of_a_job_look_into_the_archive(workspace: Workspace) -> None:
    add_outputs()
    job_id = fk.jobs_frame().job_id[3]
    (picture,) = workspace.outputs.glob(f"writes/{job_id}-b.png")
    picture.write_bytes(base64.b64decode(PIXEL))
    sizes = [file.size for file in load_details(workspace, job_id).files]  # type: ignore[union-attr]
    fk.pack_outputs()
    details = load_details(workspace, job_id)
    assert details is not None
    assert [file.size for file in details.files] == sizes
    assert all("packed-1.zip!/" in file.path for file in details.files)
    assert details.output is not None
    assert details.output.kind == "image"


def test_path_in_an_archive_that_is_not_there_has_no_size_and_no_content(
    workspace: Workspace,
) -> None:
    add_outputs()
    fk.pack_outputs()
    (workspace.outputs / "no archive.zip").write_text("text")
    for path in (
        "data/outputs/packed-1.zip!/writes/nobody.txt",
        "data/outputs/packed-9.zip!/writes/a.txt",
        "data/outputs/no archive.zip!/a.txt",
        "../packed-1.zip!/a.txt",
    ):
        place = find_output(workspace, path), split_packed(path)[1]
        assert output_size(*place) is None
        with unpacked(*place) as found:
            assert found is None


KILLED = """
import os, sys, zipfile
import foregsyte_kaggle as fk
from foregsyte_kaggle import archives, packing

point, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
owner = {"replace": os, "write": zipfile._ZipWriteFile, "fsync": os}.get(point, packing)
before, calls = getattr(owner, point), 0
archives.BLOCK_BYTES = 100

def counted(*arguments, **options):
    global calls
    calls += 1
    if calls == number and when == "before":
        os._exit(9)
    found = before(*arguments, **options)
    if calls == number:
        os._exit(9)
    return found

fk.bootstrap()
setattr(owner, point, counted)
fk.pack_outputs()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "number", "when"),
    [
        ("write_archive", 1, "before"),
        ("write", 1, "before"),
        ("write", 7, "after"),
        ("write", 60, "after"),
        ("fsync", 1, "before"),
        ("write_archive", 1, "after"),
        ("held_parts", 1, "after"),
        ("replace", 1, "after"),
        ("_record", 1, "before"),
        ("_record", 1, "after"),
        ("remove_output", 1, "after"),
        ("remove_output", 3, "after"),
        ("_hand_over", 1, "after"),
    ],
)
def test_killed_call_loses_nothing_and_the_next_one_goes_on(
    workspace: Workspace,
    run_python: Callable[..., Any],
    point: str,
    number: int,
    when: str,
) -> None:
    add_outputs()
    before = contents(workspace.directory)
    workspace.close()
    run_python(KILLED, point, str(number), when, status=9)
    again = fk.bootstrap()
    assert contents(again.directory) == before
    archives = [path for path in loose(again) if path.endswith(".zip") and "/" not in path]
    assert len([path for path in archives if not path.startswith(".")]) <= 1
    assert fk.pack_outputs() == again.outputs / "packed-1.zip"
    assert loose(again) == ["packed-1.zip"]
    assert contents(again.directory) == before
    assert all("packed-1.zip!/" in path for paths in recorded().values() for path in paths)
