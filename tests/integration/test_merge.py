"""Several notebooks as one: ``merge_ledgers`` unites what each of them did."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import shutil
import signal
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import foregsyte_kaggle as fk
from foregsyte_kaggle.packed import split_packed, unpacked
from foregsyte_kaggle.results.tables import result_columns
from foregsyte_kaggle.testing import memory_workspace as in_memory
from foregsyte_kaggle.transfer import copy_ledger, find_output

LEDGERS = Path(__file__).parent / "ledgers"
STORED = sorted(LEDGERS.glob("[0-9]*.duckdb.gz"))

pytestmark = pytest.mark.integration


def count_letters(path: Path, job: fk.JobContext) -> dict[str, object]:
    job.output_path("copy.txt").write_text(path.read_text())
    return {"text": path.read_text(), "length": len(path.read_text())}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    fk.pipeline("count_letters")(count_letters)
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.txt").write_text("x" * number)
    return folder


def work(
    folder: Path, clips: Path, shard: tuple[int, int] | None = None, limit: int | None = None
) -> Path:
    """Play a notebook: register, run, end; return its folder."""
    workspace = fk.bootstrap(folder, resume=False)
    fk.register_jobs(clips, "count_letters", shard=shard)
    fk.run_jobs("count_letters", executor="inline", limit=limit, progress=False)
    workspace.close()
    return folder


def test_three_notebooks_share_the_inputs_and_a_fourth_unites_them(
    tmp_path: Path, clips: Path
) -> None:
    parts = [work(tmp_path / f"part-{k}", clips, shard=(k, 3)) for k in (1, 2, 3)]
    workspace = fk.bootstrap(tmp_path / "whole")
    merged = fk.merge_ledgers(parts)
    assert (merged.added, merged.replaced, merged.attempts, merged.files) == (12, 0, 12, 12)
    assert len(merged.differences) == 0
    assert str(merged) == (
        "3 ledgers: 12 jobs added, 0 replaced, 12 attempts and 12 output files taken over"
    )
    registered = fk.register_jobs(clips, "count_letters")
    assert (registered.added, registered.unchanged) == (0, 12)
    assert sorted(fk.results_frame("count_letters").length) == list(range(12))
    for path in fk.jobs_frame().output_path:
        assert (workspace.directory / path).exists()
    assert sorted(fk.sql("SELECT position FROM jobs").position) == list(range(1, 13))
    assert len(fk.sql("SELECT * FROM runs")) == 3
    again = fk.merge_ledgers(parts)
    assert (again.added, again.replaced, again.attempts, again.files) == (0, 0, 0, 0)


@pytest.mark.slow
def test_the_order_of_the_paths_changes_nothing_not_even_the_numbers(
    tmp_path: Path, clips: Path
) -> None:
    parts = [work(tmp_path / f"part-{k}", clips, shard=(k, 3)) for k in (1, 2, 3)]
    found = []
    for number, order in enumerate(itertools.permutations(parts)):
        fk.bootstrap(tmp_path / f"whole-{number}")
        fk.merge_ledgers(order)
        found.append(fk.sql("SELECT * FROM jobs ORDER BY position").astype(str).to_dict("records"))
    assert all(one == found[0] for one in found)


def test_a_job_that_both_completed_is_the_later_one_with_its_rows_and_files(
    tmp_path: Path, clips: Path
) -> None:
    early = work(tmp_path / "early", clips, limit=3)
    (clips / "01.txt").write_text("something else")

    @fk.pipeline("count_letters")
    def longer(path: Path, job: fk.JobContext) -> dict[str, object]:
        job.output_path("copy.txt").write_text("later")
        return {"text": path.read_text(), "length": 0.5, "more": [1, 2]}

    late = work(tmp_path / "late", clips, limit=2)
    workspace = fk.bootstrap(early)
    merged = fk.merge_ledgers([late])
    assert (merged.added, merged.replaced, merged.attempts, merged.files) == (0, 2, 2, 2)
    frame = fk.results_frame("count_letters").sort_values("input_path")
    assert frame.text.tolist() == ["", "something else", "xx"]
    assert [None if not isinstance(more, list) else more for more in map(_listed, frame.more)] == [
        [1, 2],
        [1, 2],
        None,
    ]
    jobs = fk.jobs_frame().set_index("input_path")
    texts = [
        (workspace.directory / jobs.output_path[name]).read_text() for name in ("00.txt", "02.txt")
    ]
    assert texts == ["later", "xx"]
    assert jobs.attempts["00.txt"] == 2
    kinds = merged.differences.dtypes
    assert set(kinds) == {fk.jobs_frame().input_path.dtype}, "the text of all frames"
    differences = merged.differences.groupby("input_path").what.apply(set).to_dict()
    assert differences == {
        "00.txt": {"results", "code"},
        "01.txt": {"results", "code", "input_size"},
    }
    # What was there first stays, seen from the other side.
    workspace.close()
    fk.bootstrap(late)
    assert fk.merge_ledgers([early]).replaced == 1, "only what late had not done"
    assert fk.results_frame("count_letters").sort_values("input_path").text.tolist() == [
        "",
        "something else",
        "xx",
    ]


def _listed(value: Any) -> Any:
    return list(value) if hasattr(value, "__iter__") else value


def test_files_of_the_losing_try_that_the_winner_did_not_write_are_removed(
    tmp_path: Path, clips: Path
) -> None:
    early = work(tmp_path / "early", clips, limit=1)

    @fk.pipeline("count_letters")
    def other_name(path: Path, job: fk.JobContext) -> None:
        job.output_path("other.txt").write_text("other")

    late = work(tmp_path / "late", clips, limit=1)
    workspace = fk.bootstrap(early)
    fk.merge_ledgers([late])
    names = [path.name.split("-")[-1] for path in workspace.outputs.rglob("*.txt")]
    assert names == ["other.txt"]


def test_a_later_try_that_returned_nothing_takes_the_rows_of_the_earlier_one_away(
    tmp_path: Path, clips: Path
) -> None:
    fk.pipeline("count_letters")(lambda _path: {"n": 1})
    early = work(tmp_path / "early", clips, limit=2)
    fk.pipeline("count_letters")(lambda _path: None)
    late = work(tmp_path / "late", clips, limit=1)
    for number, order in enumerate(([early], [late]), start=1):
        fk.bootstrap(tmp_path / f"whole-{number}", resume=False)
        fk.merge_ledgers(order)
        merged = fk.merge_ledgers([late if order == [early] else early])
        assert fk.results_frame("count_letters").input_path.tolist() == ["01.txt"]
        assert fk.sql("SELECT count(*) AS rows FROM results.count_letters").rows.tolist() == [1]
        what = merged.differences.query("what == 'results'").input_path.tolist()
        assert what == ["00.txt"]


# Files in archives


def pack(folder: Path, path: str | None = None) -> None:
    workspace = fk.bootstrap(folder, resume=False)
    fk.pack_outputs(None if path is None else folder / path)
    workspace.close()


def rows_of(workspace: fk.Workspace) -> list[tuple[str, str]]:
    """Return, by job, where its file is and where its attempts say that theirs are."""
    frame = fk.sql(
        "SELECT output_path, output_paths::VARCHAR AS listed FROM jobs JOIN job_attempts"
        " USING (job_id) ORDER BY input_path, job_attempts.attempt_id",
        workspace=workspace,
    )
    return [(path, json.loads(listed)) for path, listed in zip(*frame.values.T, strict=True)]


def texts_of(workspace: fk.Workspace) -> list[str]:
    """Return what the files of all jobs hold, found as the job table finds them."""
    texts = []
    for recorded in fk.jobs_frame(workspace=workspace).sort_values("input_path").output_path:
        with unpacked(find_output(workspace, recorded), split_packed(recorded)[1]) as path:
            texts.append("missing" if path is None else path.read_text())
    return texts


@pytest.mark.parametrize("name", [None, "all.zip", "deeper/all.zip"])
def test_files_that_a_notebook_packed_come_as_files_of_their_own(
    tmp_path: Path, clips: Path, name: str | None
) -> None:
    parts = [work(tmp_path / f"part-{k}", clips, shard=(k, 2)) for k in (1, 2)]
    pack(parts[0], name)
    workspace = fk.bootstrap(tmp_path / "whole", resume=False)
    merged = fk.merge_ledgers(parts)
    assert (merged.added, merged.files, merged.missing) == (12, 12, [])
    assert texts_of(workspace) == ["x" * number for number in range(12)]
    for path, listed in rows_of(workspace):
        assert listed == [path]
        assert path.startswith("data/outputs/count_letters/")
        assert (workspace.directory / path).is_file()
    assert not list(workspace.directory.rglob("*.zip"))
    before = state_of_files(workspace)
    again = fk.merge_ledgers(parts)
    assert (again.added, again.replaced, again.attempts, again.files) == (0, 0, 0, 0)
    assert state_of_files(workspace) == before


def state_of_files(workspace: fk.Workspace) -> tuple[object, ...]:
    files = {path: path.stat().st_mtime_ns for path in workspace.outputs.rglob("*.*")}
    jobs = fk.sql("SELECT * FROM jobs ORDER BY job_id", workspace=workspace)
    tries = fk.sql("SELECT * FROM job_attempts ORDER BY attempt_id", workspace=workspace)
    return files, jobs.astype(str).to_dict("records"), tries.astype(str).to_dict("records")


def test_two_that_are_packed_alike_keep_their_files_apart(tmp_path: Path, clips: Path) -> None:
    parts = [work(tmp_path / f"part-{k}", clips, shard=(k, 2)) for k in (1, 2)]
    for part in parts:
        pack(part)
    workspace = fk.bootstrap(parts[0], resume=False)
    archive = workspace.outputs / "packed-1.zip"
    own, held = len(fk.jobs_frame()), archive.read_bytes()
    assert 0 < own < 12
    merged = fk.merge_ledgers([parts[1]])
    assert (merged.files, merged.missing) == (12 - own, [])
    assert texts_of(workspace) == ["x" * number for number in range(12)]
    packed = [path for path, _ in rows_of(workspace) if "packed-1.zip!/" in path]
    assert len(packed) == own, "what is in an archive here stays in it"
    assert archive.read_bytes() == held
    before = state_of_files(workspace)
    fk.merge_ledgers([parts[1]])
    assert state_of_files(workspace) == before
    # The whole, packed in its turn, has an archive of its own for what came.
    assert fk.pack_outputs() == workspace.outputs / "packed-2.zip"
    assert texts_of(workspace) == ["x" * number for number in range(12)]


def test_a_later_try_in_an_archive_beats_an_earlier_one_that_is_packed_here(
    tmp_path: Path, clips: Path
) -> None:
    early = work(tmp_path / "early", clips, limit=2)

    @fk.pipeline("count_letters")
    def folders(path: Path, job: fk.JobContext) -> None:
        frames = job.output_path("frames")
        (frames / "deep").mkdir(parents=True)
        (frames / "deep" / "1.txt").write_text("later")

    late = work(tmp_path / "late", clips, limit=1)
    for folder in (early, late):
        pack(folder)
    workspace = fk.bootstrap(early, resume=False)
    held = (workspace.outputs / "packed-1.zip").read_bytes()
    assert fk.merge_ledgers([late]).files == 1
    (path,) = fk.jobs_frame().query("input_path == '00.txt'").output_path
    assert path.startswith("data/outputs/count_letters/")
    assert (workspace.directory / path / "deep" / "1.txt").read_text() == "later"
    assert (workspace.outputs / "packed-1.zip").read_bytes() == held
    listed = [paths[0] for _, paths in rows_of(workspace)]
    assert sum("packed-1.zip!/" in one for one in listed) == 2, "what tries here wrote is in it"
    workspace.close()
    # Seen from the other side, nothing comes.
    fk.bootstrap(late, resume=False)
    assert fk.merge_ledgers([early]).replaced == 1, "only what late had not done"
    assert fk.merge_ledgers([early]).files == 0


def test_files_of_a_damaged_archive_are_named_and_the_rest_is_merged(
    tmp_path: Path, clips: Path
) -> None:
    one = work(tmp_path / "one", clips, limit=3)
    pack(one)
    archive = one / "data" / "outputs" / "packed-1.zip"
    content = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        info = next(info for info in opened.infolist() if info.file_size == 2)
    begin = info.header_offset + 30 + len(info.filename)
    archive.write_bytes(content[:begin] + b"\xff\xff" + content[begin + 2 :])
    workspace = fk.bootstrap(tmp_path / "whole", resume=False)
    merged = fk.merge_ledgers([one])
    assert (merged.files, merged.missing) == (2, [f"data/outputs/{info.filename}"])
    archive.unlink()
    fk.bootstrap(tmp_path / "again", resume=False)
    assert len(fk.merge_ledgers([one]).missing) == 3
    assert not list(workspace.outputs.rglob(".partial/*")), "nothing half written is left"


def test_what_an_archive_says_of_another_place_is_not_followed(tmp_path: Path, clips: Path) -> None:
    one = work(tmp_path / "one", clips, limit=1)
    workspace = fk.bootstrap(one, resume=False)
    (job_id,) = fk.jobs_frame(status="completed").job_id
    member = f"count_letters/{job_id}-../../../stolen.txt"
    with zipfile.ZipFile(one / "evil.zip", "w") as archive:
        archive.writestr(member, "stolen")
        archive.writestr("../stolen.txt", "stolen")
    with workspace.database.transaction() as connection:
        for table, column, value in (
            ("jobs", "output_path", f"evil.zip!/{member}"),
            (
                "job_attempts",
                "output_paths",
                json.dumps(["evil.zip!/../stolen.txt", "../x.zip!/y"]),
            ),
        ):
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE job_id = ?", [value, job_id]
            ).fetchall()
    workspace.close()
    fk.bootstrap(tmp_path / "whole", resume=False)
    assert fk.merge_ledgers([one]).files == 0
    assert not list(tmp_path.rglob("stolen.txt"))


# Sources


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_a_mount_agrees_with_any_attached_kind_and_what_is_known_is_taken(
    tmp_path: Path, clips: Path, reverse: bool
) -> None:
    for kind in ("dataset", "competition", "notebook", "model"):
        folders = []
        for known, owner in (("mount", None), (kind, None), ("mount", "me")):
            folder = tmp_path / f"{kind}-{known}-{owner}"
            folders.append(work(folder, clips, limit=1))
            told(folder, known, owner)
        fk.bootstrap(tmp_path / kind, resume=False)
        fk.merge_ledgers([folders[0], *folders[:0:-1]] if reverse else folders)
        assert fk.sql("SELECT kind, owner FROM sources").values.tolist() == [[kind, "me"]]


def test_two_known_kinds_of_one_name_are_refused_before_anything_changes(
    tmp_path: Path, clips: Path
) -> None:
    folders = []
    for kind in ("mount", "dataset", "notebook"):
        folders.append(work(tmp_path / kind, clips, limit=1))
        told(tmp_path / kind, kind, None)
    fk.bootstrap(tmp_path / "whole", resume=False)
    with pytest.raises(fk.SourceError, match=r"'clips'.*dataset.*\(dataset\).*notebook.*name="):
        fk.merge_ledgers(folders)
    assert len(fk.jobs_frame()) == 0
    fk.merge_ledgers(folders[:2])
    with pytest.raises(fk.SourceError, match="of another kind"):
        fk.merge_ledgers(folders[2:])


def told(folder: Path, kind: str, owner: str | None) -> None:
    """Have a ledger know this of its source."""
    workspace = fk.bootstrap(folder, resume=False)
    with workspace.database.transaction() as connection:
        connection.execute("UPDATE sources SET kind = ?, owner = ?", [kind, owner]).fetchall()
    workspace.close()


def test_a_ledger_on_a_read_only_mount_by_its_name_and_one_by_its_path(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(tmp_path / "input"))
    one = work(tmp_path / "one", clips, shard=(1, 2))
    two = work(tmp_path / "two", clips, shard=(2, 2))
    mount = tmp_path / "input" / "notebooks" / "me" / "part-one"
    shutil.copytree(one, mount)
    for path in sorted(mount.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    fk.bootstrap(tmp_path / "whole", resume=False)
    file = two / "data" / "foregsyte.duckdb"
    assert fk.merge_ledgers(["me/part-one", "part-one", file, two]).added == 12
    with pytest.raises(fk.InvalidArgumentError, match=r"no ledger 'me/none'.*part-one"):
        fk.merge_ledgers(["me/none"])


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.name.split(".")[0])
def test_an_older_ledger_is_merged(tmp_path: Path, stored: Path) -> None:
    (tmp_path / "old" / "data").mkdir(parents=True)
    file = tmp_path / "old" / "data" / "foregsyte.duckdb"
    file.write_bytes(gzip.decompress(stored.read_bytes()))
    before = file.read_bytes()
    fk.bootstrap(tmp_path / "new")
    merged = fk.merge_ledgers([tmp_path / "old"])
    statuses = fk.jobs_frame().status.value_counts().to_dict()
    assert (merged.added, statuses) == (
        5,
        {"pending": 3, "completed": 1, "failed": 1, "running": 0},
    )
    assert fk.merge_ledgers([file]).added == 0
    assert file.read_bytes() == before


def test_a_ledger_of_the_newest_duckdb_is_merged_with_its_log(tmp_path: Path) -> None:
    for suffix in ("duckdb", "duckdb.wal"):
        stored = LEDGERS / f"with_log.{suffix}.gz"
        (tmp_path / f"foregsyte.{suffix}").write_bytes(gzip.decompress(stored.read_bytes()))
    fk.bootstrap(tmp_path / "new")
    fk.merge_ledgers([tmp_path / "foregsyte.duckdb"])
    assert (fk.jobs_frame().status == "completed").sum() == 3
    assert len(fk.results_frame("file_info")) == 3


def test_what_cannot_be_merged_is_refused_and_nothing_changes(tmp_path: Path, clips: Path) -> None:
    one = work(tmp_path / "one", clips, limit=1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "foregsyte.duckdb").write_text("no ledger at all")
    workspace = fk.bootstrap(tmp_path / "whole")
    with pytest.raises(fk.LedgerError, match="not a DuckDB file"):
        fk.merge_ledgers([one, tmp_path / "bad"])
    with pytest.raises(fk.InvalidArgumentError, match="expected a list of ledgers"):
        fk.merge_ledgers(str(one))
    with pytest.raises(fk.InvalidArgumentError, match="expected the path of a ledger"):
        fk.merge_ledgers([3])  # type: ignore[list-item]
    workspace.live_runs.add(uuid.uuid4())
    with pytest.raises(fk.WorkspaceError, match="a run works"):
        fk.merge_ledgers([one])
    workspace.live_runs.clear()
    assert len(fk.jobs_frame()) == 0
    assert fk.merge_ledgers([workspace.directory]).ledgers == [], "its own ledger is passed over"


def test_a_source_name_with_two_owners_is_refused_before_anything_changes(
    tmp_path: Path, clips: Path
) -> None:
    folders = [work(tmp_path / name, clips, limit=1) for name in ("one", "two", "three")]
    for folder, owner in zip(folders, ("me", "somebody", None), strict=True):
        workspace = fk.bootstrap(folder)
        with workspace.database.transaction() as connection:
            connection.execute("UPDATE sources SET owner = $owner", {"owner": owner})
        workspace.close()
    fk.bootstrap(tmp_path / "whole")
    with pytest.raises(fk.SourceError, match=r"'clips' belongs to .* in .*name="):
        fk.merge_ledgers(folders)
    assert len(fk.jobs_frame()) == 0
    fk.merge_ledgers([folders[2], folders[0]])
    assert fk.sql("SELECT owner FROM sources").owner.tolist() == ["me"], "one was unknown"


def test_two_that_went_on_from_the_same_version_are_united(tmp_path: Path, clips: Path) -> None:
    work(tmp_path / "first", clips, limit=2)
    for name in ("left", "right"):
        fk.bootstrap(tmp_path / name, resume=tmp_path / "first")
        fk.run_jobs(
            "count_letters", executor="inline", progress=False, limit=3 if name == "left" else 5
        )
        fk.bootstrap(tmp_path / name).close()
    workspace = fk.bootstrap(tmp_path / "both", resume=tmp_path / "left", outputs="copy")
    merged = fk.merge_ledgers([tmp_path / "right"])
    # Both did the same three; the two of the first version are the same tries.
    assert (merged.added, merged.replaced, merged.attempts) == (0, 5, 5)
    assert len(fk.attempts_frame()) == 2 + 3 + 5
    assert len(fk.results_frame("count_letters")) == 7
    done = fk.jobs_frame(status="completed")
    assert len(done) == 7
    assert all((workspace.directory / path).exists() for path in done.output_path)


def test_a_ledger_that_is_open_in_this_process_is_refused(tmp_path: Path) -> None:
    one = fk.bootstrap(tmp_path / "one")
    fk.bootstrap(tmp_path / "two")
    with pytest.raises(fk.WorkspaceError, match="open in this process; close its workspace"):
        fk.merge_ledgers([one.directory])


def test_files_that_are_gone_are_named_and_the_rest_is_merged(tmp_path: Path, clips: Path) -> None:
    one = work(tmp_path / "one", clips, limit=2)
    lost = min((one / "data" / "outputs" / "count_letters").glob("*.txt"))
    lost.unlink()
    fk.bootstrap(tmp_path / "whole")
    merged = fk.merge_ledgers([one])
    assert (merged.files, merged.missing) == (1, [f"data/outputs/count_letters/{lost.name}"])


KILLED = """
import os, signal, sys
import foregsyte_kaggle as fk
from foregsyte_kaggle.transfer import merging, output_files
module, name = {"files": (output_files.os, "replace"), "rows": (merging, "add_records"),
                "staging": (merging, "compare_jobs")}[sys.argv[1]]
real = getattr(module, name)
def dies(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
fk.bootstrap(sys.argv[2])
setattr(module, name, dies)
fk.merge_ledgers(sys.argv[3:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["staging", "files", "rows"])
def test_a_kill_in_the_middle_merges_a_ledger_whole_or_not_at_all(
    tmp_path: Path, clips: Path, run_python: Callable[..., object], moment: str
) -> None:
    parts = [work(tmp_path / f"part-{k}", clips, shard=(k, 2)) for k in (1, 2)]
    whole = tmp_path / "whole"
    run_python(KILLED, moment, str(whole), *map(str, parts), status=-signal.SIGKILL)
    half_written = whole / "data" / "outputs" / ".partial"
    assert half_written.exists() is (moment == "files")
    fk.bootstrap(whole)
    assert not half_written.exists(), "its room is free again"
    assert len(fk.jobs_frame()) == 0
    assert len(fk.attempts_frame()) == 0
    assert fk.merge_ledgers(parts).added == 12
    assert len(fk.results_frame("count_letters")) == 12
    assert all((whole / path).exists() for path in fk.jobs_frame().output_path)


# Any order and grouping comes to the same

JOBS = [uuid.UUID(int=number + 1) for number in range(3)]
START = datetime(2026, 11, 1)  # noqa: DTZ001 - as the ledger stores it
VALUES = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.sampled_from([2**60, 0.5, -1.5, "a", "7", True]),
    st.lists(st.integers(0, 3), max_size=2),
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["a", "B", "b c"]), VALUES), max_size=2)
TRIES = st.lists(
    st.tuples(
        st.sampled_from(JOBS),
        st.sampled_from(["completed", "failed", "pending", "running"]),
        st.integers(0, 2),  # when it finished: often at the same time
        st.integers(1, 4),  # what attempt it was
        ROWS,
    ),
    max_size=4,
    unique_by=lambda one: one[0],
)


def ledger_of(
    tries: Iterable[tuple[uuid.UUID, str, int, int, list[dict[str, Any]]]], file: Path
) -> Path:
    """Write a ledger; an attempt of the same id says the same in all of them."""
    from foregsyte_kaggle.results import tables
    from foregsyte_kaggle.results.tables import ColumnChange

    with in_memory(file.parent) as workspace:
        made = list(tries)
        kinds: dict[str, set[str]] = {}
        for *_, rows in made:
            for row in rows:
                for name, value in row.items():
                    kinds.setdefault(name, set()).add(kind_of(value))
        columns = [ColumnChange(name, one_kind(found)) for name, found in sorted(kinds.items())]
        if any(rows for *_, rows in made):  # as where no job returned anything
            with workspace.database.exclusive() as connection:
                tables.change_columns(connection, "tried", columns)
        with workspace.database.transaction() as connection:
            for number, (job, status, minute, attempt, rows) in enumerate(made, start=1):
                finish = (
                    START + timedelta(minutes=minute) if status in ("completed", "failed") else None
                )
                connection.execute(
                    "INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at,"
                    " position, attempts, interruptions, finished_at, progress)"
                    " VALUES (?, ?, 'tried', ?, ?, ?, ?, 1, 0, ?, ?)",
                    [job, status, str(job), START, START, number, finish, attempt / 4],
                ).fetchall()
                if finish:
                    same = f"{job}{status}{minute}{attempt}{json.dumps(rows, sort_keys=True)}"
                    connection.execute(
                        "INSERT INTO job_attempts (attempt_id, job_id, attempt, outcome, finished_at)"
                        " VALUES (md5(?)::UUID, ?, 1, ?, ?)",
                        [same, job, status, finish],
                    ).fetchall()
                if status == "completed":
                    for row in rows:
                        store(connection, job, row, {c.name: c.kind for c in columns})
        return copy_ledger(workspace.database, file)


def kind_of(value: object) -> str:
    known = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR", list: "BIGINT[]"}
    return known.get(type(value), "VARCHAR" if value is None else "JSON")


def one_kind(found: set[str]) -> str:
    return next(iter(found)) if len(found) == 1 else "JSON"


def store(connection: Any, job: uuid.UUID, row: dict[str, Any], kinds: dict[str, str]) -> None:
    names, values = ["job_id"], [str(job)]
    marks = ["?::UUID"]
    for name, value in row.items():
        names.append(f'"{name}"')
        marks.append(f"?::{kinds[name]}")
        text = None if value is None else json.dumps(value)
        values.append(text if kinds[name] == "JSON" else value)
    connection.execute(
        f"INSERT INTO results.tried ({', '.join(names)}) VALUES ({', '.join(marks)})", values
    ).fetchall()


def state(workspace: fk.Workspace) -> dict[str, Any]:
    """Return what a merged ledger says, whatever the types of its columns and its numbers."""
    jobs = fk.sql("SELECT * EXCLUDE (position) FROM jobs ORDER BY job_id", workspace=workspace)
    tries = fk.sql("SELECT * FROM job_attempts ORDER BY attempt_id", workspace=workspace)
    with workspace.database.reading() as cursor:
        rows = []
        if result_columns(cursor, "tried"):
            rows = cursor.execute(
                "SELECT job_id::VARCHAR, to_json(tried)::VARCHAR FROM results.tried"
                " SEMI JOIN (SELECT job_id FROM jobs WHERE status = 'completed') USING (job_id)"
            ).fetchall()
    normal = []
    for job, text in rows:
        row = {k: v for k, v in json.loads(text).items() if v is not None and k != "job_id"}
        normal.append((job, json.dumps({k: normalized(v) for k, v in row.items()}, sort_keys=True)))
    return {
        "jobs": jobs.astype(str).to_dict("records"),
        "attempts": tries.astype(str).to_dict("records"),
        "rows": sorted(normal),
    }


def normalized(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def merged_state(groups: list[Any], folder: Path) -> dict[str, Any]:
    """Merge ledgers in the order and the nested groups given; a group becomes a ledger of its own."""
    with in_memory(folder) as workspace, redirect_stdout(StringIO()):
        for group in groups:
            fk.merge_ledgers([group] if isinstance(group, Path) else group, workspace=workspace)
        return state(workspace)


def completed(job: int, **row: Any) -> list[tuple[Any, ...]]:
    return [(JOBS[job], "completed", 0, 1, [row])]


def returned_nothing(job: int, minute: int) -> list[tuple[Any, ...]]:
    return [(JOBS[job], "completed", minute, 1, [])]


@pytest.mark.slow
@pytest.mark.timeout(600)
@example([completed(0, B=[]), completed(1, B=7), completed(2, B="7")], random.Random(0))
@example([completed(0, B=[]), completed(1, B=[1]), completed(2, B=None)], random.Random(0))
@example([completed(0, a=1), returned_nothing(0, 1)], random.Random(1))
@example([returned_nothing(0, 0), returned_nothing(1, 0)], random.Random(0))
@given(st.lists(TRIES, min_size=2, max_size=3), st.randoms(use_true_random=False))
@settings(
    max_examples=int(os.environ.get("FOREGSYTE_EXAMPLES", "12")),
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking takes many minutes
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_order_and_grouping_comes_to_the_same(ledgers: list[Any], order: random.Random) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = [ledger_of(one, folder / f"{n}.duckdb") for n, one in enumerate(ledgers)]
        once = merged_state(paths, folder)
        shuffled = [*paths, *paths]
        order.shuffle(shuffled)
        assert merged_state(shuffled, folder) == once, "another order, and each twice"
        # ((last + first) + rest): what a group came to is merged as a ledger.
        with in_memory(folder) as workspace, redirect_stdout(StringIO()):
            fk.merge_ledgers([paths[-1], paths[0]], workspace=workspace)
            group = copy_ledger(workspace.database, folder / "group.duckdb")
        assert merged_state([*paths[1:-1], group], folder) == once, "another grouping"
