"""Filters: a misspelt name is an error that says which there are, and one without jobs is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from foregsyte_kaggle import (
    InvalidArgumentError,
    Job,
    PipelineError,
    SessionLocal,
    SourceError,
    Workspace,
    attempts_frame,
    job_table,
    jobs_frame,
    pipeline,
    register_jobs,
    results_frame,
    retry_jobs,
    run_jobs,
)
from foregsyte_kaggle.registry import registered

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("memory_workspace")]


def run(*arguments: Any, **filters: Any) -> None:
    run_jobs(*arguments, executor="inline", progress=False, **filters)


FILTERED: list[Callable[..., Any]] = [retry_jobs, jobs_frame, attempts_frame, job_table]
by_pipeline = pytest.mark.parametrize("function", [*FILTERED, results_frame])
by_source = pytest.mark.parametrize("function", [*FILTERED, run])


@pytest.fixture
def failed(memory_workspace: Workspace) -> None:
    """A failed job of the pipeline ``score`` and the source ``matches``, and one made by hand."""

    @pipeline("score")
    def score(_text: str) -> None:
        raise ValueError

    register_jobs(pd.DataFrame({"id": ["a"]}), "score", name="matches")
    run("score")
    with SessionLocal() as session:
        session.add(Job(pipeline_id="by hand", input_path="x", source="elsewhere"))
        session.commit()


@by_pipeline
@pytest.mark.usefixtures("failed")
def test_pipeline_that_is_nowhere_is_an_error_with_the_nearest(
    function: Callable[..., Any],
) -> None:
    with pytest.raises(PipelineError) as caught:
        function("scroe")
    assert str(caught.value) == (
        "there is no pipeline 'scroe', neither registered nor in this ledger. Did you mean 'score'? "
        "Known are 'by hand', file_info, score, video_info, yolo_ocr."
    )
    assert retry_jobs() == 1, "nothing was changed"


@by_source
@pytest.mark.usefixtures("failed")
def test_source_that_is_nowhere_is_an_error_with_the_nearest(function: Callable[..., Any]) -> None:
    with pytest.raises(SourceError) as caught:
        function(source="matchs")
    assert str(caught.value) == (
        "no source is named 'matchs' in this ledger. Did you mean 'matches'? Known are elsewhere, matches."
    )
    assert retry_jobs() == 1, "nothing was changed"


@by_source
def test_source_of_an_empty_ledger_is_an_error(function: Callable[..., Any]) -> None:
    with pytest.raises(SourceError, match=r"'clips' in this ledger\. There are none yet\."):
        function(source="clips")


@by_pipeline
@pytest.mark.parametrize("wrong", [5, b"score", ["score"]], ids=repr)
def test_pipeline_that_is_no_text_is_an_error(function: Callable[..., Any], wrong: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        function(wrong)
    assert str(caught.value) == f"pipeline_id={wrong!r}; expected text, or None for all"


@by_source
@pytest.mark.parametrize("wrong", [5, b"clips", ["clips"]], ids=repr)
def test_source_that_is_no_text_is_an_error(function: Callable[..., Any], wrong: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        function(source=wrong)
    assert str(caught.value) == f"source={wrong!r}; expected text, or None for all"


def test_pipeline_without_jobs_finds_nothing() -> None:
    assert retry_jobs("file_info") == 0
    assert len(jobs_frame("file_info")) == len(attempts_frame("file_info")) == 0
    assert len(results_frame("file_info")) == 0
    assert job_table("file_info").to_text() == "no jobs yet\nshown: none, pipeline file_info"


@pytest.mark.usefixtures("failed")
def test_names_that_only_jobs_have_are_known() -> None:
    registered._registered.clear()
    assert len(attempts_frame("score", source="matches")) == 1
    assert len(jobs_frame("by hand", source="elsewhere")) == 1
    assert len(results_frame("by hand")) == 0
    assert retry_jobs("score", source="matches") == 1
    assert retry_jobs("score", source="elsewhere") == 0


def test_of_many_sources_the_message_names_some() -> None:
    with SessionLocal() as session:
        session.add_all(
            Job(pipeline_id="p", input_path="x", source=f"s{number:02}") for number in range(30)
        )
        session.commit()
    with pytest.raises(SourceError, match=r"Known are s00, s01, .*, s19 and 10 more\.$"):
        jobs_frame(source="nothing like it")
