"""Versions of code: what older code made is counted, shown and redone on request, and nothing else."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import InvalidArgumentError, PipelineError
from foregsyte_kaggle.registry import registered
from foregsyte_kaggle.versions import count_outdated
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

HINT = "3 completed jobs were made by older code; retry_jobs(outdated=True) redoes them"


def define(pipeline_id: str, version: str) -> None:
    @fk.pipeline(pipeline_id, version=version)
    def run(text: str) -> dict[str, str]:
        if text == "bad":
            raise ValueError(text)
        return {"made_by": version}


def run(pipeline_id: str | None = None) -> fk.Run:
    return fk.run_jobs(pipeline_id, executor="inline", progress=False)


@pytest.fixture
def older(memory_workspace: Workspace) -> Workspace:
    """Jobs of ``p`` that version 1 made: three completed, one failed; and one completed job of ``q``."""
    define("p", "1")
    define("q", "1")
    for name, ids in (("ids", ["a", "b", "bad"]), ("others", ["c"])):
        fk.register_jobs(pd.DataFrame({"id": ids}), "p", name=name)
    fk.register_jobs(pd.DataFrame({"id": ["a"]}), "q", name="ids")
    run()
    define("p", "2")
    return memory_workspace


def pending() -> list[str]:
    return fk.jobs_frame(status="pending").input_path.tolist()


@pytest.mark.usefixtures("older")
def test_completed_jobs_of_older_code_are_counted_and_shown() -> None:
    assert fk.summary_frame().outdated.to_dict() == {"p": 3, "q": 0}
    frame = fk.jobs_frame()
    assert frame.input_path[frame.outdated].tolist() == ["a", "b", "c"]
    table = fk.job_table()
    text = [line.split("  ")[0] for line in table.to_text().splitlines()]
    assert text.count("completed, older code") == 3
    assert table._repr_mimebundle_()["text/html"].count('class="fk-outdated"') == 3


@pytest.mark.usefixtures("older")
def test_nothing_is_outdated_where_the_code_is_the_same() -> None:
    define("p", "1")
    assert not fk.jobs_frame().outdated.any()
    assert fk.summary_frame().outdated.sum() == 0
    assert "older code" not in fk.job_table().to_text()
    assert fk.retry_jobs(outdated=True) == 0


@pytest.mark.usefixtures("memory_workspace")
def test_changed_source_text_makes_jobs_outdated() -> None:
    fk.pipeline("p")(lambda _text: {"x": 1})
    fk.register_jobs(pd.DataFrame({"id": ["a"]}), "p", name="ids")
    run()
    assert fk.jobs_frame().outdated.tolist() == [False]
    fk.pipeline("p")(lambda _text: {"x": 1 + 1})
    assert fk.jobs_frame().outdated.tolist() == [True]


def test_pipeline_that_is_not_registered_has_no_outdated_jobs(older: Workspace) -> None:
    del registered._registered["p"]
    assert not fk.jobs_frame().outdated.any()
    assert count_outdated(older.database) == 0


def test_job_without_a_noted_version_is_not_outdated(older: Workspace) -> None:
    with older.database.transaction() as connection:
        connection.execute("UPDATE jobs SET code_version = NULL WHERE input_path = 'b'")
    assert count_outdated(older.database, "p") == 2


@pytest.mark.parametrize(
    ("pipeline_id", "source", "count"),
    [(None, None, 3), ("p", None, 3), ("q", None, 0), ("p", "others", 1), (None, "ids", 2)],
)
def test_count_keeps_to_its_filters(
    older: Workspace, pipeline_id: str | None, source: str | None, count: int
) -> None:
    assert count_outdated(older.database, pipeline_id, source) == count


# The end of a run


def test_run_says_that_jobs_of_older_code_are_there(
    older: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    fk.register_jobs(pd.DataFrame({"id": ["new"]}), "p", name="ids")
    capsys.readouterr()
    made = run("p")
    assert made.outdated == 3
    assert capsys.readouterr().out.splitlines()[-1] == f"foregsyte: {HINT}"
    assert pending() == [], "nothing reruns by itself"
    assert fk.jobs_frame(status="completed", workspace=older).outdated.sum() == 3


@pytest.mark.usefixtures("older")
def test_run_with_nothing_pending_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run("p")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("foregsyte: nothing is pending for p")
    assert lines[1:] == [f"foregsyte: {HINT}"]


@pytest.mark.usefixtures("older")
def test_run_of_what_is_up_to_date_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("q").hints() == []
    assert "older code" not in capsys.readouterr().out


def test_hint_of_one_job_is_in_the_singular() -> None:
    made = fk.Run("p", 1)
    made.outdated = 1
    assert made.hints() == [
        "1 completed job was made by older code; retry_jobs(outdated=True) redoes it"
    ]


# Redoing them


@pytest.mark.usefixtures("older")
def test_outdated_jobs_are_retried_and_their_rows_hidden_until_replaced() -> None:
    assert fk.retry_jobs(outdated=True) == 3
    assert pending() == ["a", "b", "c"]
    assert len(fk.results_frame("p")) == 0
    run("p")
    assert fk.results_frame("p").made_by.tolist() == ["2"] * 3
    assert fk.retry_jobs(outdated=True) == 0


@pytest.mark.parametrize(
    ("filters", "moved"),
    [
        ({"pipeline_id": "p"}, ["a", "b", "c"]),
        ({"pipeline_id": "q"}, []),
        ({"source": "others"}, ["c"]),
        ({"pipeline_id": "p", "source": "ids"}, ["a", "b"]),
        ({"status": "completed"}, ["a", "b", "c"]),
        ({"job_ids": []}, []),
    ],
    ids=str,
)
@pytest.mark.usefixtures("older")
def test_other_filters_combine(filters: dict[str, Any], moved: list[str]) -> None:
    assert fk.retry_jobs(outdated=True, **filters) == len(moved)
    assert pending() == moved


@pytest.mark.usefixtures("older")
def test_pipeline_that_is_named_and_not_registered_is_an_error() -> None:
    del registered._registered["p"]
    with pytest.raises(PipelineError, match="there is no pipeline 'p'"):
        fk.retry_jobs("p", outdated=True)


@pytest.mark.usefixtures("older")
def test_jobs_of_pipelines_that_are_not_registered_are_left_alone_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    define("q", "2")
    del registered._registered["p"]
    capsys.readouterr()
    assert fk.retry_jobs(outdated=True) == 1
    assert capsys.readouterr().out == (
        "foregsyte: jobs of p are left alone: not registered now, so nothing tells whether their code "
        "changed\n"
    )
    assert fk.jobs_frame(status="pending").pipeline_id.tolist() == ["q"]


@pytest.mark.usefixtures("older")
def test_outdated_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="outdated='yes'; expected True or False"):
        fk.retry_jobs(outdated="yes")  # type: ignore[arg-type]
