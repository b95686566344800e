"""The quick way for rows that are all alike gives what the way row by row gives, or leaves it to that."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foregsyte_kaggle.results import returned
from foregsyte_kaggle.results.returned import Reader, gather
from foregsyte_kaggle.results.uniform import uniform_rows

pytestmark = pytest.mark.unit


def test_rows_of_several_jobs_become_columns() -> None:
    found = uniform_rows(
        [
            ("a", [{"x": 1, "y": "é"}, {"x": None, "y": None}]),
            ("b", []),
            ("c", [{"x": 2, "y": "b"}]),
        ]
    )
    assert found is not None
    assert found.job_ids == ["a", "a", "c"]
    assert found.counts == {"a": 2, "b": 0, "c": 1}
    assert found.columns == {"x": [1, None, 2], "y": ["é", None, "b"]}


class Row(dict[str, Any]):
    pass


class Number(int):
    pass


@pytest.mark.parametrize(
    "results",
    [
        [],
        [("a", None)],
        [("a", [])],
        [("a", [{"x": 1}]), ("b", None)],
        [("a", [{}])],
        [("a", [{"x": 1}, {"y": 1}])],
        [("a", [{"x": 1, "y": 2}, {"x": 2}, {"y": 1, "x": 2}, {"y": 3}])],
        [("a", [{"x": 1, "y": 2}, {"x": 2}, {"y": 1}])],
        [("a", [{"x": 1, "y": 2}, {"y": 2, "x": 1}])],
        [("a", [Row(x=1)])],
        [("a", [{"x": 2**63}])],
        [("a", [{"x": -(2**63) - 1}])],
        [("a", [{"x": Number(1)}])],
        [("a", [{"x": "\ud800"}])],
        [("a", [{"x": 1}, {"x": 1.5}, {"x": True}])],
        [("a", [{"x": dt.date(2024, 1, 1), "y": (1,)}])],
        [("a", [{"x": [1]}])],
        [("a", [{"x": {"y": 1}}])],
    ],
    ids=str,
)
def test_anything_else_is_left_to_the_way_row_by_row(results: list[tuple[str, Any]]) -> None:
    assert uniform_rows(results) is None


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(st.characters(codec=None), max_size=3),
    st.binary(max_size=3),
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["x", "y", "Y", "job_id"]), SCALARS), max_size=3)


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_both_ways_give_the_same(lists: list[list[dict[str, Any]]]) -> None:
    results = [(f"job {number}", rows) for number, rows in enumerate(lists)]
    batches, counts, errors = gather(results)
    slow, slow_counts, slow_errors = gather(results, Reader())
    assert counts == slow_counts
    assert {job: str(error) for job, error in errors.items()} == {
        job: str(error) for job, error in slow_errors.items()
    }
    for one, other in zip(batches, slow, strict=True):
        assert str(one.table.to_pylist()) == str(other.table.to_pylist())  # nan is not nan
        assert (one.table.schema, one.types) == (other.table.schema, other.types)


def test_uniform_rows_do_not_go_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(returned, "plain", fail)
    batches, counts, errors = gather([("a", [{"x": 1, "y": "text"}])])
    assert batches[0].table.to_pylist() == [{"job_id": "a", "x": 1, "y": "text"}]
    assert (counts, errors) == ({"a": 1}, {})
