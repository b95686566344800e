"""Registering: one job an input, none of them twice, in whatever order, place and session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foregsyte_kaggle import (
    InvalidArgumentError,
    LedgerError,
    PipelineError,
    Registration,
    SourceError,
    Workspace,
    attempts_frame,
    bootstrap,
    jobs_frame,
    pipeline,
    register_jobs,
    results_frame,
    run_jobs,
)
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.identity import decode_path, job_identity

pytestmark = pytest.mark.integration

AWKWARD_NAMES = [
    'it\'s "quoted".mp4',
    "two\nlines\x01.mp4",
    "<script>alert(1)</script>",
    "%d 100%25.mp4",
    "percent-encoded:%41",
    "a" * 150 + "é" * 50,
    os.fsdecode(b"latin \xe9\xff.mp4"),
    " blanks ",
    "back\\slash",
    "*?[a]",
    "~",
    "0 bytes",
]


@pytest.fixture(autouse=True)
def pipelines() -> None:
    pipeline("name_of")(lambda path, **_params: {"name": os.fsencode(path)})
    pipeline("other")(lambda _path: None)


def make(*paths: str, size: int = 1) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"x" * size)


def counts(made: Registration) -> tuple[int, int, int]:
    return made.added, made.unchanged, made.changed


def statuses() -> dict[str, str]:
    frame = jobs_frame()
    return dict(zip(frame.input_path, frame.status.astype(str), strict=True))


def run(pipeline_id: str = "name_of") -> None:
    run_jobs(pipeline_id, executor="inline", progress=False)


def refusal(*arguments: Any, **options: Any) -> str:
    before = len(jobs_frame())
    with pytest.raises((SourceError, InvalidArgumentError, PipelineError)) as caught:
        register_jobs(*arguments, **options)
    assert len(jobs_frame()) == before
    return str(caught.value)


# Once and again


def test_registering_twice_adds_nothing(
    workspace: Workspace, persisted: Callable[[Path | None, str], list[tuple[Any, ...]]]
) -> None:
    make("clips/b.mp4", "clips/a.mp4", "clips/sub/c.mp4")
    first = register_jobs("clips", "name_of")
    assert str(first) == "name_of over clips: 3 added, 0 unchanged"
    assert repr(first) == f"<Registration {first}>"
    assert first.total == 3
    query = (
        "SELECT job_id, position, input_path, created_at, updated_at FROM jobs ORDER BY position"
    )
    rows = persisted(workspace.ledger_path, query)
    assert [row[1:3] for row in rows] == [(1, "a.mp4"), (2, "b.mp4"), (3, "sub/c.mp4")]
    assert [row[0] for row in rows] == [job_identity("name_of", "clips", row[2]) for row in rows]
    again = register_jobs("clips", "name_of")
    assert str(again) == "name_of over clips: 0 added, 3 unchanged"
    assert persisted(workspace.ledger_path, query) == rows


@pytest.mark.usefixtures("memory_workspace")
def test_new_file_adds_one_job_behind_the_others() -> None:
    make("clips/b", "clips/c")
    register_jobs("clips", "name_of")
    make("clips/a")
    assert counts(register_jobs("clips", "name_of")) == (1, 2, 0)
    assert jobs_frame().input_path.tolist() == ["b", "c", "a"]


@pytest.mark.usefixtures("memory_workspace")
def test_vanished_file_keeps_its_job() -> None:
    make("clips/a", "clips/b")
    register_jobs("clips", "name_of")
    Path("clips/a").unlink()
    assert counts(register_jobs("clips", "name_of")) == (0, 1, 0)
    assert jobs_frame().input_path.tolist() == ["a", "b"]


@pytest.mark.usefixtures("memory_workspace")
def test_pattern_and_limit_choose_and_more_can_follow() -> None:
    make(*(f"clips/{number}.mp4" for number in range(5)), "clips/notes.txt")
    assert counts(register_jobs("clips", "name_of", pattern="*.mp4", limit=2)) == (2, 0, 0)
    assert counts(register_jobs("clips", "name_of", pattern="*.mp4", limit=3)) == (1, 2, 0)
    assert counts(register_jobs("clips", "name_of")) == (3, 3, 0)
    assert counts(register_jobs("clips", "name_of", limit=99)) == (0, 6, 0)
    assert jobs_frame().input_path.tolist() == [*(f"{n}.mp4" for n in range(5)), "notes.txt"]


@pytest.mark.usefixtures("memory_workspace")
def test_each_pipeline_source_and_params_has_its_own_jobs() -> None:
    make("clips/a", "more/a")
    options: list[dict[str, Any]] = [{}, {"params": {"x": 1}}, {"params": {"x": 2}}, {"name": "n"}]
    for one in options:
        assert counts(register_jobs("clips", "name_of", **one)) == (1, 0, 0)
    assert counts(register_jobs("clips", "name_of", params={})) == (0, 1, 0)
    assert counts(register_jobs("clips", "other")) == (1, 0, 0)
    assert counts(register_jobs("more", "name_of")) == (1, 0, 0)
    frame = jobs_frame()
    assert frame.job_id.nunique() == len(frame) == 6
    assert frame.params.tolist()[1:3] == ['{"x":1}', '{"x":2}']


@pytest.mark.usefixtures("memory_workspace")
def test_folder_glob_and_list_of_one_folder_are_the_same_jobs() -> None:
    make("clips/a.mp4", "clips/b.mp4")
    assert counts(register_jobs("clips", "name_of")) == (2, 0, 0)
    assert counts(register_jobs("clips/*.mp4", "name_of")) == (0, 2, 0)
    assert counts(register_jobs(["clips/b.mp4", "clips/a.mp4"], "name_of")) == (0, 2, 0)
    assert counts(register_jobs(Path("clips").resolve(), "name_of", name="clips")) == (0, 2, 0)


@pytest.mark.usefixtures("memory_workspace")
def test_folders_are_inputs_with_unit_folder() -> None:
    make("scans/one/a.dcm", "scans/one/b.dcm", "scans/two/a.dcm", "scans/none/x.txt")
    assert counts(register_jobs("scans", "name_of", pattern="**/*.dcm", unit="folder")) == (2, 0, 0)
    run()
    assert [os.path.basename(name) for name in results_frame("name_of").name] == [b"one", b"two"]
    paths = ["scans/one", "scans/two"]
    found = register_jobs(paths, "name_of", pattern="**/*.dcm", unit="folder")
    assert counts(found) == (0, 2, 0), "a list of folders has the sizes that a folder of them has"
    make("scans/two/b.dcm")
    assert counts(register_jobs("scans", "name_of", pattern="**/*.dcm", unit="folder")) == (0, 1, 1)


# Changes


@pytest.mark.usefixtures("memory_workspace")
def test_finished_jobs_whose_input_changed_run_again_and_others_stay() -> None:
    make("clips/a", "clips/b", "clips/c")
    register_jobs("clips", "name_of", limit=2)
    run()
    register_jobs("clips", "name_of")
    make("clips/a", "clips/c", size=5)
    found = register_jobs("clips", "name_of")
    assert str(found) == "name_of over clips: 0 added, 1 unchanged, 2 changed"
    assert statuses() == {"a": "pending", "b": "completed", "c": "pending"}
    assert jobs_frame().input_size.tolist() == [5, 1, 5]
    assert counts(register_jobs("clips", "name_of")) == (0, 3, 0)
    run()
    assert statuses() == dict.fromkeys("abc", "completed")
    assert len(results_frame("name_of")) == 3


@pytest.mark.usefixtures("memory_workspace")
def test_failed_job_whose_input_changed_runs_again() -> None:
    @pipeline("not_empty")
    def not_empty(path: Path) -> None:
        if not path.stat().st_size:
            raise ValueError("no bytes")

    make("clips/a", size=0)
    register_jobs("clips", "not_empty")
    run("not_empty")
    assert statuses() == {"a": "failed"}
    make("clips/a")
    assert counts(register_jobs("clips", "not_empty")) == (0, 0, 1)
    assert statuses() == {"a": "pending"}
    assert jobs_frame().error_message.isna().all()


@pytest.mark.usefixtures("memory_workspace")
def test_changed_input_is_kept_when_asked_and_runs_again_later() -> None:
    make("clips/a", "clips/b")
    register_jobs("clips", "name_of")
    run()
    make("clips/a", size=2)
    for _ in range(2):
        assert counts(register_jobs("clips", "name_of", on_change="keep")) == (0, 1, 1)
        assert statuses() == {"a": "completed", "b": "completed"}
    assert counts(register_jobs("clips", "name_of")) == (0, 1, 1)
    assert statuses() == {"a": "pending", "b": "completed"}


@pytest.mark.usefixtures("memory_workspace")
def test_input_of_a_table_that_changed_runs_again() -> None:
    make("clips/a", "clips/b")
    table = pd.DataFrame({"path": ["clips/a", "clips/b"], "x": [1, 2]})
    register_jobs(table, "name_of")
    run()
    make("clips/b", size=2)
    assert counts(register_jobs(table, "name_of")) == (0, 1, 1)


# Tables


@pytest.mark.usefixtures("memory_workspace")
def test_rows_that_repeat_are_one_job_and_rows_that_differ_in_params_two() -> None:
    make("clips/a", "clips/b")
    table = pd.DataFrame(
        {"path": ["clips/b", "clips/a", "./clips/b", "clips/b"], "x": [1, 1, 1, 2]}
    )
    assert counts(register_jobs(table, "name_of")) == (3, 0, 0)
    assert counts(register_jobs(table, "name_of")) == (0, 3, 0)
    frame = jobs_frame()
    assert frame.input_path.tolist() == ["clips/b", "clips/a", "clips/b"]
    assert frame.params.tolist() == ['{"x":1}', '{"x":1}', '{"x":2}']
    assert counts(register_jobs(["clips/a"] * 3 + ["clips/b"], "name_of", limit=2)) == (2, 0, 0)


@pytest.mark.usefixtures("memory_workspace")
def test_ids_run_without_files_and_params_arrive_as_they_were() -> None:
    seen: list[tuple[object, object]] = []

    @pipeline("see")
    def see(path: str, **params: object) -> None:
        seen.append((path, params))

    Path("ids.csv").write_text("id,camera,at\n007,01,\nx/../y,2,0.5\n")
    register_jobs("ids.csv", "see", params={"k": [1]})
    run_jobs("see", executor="inline", progress=False)
    assert seen == [
        ("007", {"camera": "01", "k": [1]}),
        ("x/../y", {"camera": "2", "at": 0.5, "k": [1]}),
    ]


# Names and places


@pytest.mark.usefixtures("memory_workspace")
def test_same_name_at_another_place_is_an_error_that_says_name() -> None:
    make("one/clips/a", "two/clips/a")
    register_jobs("one/clips", "name_of")
    here = Path.cwd()
    assert refusal("two/clips", "name_of") == (
        f"the name 'clips' belongs to {here}/one/clips in this ledger, and this source is at "
        f"{here}/two/clips. Pass name='clips' if it is the same data in a new place, or another name to "
        "keep the two apart."
    )
    assert counts(register_jobs("two/clips", "name_of", name="clips-2")) == (1, 0, 0)


def test_name_re_points_a_source_that_moved(workspace: Workspace) -> None:
    make("old/clips/a", "old/clips/b")
    register_jobs("old/clips", "name_of")
    Path("old").rename("new")
    make("new/clips/c")
    with pytest.raises(
        SourceError, match=r"'clips' was at old/clips, and there is no such folder now"
    ):
        run()
    assert counts(register_jobs("new/clips", "name_of", name="clips")) == (1, 2, 0)
    run()
    names = [os.fsdecode(name) for name in results_frame("name_of").name]
    assert names == [str(workspace.directory / "new" / "clips" / name) for name in "abc"]


@pytest.mark.usefixtures("memory_workspace")
def test_name_does_not_re_point_to_where_none_of_its_inputs_is() -> None:
    make("clips/a", "music/b")
    register_jobs("clips", "name_of")
    here = Path.cwd()
    assert refusal("music", "name_of", name="clips") == (
        f"the name 'clips' belongs to {here}/clips in this ledger, and none of its inputs is at "
        f"{here}/music, such as 'a'. Pass another name, or the folder that holds them now."
    )
    assert "none of its inputs" in refusal(
        [*Path("clips").iterdir(), "music/b"], "name_of", name="clips"
    )


@pytest.mark.usefixtures("memory_workspace")
def test_list_with_a_name_grows_and_shrinks_within_its_folder() -> None:
    make("clips/one/a", "clips/two/b", "clips/two/c")
    register_jobs(["clips/one/a", "clips/two/b"], "name_of", name="mine")
    assert counts(register_jobs(["clips/two/b", "clips/two/c"], "name_of", name="mine")) == (
        1,
        1,
        0,
    )
    assert counts(register_jobs("clips/one", "name_of", name="mine")) == (0, 1, 0)
    assert counts(register_jobs("clips/one", "name_of", name="mine", unit="folder")) == (1, 0, 0)
    assert jobs_frame().input_path.tolist() == ["one/a", "two/b", "two/c", "one"]


@pytest.mark.usefixtures("memory_workspace")
def test_name_of_ids_is_not_that_of_files() -> None:
    make("clips/a")
    register_jobs("clips", "name_of")
    assert refusal(pd.DataFrame({"id": ["a"]}), "name_of", name="clips") == (
        "the name 'clips' belongs to a source of another kind (folder) in this ledger; pass another one, "
        "such as name='clips-2'"
    )
    register_jobs(pd.DataFrame({"id": ["a"]}), "name_of", name="ids")
    assert "of another kind (ids)" in refusal("clips", "name_of", name="ids")


def test_moved_workspace_knows_its_inputs_again(workspace: Workspace, tmp_path: Path) -> None:
    make("here/clips/a", "here/clips/b")
    first = bootstrap("here")
    register_jobs(first.directory / "clips", "name_of")
    register_jobs(pd.DataFrame({"path": [str(first.directory / "clips" / "a")]}), "other", name="t")
    run()
    first.close()
    shutil.copytree("here", "there")
    shutil.rmtree("here")
    there = bootstrap("there")
    assert counts(register_jobs(there.directory / "clips", "name_of")) == (0, 2, 0)
    make("there/clips/c")
    assert counts(register_jobs(there.directory / "clips", "name_of")) == (1, 2, 0)
    run()
    run("other")
    assert set(jobs_frame().status) == {"completed"}
    names = {os.fsdecode(name) for name in results_frame("name_of").name}
    assert str(tmp_path / "there/clips/c") in names
    assert workspace.directory == tmp_path


@pytest.mark.usefixtures("workspace")
def test_what_this_package_writes_is_no_input() -> None:
    make("data/clips/a", "data/outputs/name_of/b", "data/backups/c", "d")
    register_jobs(".", "name_of", name="all")
    assert jobs_frame().input_path.tolist() == ["d", "data/clips/a"]
    assert counts(register_jobs("data", "other")) == (1, 0, 0)
    assert counts(register_jobs("data/outputs", "other")) == (1, 0, 0)


# Bad input


def test_awkward_names_survive_registering_running_and_frames(workspace: Workspace) -> None:
    for name in AWKWARD_NAMES:
        make(f"clips/{name}", size=0 if name == "0 bytes" else 3)
    assert counts(register_jobs("clips", "file_info")) == (len(AWKWARD_NAMES), 0, 0)
    assert counts(register_jobs("clips", "file_info")) == (0, len(AWKWARD_NAMES), 0)
    run_jobs("file_info", workers=2, progress=False)
    frame = jobs_frame()
    assert set(frame.status) == {"completed"}, attempts_frame().error_message.tolist()
    assert {decode_path(path) for path in frame.input_path} == set(AWKWARD_NAMES)
    results = results_frame("file_info")
    sizes = dict(zip(map(decode_path, results.input_path), results.size_bytes, strict=True))
    assert sizes == {name: 0 if name == "0 bytes" else 3 for name in AWKWARD_NAMES}
    assert set(attempts_frame().input_path) == set(frame.input_path)
    frame.to_csv(workspace.directory / "jobs.csv")


@pytest.mark.usefixtures("memory_workspace")
@pytest.mark.parametrize(
    "folder", ['it\'s "q" <b>%', "two\nlines", os.fsdecode(b"odd\xff")], ids=repr
)
def test_source_with_an_awkward_name_runs_and_is_known_again(folder: str) -> None:
    make(f"{folder}/a")
    assert counts(register_jobs(folder, "name_of")) == (1, 0, 0)
    run()
    assert results_frame("name_of").name.tolist() == [os.fsencode(Path(folder, "a").resolve())]
    assert counts(register_jobs(folder, "name_of")) == (0, 1, 0)


@pytest.mark.usefixtures("memory_workspace")
def test_what_cannot_be_read_is_told_and_the_rest_is_registered() -> None:
    make("clips/a", "clips/b")
    Path("clips/gone").symlink_to("nowhere")
    Path("clips/loop").symlink_to(".")
    found = register_jobs("clips", "name_of")
    assert counts(found) == (2, 0, 0)
    assert sorted(found.skipped) == [
        ("gone", "a broken link"),
        ("loop", "a link to a folder above it"),
    ]
    assert str(found).startswith(
        "name_of over clips: 2 added, 0 unchanged; 2 could not be read, first"
    )


@pytest.mark.usefixtures("memory_workspace")
def test_unknown_pipeline_names_the_nearest() -> None:
    make("clips/a")
    assert refusal("clips", "file_inof") == (
        "there is no pipeline 'file_inof'. Did you mean 'file_info'? Known are file_info, name_of, other, "
        "video_info, yolo_ocr. Define it first: @foregsyte_kaggle.pipeline('file_inof') above a function of a path."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "video"}, "unit='video' is unknown; expected 'file' or 'folder'"),
        ({"on_change": "no"}, "on_change='no' is unknown; expected 'rerun' or 'keep'"),
        ({"limit": 0}, "limit=0; expected a whole number from 1, or None"),
        ({"limit": "3"}, "limit='3'; expected a whole number from 1, or None"),
        ({"limit": True}, "limit=True; expected a whole number from 1, or None"),
        ({"params": ["x"]}, "params is ['x'] of type list; expected a dict of JSON values"),
        (
            {"pattern": "../*"},
            "pattern='../*' names no file below the folder; expected one such as",
        ),
        ({"pattern": None}, "pattern=None; expected a glob as text, such as '**/*.mp4', or"),
        ({"pattern": ["*.mp4"]}, "pattern=['*.mp4']; expected a glob as text"),
        (
            {"name": ""},
            "name='' cannot name a source; expected text on one line that can be printed",
        ),
    ],
    ids=str,
)
@pytest.mark.usefixtures("memory_workspace")
def test_bad_argument_says_what_was_expected(options: dict[str, Any], message: str) -> None:
    make("clips/a")
    assert refusal("clips", "name_of", **options).startswith(message)


@pytest.mark.usefixtures("memory_workspace")
def test_refused_registration_leaves_no_source_behind() -> None:
    make("clips/a", "x/clips/b")
    register_jobs("clips", "name_of")
    refusal("x/clips", "name_of")
    refusal("nope", "name_of")
    refusal("clips", "nope")
    assert counts(register_jobs("x/clips", "name_of", name="nope")) == (1, 0, 0)


def test_whole_numbers_with_a_gap_are_the_same_params_from_csv_and_dataframe(
    workspace: Workspace,
) -> None:
    Path("a.txt").write_text("a")
    Path("b.txt").write_text("b")
    Path("table.csv").write_text("path,k\na.txt,1\nb.txt,\n")
    assert register_jobs("table.csv", "name_of", name="t").added == 2
    again = register_jobs(pd.read_csv("table.csv"), "name_of", name="t")
    assert (again.added, again.unchanged) == (0, 2)
    assert jobs_frame().params.fillna("").tolist() == ['{"k":1}', ""]


@pytest.mark.parametrize(("number", "stays"), [(100, True), (40_000, False)])
def test_the_log_of_many_jobs_is_moved_into_the_file_before_a_run_has_to(
    workspace: Workspace, number: int, stays: bool
) -> None:
    made = register_jobs(pd.DataFrame({"id": range(number)}), "other", name="ids")
    assert made.added == number
    log = Path(f"{workspace.database.path}.wal")
    assert (log.exists() and log.stat().st_size > 0) == stays


def test_jobs_are_registered_also_where_their_log_cannot_be_moved(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_database: Database) -> bool:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(Database, "checkpoint", refuse)
    frame = pd.DataFrame({"id": range(40_000)})
    assert register_jobs(frame, "other", name="ids").added == 40_000
    monkeypatch.undo()
    assert len(jobs_frame()) == 40_000
