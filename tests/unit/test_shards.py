"""Shards: n notebooks share the inputs of a source, each its own part, by identity."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foregsyte_kaggle as fk
from foregsyte_kaggle.identity import SHARD_SQL, job_identity, shard_of
from foregsyte_kaggle.testing import memory_workspace as in_memory
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.txt").write_text("x" * number)
    return folder


def paths_of(folder: Path, **options: object) -> list[str]:
    with in_memory(folder.parent) as workspace:
        fk.register_jobs(folder, "file_info", workspace=workspace, **options)  # type: ignore[arg-type]
        frame = fk.jobs_frame(workspace=workspace)
        assert sorted(fk.sql("SELECT position FROM jobs").position) == list(
            range(1, len(frame) + 1)
        )
        return [str(path) for path in frame.input_path]


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_all_shards_together_are_everything_and_none_twice(clips: Path, shards: int) -> None:
    parts = [paths_of(clips, shard=(k, shards)) for k in range(1, shards + 1)]
    everything = [path for part in parts for path in part]
    assert sorted(everything) == sorted(paths_of(clips))
    assert len(set(everything)) == 40
    assert all(len(part) < 40 for part in parts) or shards == 1


def test_inputs_that_come_later_move_no_other(clips: Path) -> None:
    before = paths_of(clips, shard=(2, 3))
    for number in range(40, 80):
        (clips / f"{number}.txt").touch()
    (clips / "aaa.txt").touch()
    after = paths_of(clips, shard=(2, 3))
    assert set(before) < set(after)
    assert {path for path in after if path < "40.txt"} == set(before)


def test_a_limit_is_taken_before_the_split(clips: Path) -> None:
    parts = [paths_of(clips, shard=(k, 2), limit=10) for k in (1, 2)]
    assert sorted(parts[0] + parts[1]) == [f"{number:02}.txt" for number in range(10)]


def test_a_shard_depends_on_the_identity_that_params_are_part_of(
    tmp_path: Path, memory_workspace: Workspace
) -> None:
    import pandas as pd

    @fk.pipeline("shard_params")
    def takes(path: str, level: int) -> None: ...

    table = pd.DataFrame({"id": ["a"] * 30, "level": range(30)})
    parts = [
        fk.register_jobs(table, "shard_params", name="levels", shard=(k, 3)).added
        for k in (1, 2, 3)
    ]
    assert sum(parts) == 30
    assert all(parts)
    assert fk.register_jobs(table, "shard_params", name="levels").unchanged == 30


def test_registering_says_which_shard_and_adds_nothing_twice(
    clips: Path, memory_workspace: Workspace
) -> None:
    first = fk.register_jobs(clips, "file_info", shard=(1, 3))
    assert str(first) == f"file_info over clips, shard 1 of 3: {first.added} added, 0 unchanged"
    again = fk.register_jobs(clips, "file_info", shard=(1, 3))
    assert (again.added, again.unchanged, again.total, again.shard) == (
        0,
        first.added,
        first.added,
        (1, 3),
    )
    (clips / "00.txt").write_text("longer")
    changed = [fk.register_jobs(clips, "file_info", shard=(k, 3)).changed for k in (1, 2, 3)]
    assert sum(changed) == (1 if "00.txt" in paths_of(clips, shard=(1, 3)) else 0)


@pytest.mark.parametrize(
    "shard", [(0, 3), (4, 3), (1, 0), (-1, -1), (1,), (1, 2, 3), 1, "12", (1.0, 2), (True, 2), ()]
)
def test_a_wrong_shard_is_refused(clips: Path, memory_workspace: Workspace, shard: object) -> None:
    with pytest.raises(fk.InvalidArgumentError, match=r"shard=.*expected \(k, n\)"):
        fk.register_jobs(clips, "file_info", shard=shard)  # type: ignore[arg-type]


def test_shards_of_known_jobs_never_change() -> None:
    # Written down once: notebooks of different days must agree.
    ids = [job_identity("yolo_ocr", "match-videos", f"{name}.mp4") for name in "abcdef"]
    assert [shard_of(job, 3) for job in ids] == GOLDEN
    assert shard_of(uuid.UUID(int=2**128 - 1), 2**32) == 2**32


GOLDEN = [2, 1, 3, 3, 1, 3]


@given(st.uuids(), st.integers(1, 1000))
def test_sql_and_python_agree(job_id: uuid.UUID, shards: int) -> None:
    import duckdb

    found = duckdb.execute(
        f"SELECT {SHARD_SQL} FROM (SELECT $job_id::UUID AS job_id)",
        {"job_id": str(job_id), "shards": shards},
    ).fetchall()
    assert found == [(shard_of(job_id, shards),)]
