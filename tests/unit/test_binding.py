"""Params that a pipeline does not take are refused when its jobs are registered, before they all fail."""

# ruff: noqa: ARG002 - pipelines whose signature is all that counts

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foregsyte_kaggle import InvalidArgumentError, jobs_frame, pipeline, register_jobs
from foregsyte_kaggle.registry import check_params, find_pipeline
from foregsyte_kaggle.worker import Caller, Task, Teller

pytestmark = pytest.mark.unit


class Model:
    def __init__(self, weights: str, *, device: str = "cpu") -> None:
        pass

    def __call__(self, path: Path, threshold: float = 0.5) -> dict[str, int]:
        return {"n": 1}


class BuiltWithAny:
    def __init__(self, **options: Any) -> None:
        pass

    def __call__(self, path: Path, threshold: float = 0.5) -> None:
        pass


class WantsJob:
    def __call__(self, path: Path, job: Any, threshold: float = 0.5) -> None:
        pass


class WithStaticCall:
    @staticmethod
    def __call__(path: Path, threshold: float = 0.5) -> None:
        pass


def score(path: Path, threshold: float, scale: int = 1) -> None:
    pass


def wants_job(path: Path, job: Any) -> None:
    pass


@functools.wraps(score)
def gives_the_rest(path: Path) -> None:
    score(path, 0.5)


def call(target: Callable[..., Any], names: list[str]) -> None:
    """Call a pipeline as a worker does."""
    params = "{" + ", ".join(f'"{name}": 1' for name in names) + "}"
    Caller(target, "outputs").call(Task(1, "id", "a.txt", True, params, 1), Teller(None))


def check(target: Callable[..., Any], names: list[str]) -> None:
    pipeline("p")(target)
    check_params(find_pipeline("p"), names)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        pytest.param(score, ["threshold"], id="needed param"),
        pytest.param(score, ["scale", "threshold"], id="all params"),
        pytest.param(lambda path, **params: None, ["anything", "job"], id="any params"),
        pytest.param(lambda *args, x=1: None, ["x"], id="any path"),
        pytest.param(wants_job, [], id="job"),
        pytest.param(functools.partial(score, threshold=1), ["scale"], id="partial"),
        pytest.param(gives_the_rest, [], id="wrapper that gives the rest"),
        pytest.param(Model, ["weights", "threshold", "device"], id="class"),
        pytest.param(BuiltWithAny, ["anything", "threshold"], id="class built with anything"),
        pytest.param(WantsJob, ["threshold"], id="class that wants job"),
        pytest.param(WithStaticCall, ["threshold"], id="static call"),
    ],
)
def test_params_that_can_be_bound_pass_and_the_call_succeeds(
    target: Callable[..., Any], names: list[str]
) -> None:
    check(target, names)
    call(target, names)


def test_callable_without_a_signature_passes() -> None:
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(max)
    check(max, ["x"])


@pytest.mark.parametrize(
    ("target", "names", "message"),
    [
        pytest.param(
            score,
            ["threshold", "scales"],
            "takes no param 'scales'. Did you mean 'scale'? Known are scale, threshold. Rename it, or leave "
            "it out of params= or of the table's columns.",
            id="unknown param",
        ),
        pytest.param(
            score,
            [],
            "needs the param 'threshold', which no job gets; give params={'threshold': ...} or a column of "
            "the table, or a default in the code",
            id="param that nobody gives",
        ),
        pytest.param(
            score,
            ["path", "threshold"],
            "takes no param 'path'. Known are scale, threshold.",
            id="path",
        ),
        pytest.param(
            lambda path: None,
            ["x"],
            "takes no param 'x'. It takes only the path.",
            id="only a path",
        ),
        pytest.param(
            lambda: 1,
            [],
            "takes no path, with which it is called; expected a function",
            id="nothing",
        ),
        pytest.param(
            lambda *args, x: 1,
            [],
            "needs the param 'x', which no job gets",
            id="any path and a param",
        ),
        pytest.param(
            lambda *, path: 1, [], "takes no path, with which it is called", id="path by name only"
        ),
        pytest.param(
            Model,
            ["weights", "devise"],
            "takes no param 'devise'. Did you mean 'device'? Known are device, threshold, weights.",
            id="class",
        ),
        pytest.param(Model, ["device"], "needs the param 'weights'", id="param of __init__"),
        pytest.param(
            type("NoCall", (), {}), [], "has no __call__(self, path)", id="class without __call__"
        ),
        pytest.param(
            lambda path, x, /: None,
            ["x"],
            "takes no param 'x'. It takes only the path.",
            id="param by position only",
        ),
    ],
)
def test_params_that_cannot_be_bound_are_refused_and_the_call_fails(
    target: Callable[..., Any], names: list[str], message: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check(target, names)
    assert message in str(caught.value)
    assert "'p'" in str(caught.value)
    with pytest.raises(TypeError):
        call(target, names)


def test_param_that_the_context_would_replace_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="no param can have that name; rename the param"):
        check(wants_job, ["job"])


@pytest.mark.usefixtures("memory_workspace")
@pytest.mark.parametrize("batch_size", [None, 4])
def test_registering_with_params_that_cannot_be_bound_adds_no_job(batch_size: int | None) -> None:
    pipeline("p", batch_size=batch_size)(score)
    table = pd.DataFrame({"id": ["a", "b"], "threshold": [0.5, None], "unused": [None, None]})
    with pytest.raises(InvalidArgumentError, match="takes no param 'thresold'"):
        register_jobs(table, "p", name="x", params={"thresold": 1})
    with pytest.raises(InvalidArgumentError, match="takes no param 'thresold'"):
        register_jobs(table.rename(columns={"threshold": "thresold"}), "p", name="x")
    with pytest.raises(InvalidArgumentError, match="needs the param 'threshold'"):
        register_jobs(table[["id"]], "p", name="x")
    assert jobs_frame().empty
    assert register_jobs(table, "p", name="x").added == 2
    assert register_jobs(table[["id"]], "p", name="x", params={"threshold": 1}).added == 2
