"""Params of other types than a pipeline is annotated with are refused when its jobs are registered."""

# ruff: noqa: UP007, UP045 - both ways to write a union

from __future__ import annotations

import decimal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, TypeVar, Union

import pandas as pd
import pyarrow as pa
import pytest

from foregsyte_kaggle import InvalidArgumentError, Workspace, jobs_frame, pipeline, register_jobs
from foregsyte_kaggle.registry import check_own_rules, check_values, find_pipeline
from foregsyte_kaggle.registry.annotations import fits, is_by_value

if TYPE_CHECKING:
    from numbers import Rational

pytestmark = pytest.mark.unit

Share = NewType("Share", float)
Item = TypeVar("Item")

FITTING = [
    (True, bool),
    (3, int),
    (True, int),
    (3, float),
    (0.5, float),
    ("a", str),
    (None, None),
    (None, Optional[int]),
    (3, Optional[int]),
    (3, int | str),
    ("a", Union[int, str]),
    ("a", Literal["a", "b"]),
    (1, Literal[1, "b"]),
    ([1, 2], list[int]),
    ([1, 2], list),
    ([], list[int]),
    ([1, 2.5], Sequence[float]),
    (["a"], Iterable[str]),
    ([1, "a"], tuple[int, str]),
    ([1, 2, 3], tuple[int, ...]),
    ({"a": 1}, dict[str, int]),
    ({"a": {"b": [1]}}, Mapping[str, dict[str, list[int]]]),
    (0.5, Share),
    (0.5, Annotated[float, "unit"]),
    ("a", Any),
    ("a", object),
    ("a/b", Path),
    ("1.5", decimal.Decimal),
    ("a", Item),
    ([1], set[int]),
    ({"a": 1}, Iterable[str]),
]
MISFITS = [
    (1, bool),
    ("3", int),
    (3.0, int),
    ("0.5", float),
    (1, str),
    (None, int),
    ("a", None),
    ("a", Optional[int]),
    (0.5, int | str),
    ("c", Literal["a", "b"]),
    (True, Literal[1]),
    ([1, "a"], list[int]),
    ("abc", list[str]),
    ("abc", Sequence[str]),
    ([1], tuple[int, str]),
    ({"a": "b"}, dict[str, int]),
    ([1], dict),
    ("0.5", Share),
    ("0.5", Annotated[float, "unit"]),
]


@pytest.mark.parametrize(("value", "annotation"), FITTING, ids=repr)
def test_value_fits(value: Any, annotation: Any) -> None:
    assert fits(value, annotation)


@pytest.mark.parametrize(("value", "annotation"), MISFITS, ids=repr)
def test_value_does_not_fit(value: Any, annotation: Any) -> None:
    assert not fits(value, annotation)


@pytest.mark.parametrize(
    ("annotation", "by_value"),
    [(int, False), (list[int], False), (Literal["a"], True), (Optional[Literal["a"]], True)],
    ids=repr,
)
def test_which_annotations_need_a_look_at_each_value(annotation: Any, by_value: bool) -> None:
    assert is_by_value(annotation) is by_value


class Model:
    def __init__(self, weights: str, size: int = 640) -> None: ...

    def __call__(
        self,
        path: Path,
        threshold: float = 0.5,
        mode: Literal["fast", "exact"] = "fast",
        unknown: Rational | None = None,
        boxes: list[list[float]] | None = None,
        implicit: int = None,  # type: ignore[assignment]  # noqa: RUF013 - people write it
    ) -> None: ...


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in "abc":
        Path(f"in/{name}.txt").touch()
    pipeline("model")(Model)


def test_ill_typed_param_is_refused_with_what_it_takes_and_no_job_is_there() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        register_jobs("in", "model", params={"weights": "w", "threshold": "0.5"})
    assert str(caught.value) == (
        "the pipeline 'model' takes 'threshold' as float, and params has '0.5' of type str. Give a value of "
        "that type."
    )
    with pytest.raises(
        InvalidArgumentError, match="takes 'weights' as str, and params has 7 of type int"
    ):
        register_jobs("in", "model", params={"weights": 7})
    assert jobs_frame().empty


def test_what_no_annotation_forbids_passes() -> None:
    params = {
        "weights": "w",
        "threshold": 1,
        "unknown": "1/3",
        "implicit": None,
        "boxes": [[1, 2.5]],
    }
    assert register_jobs("in", "model", params=params).added == 3


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("threshold", ["0.5", "0.6", "x"], "the column 'threshold' has '0.5' of type str"),
        ("mode", ["fast", "exact", "slow"], "takes 'mode' as .*, and the column 'mode' has 'slow'"),
        (
            "size",
            [1.5, 2.5, 3.5],
            "takes 'size' as int, and the column 'size' has 1.5 of type float",
        ),
        ("boxes", [[[1.0]], [["a"]], None], None),
        ("boxes", [[[1]], [[2]], [3]], None),
    ],
)
def test_ill_typed_column_is_refused(column: str, values: list[Any], message: str | None) -> None:
    paths = [f"in/{name}.txt" for name in "abc"]
    frame = pd.DataFrame({"path": paths, column: values})
    if message is None:  # a column that Arrow itself refuses is an error too
        with pytest.raises(ValueError, match="boxes"):
            register_jobs(frame, "model", params={"weights": "w"})
    else:
        with pytest.raises(InvalidArgumentError, match=message):
            register_jobs(frame, "model", params={"weights": "w"})
    assert jobs_frame().empty


def test_tuple_is_the_list_that_it_is_stored_as() -> None:
    params = {"weights": "w", "boxes": ((1, 2.5), (3, 4))}
    assert register_jobs("in", "model", params=params).added == 3


def test_whole_numbers_with_a_gap_are_whole() -> None:
    frame = pd.DataFrame({"path": ["in/a.txt", "in/b.txt"], "size": [320.0, None]})
    assert register_jobs(frame, "model", params={"weights": "w"}).added == 2


def test_only_one_value_of_a_column_of_one_type_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from foregsyte_kaggle.registry import values

    seen: list[Any] = []
    monkeypatch.setattr(values, "fits", lambda value, _: not seen.append(value))
    table = pa.table({"id": [str(n) for n in range(1000)], "size": list(range(1000))})
    register_jobs(table, "model", params={"weights": "w"}, name="ids")
    assert seen == ["w", 0]


class Picky(Model):
    @staticmethod
    def check_params(threshold: float = 0.5, **_: Any) -> None:
        if threshold > 1:
            raise ValueError("a threshold is a share")


def test_own_rules_are_asked_once_for_distinct_params(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline("picky")(Picky)
    with pytest.raises(InvalidArgumentError) as caught:
        register_jobs("in", "picky", params={"weights": "w", "threshold": 2})
    assert str(caught.value) == (
        "the pipeline 'picky' refuses the params {'threshold': 2, 'weights': 'w'}: ValueError: a threshold is "
        "a share"
    )
    asked: list[Any] = []
    monkeypatch.setattr(Picky, "check_params", staticmethod(lambda **given: asked.append(given)))
    check_own_rules(find_pipeline("picky"), pa.array(['{"threshold":1}', '{"threshold":1}', "{}"]))
    assert asked == [{"threshold": 1}, {}]


def test_a_method_of_what_is_built_is_no_rule() -> None:
    class Other(Model):
        def check_params(self) -> None:
            raise AssertionError

    pipeline("other")(Other)
    check_own_rules(find_pipeline("other"), "{}")
    check_values(find_pipeline("other"), {"weights": "w"}, {})
