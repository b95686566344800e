"""Going on tomorrow: ``bootstrap`` continues from what an earlier notebook left."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import schema
from foregsyte_kaggle.packed import split_packed, unpacked
from foregsyte_kaggle.transfer import find_output
from foregsyte_kaggle.widgets.details import load_details
from tests.conftest import ROOT, copy_files

LEDGERS = Path(__file__).parent / "ledgers"
STORED = sorted(LEDGERS.glob("[0-9]*.duckdb.gz"))

pytestmark = pytest.mark.integration


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that inputs are mounted in, with a source ``clips`` of six files beside it."""
    root = tmp_path / "input"
    root.mkdir()
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(root))
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(6):
        (clips / f"{number}.txt").write_text(str(number))
    return root


def note(path: Path, job: fk.JobContext) -> dict[str, str]:
    job.output_path("note.txt").write_text(path.read_text())
    return {"text": path.read_text()}


@pytest.fixture(autouse=True)
def known_pipeline() -> None:
    fk.pipeline("resumed_notes")(note)


def work(folder: Path, limit: int | None = None, **options: object) -> fk.Workspace:
    """Run some of the jobs in a workspace, as a notebook does, and close it."""
    workspace = fk.bootstrap(folder, **options)  # type: ignore[arg-type]
    fk.register_jobs(folder.parent / "clips", "resumed_notes")
    if limit != 0:
        fk.run_jobs("resumed_notes", executor="inline", limit=limit, progress=False)
    workspace.close()
    return workspace


def attach(version: Path, mounts: Path, place: str) -> Path:
    """Attach the output of a notebook, read-only."""
    mount = mounts / place
    shutil.copytree(version, mount)
    for path in sorted(mount.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return mount


def completed(workspace: fk.Workspace) -> int:
    return int((fk.jobs_frame(workspace=workspace).status == "completed").sum())


def sessions(workspace: fk.Workspace) -> list[tuple[object, ...]]:
    with workspace.database.reading() as cursor:
        return cursor.execute(
            "SELECT session_id, parent_session_id, ledger_id, generation FROM ledger_info"
            " ORDER BY generation"
        ).fetchall()


@pytest.mark.parametrize(
    "place", ["first-notebook", "notebooks/me/first-notebook", "datasets/me/x"]
)
def test_the_next_version_goes_on_where_the_last_one_stopped(
    tmp_path: Path, mounts: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    work(tmp_path / "one", limit=2)
    mount = attach(tmp_path / "one", mounts, place)
    capsys.readouterr()
    workspace = fk.bootstrap(tmp_path / "two")
    assert capsys.readouterr().out == (
        f"foregsyte: continued from {mount}/data/foregsyte.duckdb in {workspace.ledger_path}: "
        "2 of 6 jobs are completed, left are 4 pending\n"
        f"foregsyte: 2 output files stay in {mount}/data/outputs; attach that to the versions after this "
        "one too, or copy all into this one: bootstrap(outputs='copy')\n"
    )
    assert fk.register_jobs(tmp_path / "clips", "resumed_notes").added == 0
    run = fk.run_jobs("resumed_notes", executor="inline", progress=False)
    assert (run.completed, len(fk.results_frame("resumed_notes"))) == (4, 6)
    found = sessions(workspace)
    assert len({row[2] for row in found}) == 1, "one ledger"
    assert [row[1] for row in found[1:]] == [row[0] for row in found[:-1]], "one line of sessions"


def test_running_the_cell_again_changes_nothing(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=2)
    attach(tmp_path / "one", mounts, "notebooks/me/first")
    workspace = fk.bootstrap(tmp_path / "two", resume="me/first")
    before = sessions(workspace)
    assert fk.bootstrap(tmp_path / "two", resume="me/first") is workspace
    assert fk.bootstrap(tmp_path / "two") is workspace
    fk.run_jobs("resumed_notes", executor="inline", progress=False)
    assert fk.bootstrap(tmp_path / "two", resume="first") is workspace
    assert (sessions(workspace), completed(workspace)) == (before, 6)


def test_an_open_workspace_without_jobs_continues_from_what_is_attached_later(
    tmp_path: Path, mounts: Path
) -> None:
    work(tmp_path / "one", limit=2)
    workspace = fk.bootstrap(tmp_path / "two")
    attach(tmp_path / "one", mounts, "notebooks/me/first")
    assert fk.bootstrap(tmp_path / "two") is workspace
    assert completed(workspace) == 2
    with fk.SessionLocal() as session:
        assert session.query(fk.Job).count() == 6


@pytest.mark.parametrize("outputs", ["leave", "copy"])
def test_output_files_of_all_versions_are_found(tmp_path: Path, mounts: Path, outputs: str) -> None:
    work(tmp_path / "one", limit=2)
    attach(tmp_path / "one", mounts, "first")
    work(tmp_path / "two", limit=2, outputs=outputs)
    # Tomorrow the first one is mounted in the other layout.
    (mounts / "notebooks" / "me").mkdir(parents=True)
    (mounts / "first").rename(mounts / "notebooks" / "me" / "first")
    attach(tmp_path / "two", mounts, "notebooks/me/second")
    workspace = fk.bootstrap(tmp_path / "three", outputs=outputs)
    fk.run_jobs("resumed_notes", executor="inline", progress=False)
    paths = fk.jobs_frame().output_path
    assert len(paths) == 6
    assert all(path.startswith("data/outputs/resumed_notes/") for path in paths)
    found = [find_output(workspace, path) for path in paths]
    assert sorted(path.read_text() for path in found if path) == ["0", "1", "2", "3", "4", "5"]
    here = [path for path in found if path and workspace.directory in path.parents]
    assert len(here) == (6 if outputs == "copy" else 2)
    assert find_output(workspace, "data/outputs/../../secret") is None
    assert find_output(workspace, "data/outputs/resumed_notes/none.txt") is None


def test_a_notebook_that_attaches_its_own_last_version_has_all_files_if_they_are_copied(
    tmp_path: Path, mounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        shutil.rmtree(mounts / "notebooks", ignore_errors=True)
        if number > 1:
            attach(tmp_path / str(number - 1), mounts, "notebooks/me/same")
        workspace = work(tmp_path / str(number), limit=2, outputs="copy")
        assert len(list(workspace.outputs.rglob("*.txt"))) == 2 * number
    said = capsys.readouterr().out
    assert "output file" not in said


def test_files_that_no_attached_version_has_any_more_are_counted_aloud(
    tmp_path: Path, mounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        work(tmp_path / str(number), limit=2)
        shutil.rmtree(mounts / "notebooks", ignore_errors=True)
        attach(tmp_path / str(number), mounts, "notebooks/me/same")
    capsys.readouterr()
    workspace = fk.bootstrap(tmp_path / "3")
    said = capsys.readouterr().out
    assert "2 output files of completed jobs are in no attached output" in said
    assert f"2 output files stay in {mounts}/notebooks/me/same/data/outputs" in said
    paths = fk.jobs_frame(status="completed").output_path
    assert sum(find_output(workspace, path) is None for path in paths) == 2


def test_files_can_be_copied_later_and_what_is_here_stays(
    tmp_path: Path, mounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work(tmp_path / "one", limit=3)
    attach(tmp_path / "one", mounts, "first")
    workspace = fk.bootstrap(tmp_path / "two")
    fk.run_jobs("resumed_notes", executor="inline", progress=False, limit=1)
    assert len(list(workspace.outputs.rglob("*.txt"))) == 1
    (own,) = workspace.outputs.rglob("*.txt")
    own.write_text("of this version")
    capsys.readouterr()
    assert fk.bootstrap(tmp_path / "two", outputs="copy") is workspace
    assert len(list(workspace.outputs.rglob("*.txt"))) == 4
    assert own.read_text() == "of this version"
    assert "3 output files copied" in capsys.readouterr().out
    fk.bootstrap(tmp_path / "two", outputs="copy")
    assert capsys.readouterr().out == ""
    workspace.close()
    shutil.rmtree(mounts / "first")
    again = fk.bootstrap(tmp_path / "two", outputs="copy")
    assert all(find_output(again, path) for path in fk.jobs_frame(status="completed").output_path)


def test_a_ledger_in_a_folder_of_the_output_is_found_by_a_workspace_in_the_same_folder(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        working = tmp_path / f"version-{number}"
        working.mkdir()
        monkeypatch.chdir(working)
        workspace = fk.bootstrap("deep/run")
        fk.register_jobs(tmp_path / "clips", "resumed_notes")
        assert completed(workspace) == 2 * (number - 1)
        fk.run_jobs("resumed_notes", executor="inline", limit=2, progress=False)
        workspace.close()
        shutil.rmtree(mounts / "notebooks", ignore_errors=True)
        attach(working, mounts, "notebooks/me/same")
    assert completed(fk.bootstrap("../version-3/deep/run", resume=False)) == 0
    monkeypatch.chdir(tmp_path / "version-3")
    assert completed(fk.bootstrap("deep/run", resume="me/same")) == 4


def test_an_attached_ledger_that_is_not_continued_is_said(
    tmp_path: Path, mounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work(tmp_path / "one", limit=6)
    work(tmp_path / "two", limit=0)
    mount = attach(tmp_path / "one", mounts, "notebooks/me/first")
    for _ in ("closed", "open"):
        capsys.readouterr()
        fk.bootstrap(tmp_path / "two")
        said = capsys.readouterr().out
        assert f"{mount}/data/foregsyte.duckdb (jobs: 6 completed; last change" in said
        assert "attached and not continued, since this workspace has jobs already" in said
    # One that this workspace came from is nothing to tell.
    fk.bootstrap(tmp_path / "three").close()
    capsys.readouterr()
    fk.bootstrap(tmp_path / "three")
    assert "not continued" not in capsys.readouterr().out


def test_an_attached_ledger_without_jobs_is_said(
    tmp_path: Path, mounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fk.bootstrap(tmp_path / "one").close()
    mount = attach(tmp_path / "one", mounts, "first")
    fk.bootstrap(tmp_path / "two")
    assert f"{mount}/data/foregsyte.duckdb (jobs: none; last" in capsys.readouterr().out


def test_a_damaged_ledger_among_the_inputs_is_an_error_that_a_name_solves(
    tmp_path: Path, mounts: Path
) -> None:
    work(tmp_path / "one", limit=2)
    attach(tmp_path / "one", mounts, "notebooks/me/first")
    strange = mounts / "datasets" / "me" / "strange"
    strange.mkdir(parents=True)
    (strange / "foregsyte.duckdb").write_text("no ledger")
    with pytest.raises(
        fk.LedgerError,
        match=r"strange.*not a DuckDB file. It is among the inputs: detach it, or say.*resume=",
    ):
        fk.bootstrap(tmp_path / "two")
    assert completed(fk.bootstrap(tmp_path / "two", resume="me/first")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, "all.zip"])
@pytest.mark.parametrize("outputs", ["leave", "copy"])
def test_packed_files_of_all_versions_are_found_and_previewed(
    tmp_path: Path, mounts: Path, outputs: str, name: str | None
) -> None:
    def pack(folder: Path) -> None:
        workspace = fk.bootstrap(folder, resume=False)
        fk.pack_outputs(name and folder / f"{folder.name}-{name}")
        workspace.close()
        for empty in sorted(workspace.outputs.rglob("*"), reverse=True):
            if empty.is_dir():
                empty.rmdir()  # no version on Kaggle keeps one
        if name:
            workspace.outputs.rmdir()

    work(tmp_path / "one", limit=2)
    pack(tmp_path / "one")
    attach(tmp_path / "one", mounts, "first")
    work(tmp_path / "two", limit=2, outputs=outputs)
    (mounts / "notebooks" / "me").mkdir(parents=True)
    (mounts / "first").rename(mounts / "notebooks" / "me" / "first")
    pack(tmp_path / "two")
    attach(tmp_path / "two", mounts, "notebooks/me/second")
    workspace = fk.bootstrap(tmp_path / "three", outputs=outputs)
    fk.run_jobs("resumed_notes", executor="inline", progress=False)
    jobs = fk.jobs_frame().sort_values("input_path")
    archives = jobs.output_path.map(lambda path: split_packed(path)[0])
    names = [f"{one}-{name}" if name else "packed" for one in ("one", "two")]
    assert [archives.str.contains(one).sum() for one in names] == ([2, 2] if name else [4, 4])
    assert archives.nunique() == 4, (
        "each version has an archive of its own, and two files are loose"
    )
    texts = []
    for job_id, recorded in zip(jobs.job_id, jobs.output_path, strict=True):
        found, member = find_output(workspace, recorded), split_packed(recorded)[1]
        assert found is not None
        here = workspace.directory in found.parents
        assert here is (outputs == "copy" or member is None)
        details = load_details(workspace, job_id)
        assert details is not None
        assert [file.size for file in details.files] == [1]
        with unpacked(found, member) as path:
            texts.append(path.read_text() if path else "missing")
    assert texts == ["0", "1", "2", "3", "4", "5"]
    assert find_output(workspace, f"{archives.iloc[0]}!/resumed_notes/none.txt") is None
    assert find_output(workspace, f"../{archives.iloc[0]}!/resumed_notes/none.txt") is None


def test_an_archive_of_an_earlier_version_is_not_mistaken_for_one_here(
    tmp_path: Path, mounts: Path
) -> None:
    work(tmp_path / "one", limit=2)
    fk.pack_outputs(tmp_path / "one" / "all.zip", workspace=fk.bootstrap(tmp_path / "one"))
    fk.bootstrap(tmp_path / "one").close()
    attach(tmp_path / "one", mounts, "first")
    workspace = fk.bootstrap(tmp_path / "two")
    fk.run_jobs("resumed_notes", executor="inline", progress=False, limit=2)
    with pytest.raises(fk.InvalidArgumentError, match=r"all\.zip is an archive of an earlier note"):
        fk.pack_outputs(workspace.directory / "all.zip")
    # Somebody may have put one of that name here by other means.
    with zipfile.ZipFile(workspace.directory / "all.zip", "w") as archive:
        archive.writestr("other", "")
    found = [find_output(workspace, path) for path in fk.jobs_frame(status="completed").output_path]
    assert found.count(mounts / "first" / "all.zip") == 2
    assert None not in found


@pytest.mark.parametrize(
    "text",
    ["me/first", "notebooks/me/first", "first", "{root}/first", "{root}/notebooks/me/first/data"],
)
@pytest.mark.parametrize("place", ["first", "notebooks/me/first"])
def test_resume_takes_the_names_and_paths_that_register_jobs_takes(
    tmp_path: Path, mounts: Path, text: str, place: str
) -> None:
    work(tmp_path / "one", limit=2)
    attach(tmp_path / "one", mounts, place)
    workspace = fk.bootstrap(tmp_path / "two", resume=text.format(root=mounts))
    assert completed(workspace) == 2
    workspace.close()
    fk.bootstrap(tmp_path / "three", resume=False)
    assert fk.merge_ledgers([text.format(root=mounts)]).added == 6


def test_a_name_that_is_a_folder_here_too_is_an_error_that_lists_both(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tmp_path / "first", limit=1, resume=False)
    work(tmp_path / "one", limit=2, resume=False)
    attach(tmp_path / "one", mounts, "notebooks/me/first")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fk.LedgerError, match="2 different ledgers are that resume='first' may"):
        fk.bootstrap(tmp_path / "two", resume="first")
    assert completed(fk.bootstrap(tmp_path / "two", resume="me/first")) == 2
    assert completed(fk.bootstrap(tmp_path / "three", resume="./first")) == 1


def test_competitions_and_models_are_no_earlier_notebooks(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=2)
    attach(tmp_path / "one", mounts, "competitions/first")
    attach(tmp_path / "one", mounts, "models/me/first/onnx/small/1")
    assert len(fk.jobs_frame(workspace=fk.bootstrap(tmp_path / "two"))) == 0


def test_of_several_versions_the_last_one_is_continued(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=1)
    attach(tmp_path / "one", mounts, "notebooks/me/z-first")
    work(tmp_path / "two", limit=2)
    attach(tmp_path / "two", mounts, "notebooks/me/a-second")
    shutil.copytree(mounts / "notebooks" / "me" / "a-second", mounts / "copy-of-the-second")
    assert completed(fk.bootstrap(tmp_path / "three")) == 3


def test_a_fork_is_an_error_that_shows_both(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=1)
    attach(tmp_path / "one", mounts, "first")
    work(tmp_path / "left", limit=1)
    work(tmp_path / "right", limit=3)
    attach(tmp_path / "left", mounts, "left")
    attach(tmp_path / "right", mounts, "notebooks/me/right")
    with pytest.raises(fk.LedgerError, match="two notebooks went on from the same") as caught:
        fk.bootstrap(tmp_path / "two")
    text = str(caught.value)
    assert f"{mounts}/left/data/foregsyte.duckdb (jobs: 2 completed, 4 pending; last" in text
    assert f"{mounts}/notebooks/me/right/data/foregsyte.duckdb (jobs: 4 completed, 2 pend" in text
    assert "resume=" in text
    assert not (tmp_path / "two" / "data" / "foregsyte.duckdb").exists()
    assert completed(fk.bootstrap(tmp_path / "two", resume="me/right")) == 4


def test_a_copy_taken_in_the_middle_of_a_session_is_no_descendant_of_its_end(
    tmp_path: Path, mounts: Path
) -> None:
    work(tmp_path / "one", limit=1)
    early = tmp_path / "early"
    shutil.copytree(tmp_path / "one", early)
    with duckdb.connect(str(tmp_path / "one" / "data" / "foregsyte.duckdb")) as connection:
        # The same session does more: no new row in ledger_info.
        connection.execute(
            "INSERT INTO job_attempts (attempt_id, job_id, attempt, outcome)"
            " SELECT uuid(), job_id, 1, 'failed' FROM jobs LIMIT 1"
        )
    attach(tmp_path / "one", mounts, "late")
    work(tmp_path / "two", limit=1, resume=str(early))
    attach(tmp_path / "two", mounts, "from-early")
    with pytest.raises(fk.LedgerError, match="neither holds all"):
        fk.bootstrap(tmp_path / "three")


def test_several_ledgers_are_an_error_that_lists_them(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=1)
    work(tmp_path / "strange", limit=2, resume=False)
    attach(tmp_path / "one", mounts, "notebooks/me/mine")
    attach(tmp_path / "strange", mounts, "notebooks/somebody/theirs")
    with pytest.raises(fk.LedgerError, match="2 different ledgers are attached") as caught:
        fk.bootstrap(tmp_path / "two")
    assert "me/mine" in str(caught.value)
    assert "somebody/theirs" in str(caught.value)
    assert completed(fk.bootstrap(tmp_path / "by-name", resume="mine")) == 1
    assert completed(fk.bootstrap(tmp_path / "by-handle", resume="notebooks/me/mine")) == 1
    by_path = fk.bootstrap(
        tmp_path / "by-path", resume=mounts / "notebooks" / "somebody" / "theirs"
    )
    assert completed(by_path) == 2
    assert len(fk.jobs_frame(workspace=fk.bootstrap(tmp_path / "new", resume=False))) == 0


def test_a_ledger_with_jobs_is_never_replaced(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=3)
    work(tmp_path / "two", limit=1)
    attach(tmp_path / "one", mounts, "first")
    assert completed(fk.bootstrap(tmp_path / "two")) == 1
    for _ in ("open", "closed"):
        with pytest.raises(fk.LedgerError, match="has jobs already and does not continue"):
            fk.bootstrap(tmp_path / "two", resume="first")
        assert completed(fk.bootstrap(tmp_path / "two")) == 1
        fk.bootstrap(tmp_path / "two").close()


def test_without_kaggle_nothing_is_looked_for(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tmp_path / "one", limit=3)
    attach(tmp_path / "one", mounts, "first")
    monkeypatch.delenv("KAGGLE_CACHE_MOUNT_FOLDER")
    assert len(fk.jobs_frame(workspace=fk.bootstrap(tmp_path / "two"))) == 0
    assert completed(fk.bootstrap(tmp_path / "three", resume=tmp_path / "one")) == 3


@pytest.mark.parametrize("resume", [True, None, "", 7])
def test_a_wrong_argument_is_named(tmp_path: Path, resume: object) -> None:
    with pytest.raises(fk.InvalidArgumentError, match=r"resume=.*expected 'auto'"):
        fk.bootstrap(tmp_path, resume=resume)  # type: ignore[arg-type]
    with pytest.raises(fk.InvalidArgumentError, match=r"outputs='move'"):
        fk.bootstrap(tmp_path, outputs="move")
    assert not (tmp_path / "data").exists()


def test_what_is_not_attached_is_said_with_what_is(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=1)
    attach(tmp_path / "one", mounts, "first")
    with pytest.raises(fk.InvalidArgumentError, match=r"Attached ledgers: .*first"):
        fk.bootstrap(tmp_path / "two", resume="me/other")


def test_a_dead_session_left_a_log_and_running_jobs(
    tmp_path: Path, mounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = fk.bootstrap(tmp_path / "one")
    fk.register_jobs(tmp_path / "clips", "resumed_notes")
    fk.run_jobs("resumed_notes", executor="inline", limit=2, progress=False)
    with workspace.database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET status = 'running' WHERE job_id ="
            " (SELECT job_id FROM jobs WHERE status = 'pending' LIMIT 1)"
        )
    data = tmp_path / "dead" / "data"
    data.mkdir(parents=True)
    assert workspace.ledger_path is not None
    copy_files(workspace.ledger_path, data)
    workspace.close()
    assert (data / "foregsyte.duckdb.wal").stat().st_size
    attach(tmp_path / "dead", mounts, "first")
    capsys.readouterr()
    assert completed(fk.bootstrap(tmp_path / "two")) == 2
    assert "1 job that it left running is pending again" in capsys.readouterr().out
    assert (mounts / "first" / "data" / "foregsyte.duckdb.wal").exists()


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.name.split(".")[0])
def test_an_older_ledger_is_continued_and_upgraded(
    tmp_path: Path, mounts: Path, stored: Path
) -> None:
    mount = mounts / "old"
    (mount / "data").mkdir(parents=True)
    (mount / "data" / "foregsyte.duckdb").write_bytes(gzip.decompress(stored.read_bytes()))
    workspace = fk.bootstrap(tmp_path / "new")
    assert schema.current_revision(workspace.database) == schema.head_revision()
    assert completed(workspace) == 1
    assert not (tmp_path / "new" / "data" / "backups").exists(), "the original is the backup"
    assert fk.bootstrap(tmp_path / "new", resume="old") is workspace


def test_the_newest_duckdb_wrote_it_with_a_log(tmp_path: Path, mounts: Path) -> None:
    data = mounts / "notebooks" / "me" / "new" / "data"
    data.mkdir(parents=True)
    for suffix in ("duckdb", "duckdb.wal"):
        stored = LEDGERS / f"with_log.{suffix}.gz"
        (data / f"foregsyte.{suffix}").write_bytes(gzip.decompress(stored.read_bytes()))
    assert completed(fk.bootstrap(tmp_path / "two")) == 3


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        pytest.param(b"no ledger", fk.LedgerError, "not a DuckDB file", id="something else"),
        pytest.param(b"", fk.LedgerError, "empty file", id="empty"),
        pytest.param(None, fk.LedgerVersionError, "newer DuckDB", id="newer"),
    ],
)
def test_a_ledger_that_cannot_be_read_is_named(
    tmp_path: Path, mounts: Path, content: bytes | None, error: type[Exception], words: str
) -> None:
    if content is None and duckdb.__version__ >= "2":
        pytest.skip("this DuckDB reads that file")
    (mounts / "first" / "data").mkdir(parents=True)
    file = mounts / "first" / "data" / "foregsyte.duckdb"
    newer = LEDGERS / "newer_storage.duckdb.gz"
    file.write_bytes(gzip.decompress(newer.read_bytes()) if content is None else content)
    with pytest.raises(error, match=words) as caught:
        fk.bootstrap(tmp_path / "two")
    assert str(file) in str(caught.value)
    assert not (tmp_path / "two" / "data" / "foregsyte.duckdb").exists()
    assert len(fk.jobs_frame(workspace=fk.bootstrap(tmp_path / "two", resume=False))) == 0


def test_a_revision_of_a_newer_package_is_named(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=1)
    with duckdb.connect(str(tmp_path / "one" / "data" / "foregsyte.duckdb")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_tomorrow'")
    attach(tmp_path / "one", mounts, "first")
    with pytest.raises(fk.LedgerVersionError, match="from_tomorrow") as caught:
        fk.bootstrap(tmp_path / "two")
    assert str(mounts / "first") in str(caught.value)
    assert not (tmp_path / "two" / "data" / ".resuming").exists()


def test_other_tables_in_the_place_of_the_ledger_stay(tmp_path: Path, mounts: Path) -> None:
    work(tmp_path / "one", limit=1)
    attach(tmp_path / "one", mounts, "first")
    file = tmp_path / "two" / "data" / "foregsyte.duckdb"
    file.parent.mkdir(parents=True)
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 7 AS seven")
    with pytest.raises(fk.LedgerError, match="other tables in it \\('mine'\\)"):
        fk.bootstrap(tmp_path / "two", resume="first")
    workspace = fk.bootstrap(tmp_path / "two")
    assert len(fk.jobs_frame(workspace=workspace)) == 0
    assert fk.sql("SELECT 7 AS seven").seven.tolist() == [7]


KILLED = """
import os, signal, sys
import foregsyte_kaggle as fk
from foregsyte_kaggle.transfer import output_files, resuming
module, name = {"ledger": (resuming.shutil, "copyfile"), "session": (resuming, "begin_session"),
                "outputs": (output_files.os, "replace")}[sys.argv[2]]
real = getattr(module, name)
def dies(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(module, name, dies)
fk.bootstrap(sys.argv[1], outputs="copy")
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["ledger", "session", "outputs"])
def test_a_kill_in_the_middle_leaves_nothing_that_is_taken_for_a_ledger(
    tmp_path: Path, mounts: Path, run_python: Callable[..., object], moment: str
) -> None:
    work(tmp_path / "one", limit=3)
    attach(tmp_path / "one", mounts, "first")
    run_python(KILLED, str(tmp_path / "two"), moment, status=-signal.SIGKILL)
    data = tmp_path / "two" / "data"
    assert not (data / "foregsyte.duckdb").exists()
    assert (data / ".resuming").exists(), "the kill came at another moment: mend the test"
    workspace = fk.bootstrap(tmp_path / "two", outputs="copy")
    assert completed(workspace) == 3
    assert not (data / ".resuming").exists()
    names = [path.name for path in workspace.outputs.rglob("*") if path.is_file()]
    assert len(names) == 3


def test_an_input_that_another_process_writes_is_refused(
    tmp_path: Path, hold_ledger: Callable[[Path], subprocess.Popen[str]]
) -> None:
    hold_ledger(tmp_path / "one")
    with pytest.raises(fk.LedgerLockedError, match="locked"):
        fk.bootstrap(tmp_path / "two", resume=tmp_path / "one")


def test_one_that_is_open_in_this_process_is_refused(tmp_path: Path) -> None:
    fk.bootstrap(tmp_path / "one")
    with pytest.raises(fk.WorkspaceError, match="open in this process"):
        fk.bootstrap(tmp_path / "two", resume=tmp_path / "one")


OTHER = os.environ.get("FOREGSYTE_OTHER_PYTHON", "")


@pytest.mark.skipif(not OTHER, reason="FOREGSYTE_OTHER_PYTHON names a Python with another DuckDB")
def test_another_duckdb_wrote_it(tmp_path: Path, mounts: Path) -> None:
    code = (
        "import foregsyte_kaggle as fk, sys; fk.bootstrap(sys.argv[1], resume=False);"
        " fk.register_jobs(sys.argv[2], 'file_info');"
        " fk.run_jobs('file_info', executor='inline', limit=2, progress=False)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [OTHER, "-c", code, str(tmp_path / "one"), str(tmp_path / "clips")]
    subprocess.run(arguments, check=True, env=environment, timeout=100)
    attach(tmp_path / "one", mounts, "first")
    assert completed(fk.bootstrap(tmp_path / "two")) == 2
    assert sys.executable != OTHER
