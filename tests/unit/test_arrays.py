"""Arrays of Python's values: what pyarrow makes of them, whether pandas is loaded or not."""

from __future__ import annotations

import datetime as dt
import sys
import threading
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foregsyte_kaggle import arrays
from foregsyte_kaggle.arrays import arrow_array

pytestmark = pytest.mark.unit

OF_TYPES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(),
    pa.binary(): st.binary(),
    pa.null(): st.none(),
    pa.date32(): st.dates(),
    pa.list_(pa.string()): st.lists(st.text()),
}


@pytest.fixture(autouse=True)
def _as_if_pandas_were_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pandas", raising=False)


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[Any], pa.DataType]:
    arrow_type = draw(st.sampled_from(list(OF_TYPES)))
    return draw(st.lists(st.none() | OF_TYPES[arrow_type], max_size=20)), arrow_type


@settings(
    suppress_health_check=[HealthCheck.too_slow]
)  # the first text takes seconds on a busy machine
@given(columns())
def test_few_values_become_what_pyarrow_makes_of_them(
    column: tuple[list[Any], pa.DataType],
) -> None:
    values, arrow_type = column
    made = arrow_array(values, arrow_type)
    made.validate(full=True)
    assert made.type == arrow_type
    # Told by their text, in which all values that are not a number are alike.
    assert str(made.to_pylist()) == str(pa.array(values, arrow_type).to_pylist())
    assert made.null_count == values.count(None)


@pytest.mark.parametrize(
    ("values", "arrow_type", "expected"),
    [
        (["x"], pa.int64(), pa.ArrowInvalid),
        ([2**63], pa.int64(), OverflowError),
        ([2**31], pa.int32(), pa.ArrowInvalid),
        ([2**53 + 1], pa.float64(), pa.ArrowInvalid),
        ([1], pa.string(), pa.ArrowTypeError),
        (["\ud800"], pa.string(), UnicodeEncodeError),
        ([1], pa.bool_(), pa.ArrowInvalid),
        ([1], pa.null(), pa.ArrowInvalid),
        ([dt.date(2026, 1, 1)], pa.int64(), pa.ArrowInvalid),
    ],
)
def test_what_the_type_cannot_hold_is_refused_as_pyarrow_refuses_it(
    values: list[Any], arrow_type: pa.DataType, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        arrow_array(values, arrow_type)


def test_whole_numbers_may_stand_among_floats() -> None:
    assert arrow_array([1, 2.5], pa.float64()).to_pylist() == [1.0, 2.5]


@pytest.mark.parametrize("loaded", [True, False])
def test_many_values_are_left_to_pyarrow_and_all_where_pandas_is_loaded(
    monkeypatch: pytest.MonkeyPatch, *, loaded: bool
) -> None:
    if loaded:
        monkeypatch.setitem(sys.modules, "pandas", sys)
    monkeypatch.setattr(arrays, "_from_few", pytest.fail)
    values = list(range(1 if loaded else arrays.FEW + 1))
    assert arrow_array(values, pa.int64()).to_pylist() == values


def test_what_cannot_be_imported_ahead_is_left_to_who_needs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_name: str) -> None:
        raise ImportError("no pyarrow here")

    monkeypatch.delitem(sys.modules, "pyarrow")
    monkeypatch.setattr(arrays, "import_module", refuse)
    arrays.import_ahead.cache_clear()
    arrays.import_ahead()
    for thread in threading.enumerate():
        if thread.name == "foregsyte-imports":
            thread.join()
    assert capsys.readouterr().err == ""
