"""The same inputs in either of Kaggle's layouts are the same jobs, wherever they are attached tomorrow."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foregsyte_kaggle import (
    Registration,
    SourceError,
    Workspace,
    bootstrap,
    jobs_frame,
    pipeline,
    register_jobs,
    run_jobs,
    sql,
)
from foregsyte_kaggle.identity import job_identity

pytestmark = pytest.mark.integration

NEW, OLD = "datasets/ann/clips", "clips"
MODEL = "gemma/pytorch/2b"


@pytest.fixture(autouse=True)
def pipelines() -> None:
    pipeline("size")(lambda path: {"place": str(path), "bytes": path.stat().st_size})


@pytest.fixture
def root(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that inputs are attached below, beside an open workspace."""
    folder = workspace.directory / "kaggle" / "input"
    folder.mkdir(parents=True)
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(folder))
    return folder


def attach(root: Path, *files: str, size: int = 1) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x" * size)


def move(root: Path, old: str, new: str) -> None:
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / old).rename(root / new)


def counts(made: Registration) -> tuple[int, int, int]:
    return made.added, made.unchanged, made.changed


def known() -> list[tuple[Any, ...]]:
    return list(sql("SELECT name, kind, owner FROM sources ORDER BY name").itertuples(index=False))


def told() -> tuple[Any, ...]:
    (only,) = known()
    return tuple(None if pd.isna(value) else value for value in only)


def run(**options: Any) -> None:
    run_jobs("size", executor="inline", progress=False, **options)


def refusal(*arguments: Any, **options: Any) -> str:
    before = len(jobs_frame())
    with pytest.raises(SourceError) as caught:
        register_jobs(*arguments, **options)
    assert len(jobs_frame()) == before
    return str(caught.value)


# The other layout tomorrow


@pytest.mark.parametrize(("today", "tomorrow"), [(OLD, NEW), (NEW, OLD)])
@pytest.mark.parametrize("text", ["ann/clips", "clips", "datasets/ann/clips"])
def test_other_layout_adds_nothing(root: Path, today: str, tomorrow: str, text: str) -> None:
    attach(root, f"{today}/a.mp4", f"{today}/train/b.mp4")
    assert counts(register_jobs(text, "size")) == (2, 0, 0)
    assert told() == ("clips", *(("dataset", "ann") if today == NEW else ("mount", None)))
    move(root, today, tomorrow)
    assert counts(register_jobs(text, "size")) == (0, 2, 0)
    assert told() == ("clips", "dataset", "ann"), "what one layout told stays, and is learned"
    assert counts(register_jobs(root / tomorrow, "size")) == (0, 2, 0)
    assert counts(register_jobs(f"{root}/{today}/train", "size")) == (0, 1, 0)
    assert counts(register_jobs(f"{root}/{tomorrow}/**/*.mp4", "size")) == (0, 2, 0)
    ids = {job_identity("size", "clips", path) for path in ("a.mp4", "train/b.mp4")}
    assert set(jobs_frame().job_id) == {str(one) for one in ids}
    run()
    assert set(jobs_frame().status) == {"completed"}


@pytest.mark.parametrize(
    ("today", "tomorrow", "text", "facts"),
    [
        ("titanic", "competitions/titanic", "competitions/titanic", ("titanic", "competition")),
        ("run", "notebooks/ann/run", "notebooks/ann/run", ("run", "notebook")),
        (
            f"{MODEL}/1",
            f"models/g/{MODEL}/1",
            "models/g/gemma/pyTorch/2b",
            (MODEL, "model"),
        ),
        ("gemma/pytorch/2b/1", "models/g/gemma/pyTorch/2b/2", "gemma", (MODEL, "model")),
    ],
)
def test_each_kind_is_known_again_both_ways(
    root: Path, today: str, tomorrow: str, text: str, facts: tuple[str, str]
) -> None:
    attach(root, f"{today}/a", f"{today}/b/c")
    assert counts(register_jobs(text, "size")) == (2, 0, 0)
    for old, new in [(today, tomorrow), (tomorrow, today)]:
        move(root, old, new)
        if (root / "gemma").is_dir() and new != today:
            subprocess.run(["rm", "-r", root / "gemma"], check=True)
        assert counts(register_jobs(text, "size")) == (0, 2, 0)
        assert told()[:2] == facts


def test_new_version_of_a_model_is_the_same_source_and_sizes_tell(root: Path) -> None:
    attach(root, f"models/g/{MODEL}/1/a", f"models/g/{MODEL}/1/b")
    text = f"models/g/{MODEL}"
    register_jobs(text, "size")
    run()
    move(root, f"models/g/{MODEL}/1", f"models/g/{MODEL}/2")
    attach(root, f"models/g/{MODEL}/2/b", size=5)
    attach(root, f"models/g/{MODEL}/2/c")
    assert counts(register_jobs(text, "size")) == (1, 1, 1)


def test_two_versions_of_a_model_at_once_are_told_apart_by_name(root: Path) -> None:
    attach(root, f"models/g/{MODEL}/1/a", f"models/g/{MODEL}/2/a")
    register_jobs(f"models/g/{MODEL}/1", "size")
    assert f"name='{MODEL}'" in refusal(f"models/g/{MODEL}/2", "size")
    assert counts(register_jobs(f"models/g/{MODEL}/2", "size", name="gemma-2")) == (1, 0, 0)


# One name, two inputs


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (NEW, "datasets/bob/clips", ("(a dataset of ann)", "(a dataset of bob)")),
        (NEW, "notebooks/ann/clips", ("(a dataset of ann)", "(a notebook of ann)")),
        (NEW, "competitions/clips", ("(a dataset of ann)", "(a competition)")),
    ],
)
def test_same_name_with_another_owner_or_kind_is_an_error_that_says_name(
    root: Path, first: str, second: str, words: tuple[str, str]
) -> None:
    attach(root, f"{first}/a", f"{second}/a")
    register_jobs(first, "size")
    text = refusal(second, "size")
    assert text.startswith(f"the name 'clips' belongs to {root}/{first} {words[0]} in this ledger")
    assert f"at {root}/{second} {words[1]}. Pass name='clips' if" in text
    subprocess.run(["rm", "-r", root / first], check=True)
    assert refusal(second, "size") == text, "also when the first is not attached any more"
    assert counts(register_jobs(second, "size", name="clips")) == (0, 1, 0)


def test_owner_that_was_learned_is_kept_through_the_older_layout(root: Path) -> None:
    attach(root, f"{NEW}/a")
    register_jobs("clips", "size")
    move(root, NEW, OLD)
    register_jobs("clips", "size")
    move(root, OLD, "datasets/bob/clips")
    assert "(a dataset of ann)" in refusal("clips", "size")


def test_unknown_owner_with_other_files_is_not_taken_for_the_same(root: Path) -> None:
    attach(root, f"{OLD}/a")
    register_jobs("clips", "size")
    subprocess.run(["rm", "-r", root / OLD], check=True)
    attach(root, f"{NEW}/other")
    assert "Pass name='clips' if it is the same data" in refusal("clips", "size")


def test_two_places_at_once_are_two_inputs(root: Path) -> None:
    attach(root, f"{OLD}/a", f"{NEW}/a")
    register_jobs(root / OLD, "size")
    assert "Pass name=" in refusal(root / NEW, "size")


def test_folder_of_ones_own_is_not_an_attached_input(root: Path, workspace: Workspace) -> None:
    attach(workspace.directory, "clips/a")
    register_jobs("clips", "size")
    (workspace.directory / "clips").rename(workspace.directory / "gone")
    attach(root, f"{NEW}/a")
    assert "Pass name='clips'" in refusal("ann/clips", "size")
    assert counts(register_jobs("ann/clips", "size", name="clips")) == (0, 1, 0)
    assert told() == ("clips", "dataset", "ann")


def test_name_of_ones_own_follows_a_part_of_an_input(root: Path) -> None:
    attach(root, f"{OLD}/train/one/a", f"{OLD}/train/b", f"{OLD}/c")
    assert counts(register_jobs(root / OLD / "train", "size", name="train")) == (2, 0, 0)
    move(root, OLD, NEW)
    assert counts(register_jobs(f"{root}/{OLD}/train/one", "size", name="train")) == (0, 1, 0)
    assert counts(register_jobs(f"{root}/{NEW}/train", "size", name="train")) == (0, 2, 0)
    assert list(jobs_frame().input_path) == ["b", "one/a"]


# Running where inputs are today


@pytest.mark.parametrize(("today", "tomorrow"), [(OLD, NEW), (NEW, OLD)])
def test_run_finds_its_inputs_in_the_other_layout(
    root: Path,
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    today: str,
    tomorrow: str,
) -> None:
    attach(root, f"{today}/a", f"{today}/b")
    register_jobs("ann/clips", "size")
    run(limit=1)
    workspace.close()
    move(root, today, tomorrow)
    bootstrap(workspace.directory)
    run()
    assert f"the source 'clips' is at {root}/{tomorrow} now" in capsys.readouterr().out
    assert set(jobs_frame().status) == {"completed"}
    rows = sql("SELECT place FROM results.size").iloc[:, 0].tolist()
    assert sorted(rows) == sorted([f"{root}/{today}/a", f"{root}/{tomorrow}/b"])
    assert told() == ("clips", "dataset", "ann")
    assert sql("SELECT root FROM sources").iloc[0, 0].endswith(tomorrow)
    assert counts(register_jobs("ann/clips", "size")) == (0, 2, 0)


def test_run_finds_the_version_that_is_attached_and_a_part_by_a_name(root: Path) -> None:
    attach(root, f"{MODEL}/1/a", f"{OLD}/train/b")
    register_jobs("gemma", "size")
    register_jobs(root / OLD / "train", "size", name="part")
    move(root, f"{MODEL}/1", f"models/g/{MODEL}/7")
    move(root, OLD, NEW)
    run()
    assert set(jobs_frame().status) == {"completed"}


def test_run_does_not_choose_between_two(root: Path) -> None:
    attach(root, f"{OLD}/a")
    register_jobs("clips", "size")
    move(root, OLD, NEW)
    attach(root, "datasets/bob/clips/a")
    with pytest.raises(SourceError, match=r"one of 2 attached inputs: .*/ann/clips; .*/bob/clips"):
        run()
    (root / "datasets/bob/clips/a").unlink()
    run()
    assert set(jobs_frame().status) == {"completed"}, "the other holds none of the inputs"


def test_run_without_its_input_says_where_it_was(root: Path) -> None:
    attach(root, f"{NEW}/a")
    register_jobs("clips", "size")
    subprocess.run(["rm", "-r", root / "datasets"], check=True)
    attach(root, "datasets/bob/clips/a")
    with pytest.raises(SourceError, match=r"'clips' was at .*ann/clips, and there is no such"):
        run()


# Nothing is written beside inputs


@pytest.fixture
def read_only(root: Path) -> Iterator[Callable[[], None]]:
    """Make the inputs read-only: by their modes, and, for root, whom modes do not stop, by a mount."""
    mounted = []

    def lock() -> None:
        for path in sorted(root.rglob("*"), reverse=True):
            path.chmod(0o555 if path.is_dir() else 0o444)
        bind = ["mount", "--bind", root, root]
        if (
            os.geteuid() == 0
            and subprocess.run(bind, check=False, capture_output=True).returncode == 0
        ):
            mounted.append(root)
            subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)

    yield lock
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)
    for path in root.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)


def contents(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_mode)
        for path in root.rglob("*")
    }


def test_nothing_is_written_beside_read_only_inputs(
    root: Path, read_only: Callable[[], None]
) -> None:
    attach(root, f"{NEW}/a.txt", "songs/b.txt", "competitions/titanic/train.csv")
    (root / "competitions/titanic/train.csv").write_text("path\ntrain.csv\n")
    read_only()
    before = contents(root)
    register_jobs("ann/clips", "file_info")
    register_jobs("songs", "file_info")
    register_jobs(root / "competitions/titanic/train.csv", "file_info")
    run_jobs("file_info", workers=1, progress=False)
    assert set(jobs_frame().status) == {"completed"}
    assert contents(root) == before
