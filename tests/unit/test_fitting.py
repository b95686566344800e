"""Values in a column of a schema: exactly as they were, or told that they do not fit."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import pathlib
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.results.fitting import Column, fit_column, fit_values
from foregsyte_kaggle.results.schemas import arrow_type

pytestmark = pytest.mark.unit

D = decimal.Decimal
NOON = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001 - one without a zone
MIDNIGHT = dt.datetime(2024, 5, 1)  # noqa: DTZ001
TOKYO = dt.timezone(dt.timedelta(hours=9))
IDENTITY = uuid.UUID(int=5)


def column(kind: str) -> Column:
    arrow = arrow_type(kind)
    assert arrow is not None
    return Column("x", kind, arrow)


def fit(kind: str, *values: Any) -> tuple[list[Any], dict[int, str]]:
    """Return values as the column has them, and what was told of which."""
    told: dict[int, str] = {}
    array = fit_values(
        values, column(kind), lambda number, error: told.update({number: str(error)})
    )
    assert array.type == column(kind).arrow
    return array.to_pylist(), told


def fit_table(kind: str, values: pa.Array) -> tuple[list[Any], dict[int, str]]:
    told: dict[int, str] = {}
    array = fit_column(
        pa.chunked_array([values]),
        column(kind),
        lambda number, error: told.update({number: str(error)}),
    )
    assert array.type == column(kind).arrow
    return array.to_pylist(), told


EXACT: list[tuple[str, Any, Any]] = [
    ("BOOLEAN", True, True),
    ("BOOLEAN", np.bool_(True), True),
    ("TINYINT", -128, -128),
    ("UTINYINT", 255, 255),
    ("BIGINT", 2.0**53, 2**53),
    ("BIGINT", np.float32(3), 3),
    ("BIGINT", np.int8(3), 3),
    ("BIGINT", D("3.00"), 3),
    ("UBIGINT", 2**64 - 1, 2**64 - 1),
    ("HUGEINT", 2**70, str(2**70)),
    ("DOUBLE", 1, 1.0),
    ("DOUBLE", 2**60, 2.0**60),
    ("DOUBLE", np.float32(0.5), 0.5),
    ("DOUBLE", D("0.1"), 0.1),
    ("DOUBLE", math.inf, math.inf),
    ("FLOAT", 0.1, float(np.float32(0.1))),
    ("FLOAT", math.inf, math.inf),
    ("FLOAT", 2**24, 2.0**24),
    ("DECIMAL(10,2)", 1.25, D("1.25")),
    ("DECIMAL(10,2)", 0.1, D("0.10")),
    ("DECIMAL(10,2)", D("99999999.99"), D("99999999.99")),
    ("DECIMAL(10,2)", 7, D("7.00")),
    ("VARCHAR", "a\x00b", "a\x00b"),
    ("VARCHAR", pathlib.PurePosixPath("a/b"), "a/b"),
    ("BLOB", bytearray(b"\xff"), b"\xff"),
    ("DATE", NOON.date(), NOON.date()),
    ("DATE", MIDNIGHT, MIDNIGHT.date()),
    ("TIME", NOON.time(), NOON.time()),
    ("TIMESTAMP", NOON, NOON),
    ("TIMESTAMP", pd.Timestamp(NOON), NOON),
    ("TIMESTAMP", NOON.date(), MIDNIGHT),
    ("TIMESTAMP_NS", NOON, pd.Timestamp(NOON)),
    ("TIMESTAMP WITH TIME ZONE", NOON.replace(tzinfo=TOKYO), NOON.replace(hour=3, tzinfo=dt.UTC)),
    ("INTERVAL", dt.timedelta(hours=36), dt.timedelta(hours=36)),
    ("UUID", IDENTITY, str(IDENTITY)),
    ("UUID", IDENTITY.hex, str(IDENTITY)),
    ("JSON", {"a": [np.float32(0.5)]}, '{"a": [0.5]}'),
    ("JSON", "text", '"text"'),
    ("JSON", 2**70, str(2**70)),
    ("DOUBLE[]", [1, 0.5, None], [1.0, 0.5, None]),
    ("DOUBLE[]", (2**60,), [2.0**60]),
    ("DOUBLE[]", np.array([1, 2]), [1.0, 2.0]),
    ("DOUBLE[]", [], []),
    ("BIGINT[]", [1, np.int8(2)], [1, 2]),
    ("BIGINT[][]", [[1], None, [2.0]], [[1], None, [2]]),
    ("DECIMAL(4,1)[]", [1, D("0.5")], [D("1.0"), D("0.5")]),
    ("JSON[]", [1, {"a": 2}, None], ["1", '{"a": 2}', None]),
]


@pytest.mark.parametrize(("kind", "value", "stored"), EXACT, ids=lambda value: f"{value!r:.30}")
def test_value_that_fits_is_stored_exactly(kind: str, value: Any, stored: Any) -> None:
    assert fit(kind, None, value) == ([None, stored], {})


@pytest.mark.parametrize(
    "kind", sorted({kind for kind, _, _ in EXACT}), ids=lambda value: f"{value!r:.30}"
)
def test_column_of_nothing_but_missing_values_is_null(kind: str) -> None:
    assert fit(kind, None, pd.NaT, pd.NA) == ([None] * 3, {})
    assert fit(kind) == ([], {})
    assert fit_table(kind, pa.nulls(2)) == ([None, None], {})


MISFITS: list[tuple[str, Any]] = [
    ("BOOLEAN", 1),
    ("BOOLEAN", "true"),
    ("TINYINT", 128),
    ("UTINYINT", -1),
    ("BIGINT", 1.5),
    ("BIGINT", math.nan),
    ("BIGINT", math.inf),
    ("BIGINT", True),
    ("BIGINT", "1"),
    ("BIGINT", 2**63),
    ("BIGINT", D("sNaN")),
    ("HUGEINT", 2**127),
    ("DOUBLE", 2**53 + 1),
    ("DOUBLE", 10**23),
    ("DOUBLE", 10**299 + 1),
    ("DOUBLE", "0.5"),
    ("DOUBLE", True),
    ("FLOAT", 1e39),
    ("FLOAT", 2**24 + 1),
    ("DECIMAL(10,2)", 0.125),
    ("DECIMAL(10,2)", 10**8),
    ("DECIMAL(10,2)", D("1.234")),
    ("DECIMAL(10,2)", D("NaN")),
    ("DECIMAL(10,2)", math.inf),
    ("DECIMAL(10,2)", "1"),
    ("VARCHAR", 1),
    ("VARCHAR", b"a"),
    ("BLOB", "a"),
    ("DATE", NOON),
    ("DATE", "2024-05-01"),
    ("DATE", 5),
    ("TIME", NOON),
    ("TIME", NOON.time().replace(tzinfo=TOKYO)),
    ("TIMESTAMP", NOON.replace(tzinfo=dt.UTC)),
    ("TIMESTAMP", 5),
    ("TIMESTAMP_NS", NOON.replace(year=1600)),
    ("TIMESTAMP WITH TIME ZONE", NOON),
    ("INTERVAL", 5),
    ("UUID", "nonsense"),
    ("UUID", 5),
    ("DOUBLE[]", 0.5),
    ("DOUBLE[]", [[0.5]]),
    ("DOUBLE[]", ["a"]),
    ("DOUBLE[]", [True]),
    ("BIGINT[]", {"a": 1}),
    ("BIGINT[][]", [1]),
]


@pytest.mark.parametrize(("kind", "value"), MISFITS, ids=lambda value: f"{value!r:.30}")
def test_value_that_does_not_fit_is_told_with_column_value_and_type(kind: str, value: Any) -> None:
    good = next(value for known, value, _ in EXACT if known == kind)
    expected = fit(kind, good)[0][0]
    found, told = fit(kind, good, value, good)
    assert found == [expected, None, expected]
    assert told.keys() == {1}
    assert told[1].startswith(f"the column 'x' is {kind} by the pipeline's schema, and ")
    assert "does not fit" in told[1]


def test_message_names_value_and_type() -> None:
    assert fit("BIGINT", "many")[1] == {
        0: "the column 'x' is BIGINT by the pipeline's schema, and 'many' of type str does not fit"
    }
    assert fit("BIGINT", 2**70)[1] == {
        0: f"the column 'x' is BIGINT by the pipeline's schema, and {2**70} of type int does not fit"
    }
    moment = NOON.replace(tzinfo=dt.UTC)
    assert fit("TIMESTAMP", moment)[1][0].endswith(
        "does not fit: it has a zone, which TIMESTAMPTZ is for"
    )
    assert fit("TIMESTAMP WITH TIME ZONE", NOON)[1][0].endswith("does not fit: it has no zone")


@pytest.mark.parametrize("value", [object(), 2j, "\udc80", [{1: 2}]], ids=repr)
def test_value_of_no_column_is_told_with_the_column(value: Any) -> None:
    for kind in ("VARCHAR", "JSON", "DOUBLE[]"):
        found, told = fit(kind, None, value)
        assert (found, told.keys()) == ([None, None], {1})
        assert told[1].startswith("the column 'x'")


def test_nanoseconds_are_not_lost_silently() -> None:
    fine = pd.Timestamp("2024-05-01 12:00:00.000000001")
    assert fit("TIMESTAMP", fine)[1][0].startswith("the column 'x': Timestamp('2024-05-01 12:00")
    assert fit_table("TIMESTAMP", pa.array([fine.value], pa.timestamp("ns")))[1].keys() == {0}
    assert fit_table("TIMESTAMP_NS", pa.array([fine.value], pa.timestamp("ns"))) == ([fine], {})


TABLES: list[tuple[str, pa.Array, list[Any]]] = [
    ("DOUBLE", pa.array([1, None], pa.int8()), [1.0, None]),
    ("DOUBLE", pa.array([2**60]), [2.0**60]),
    ("BIGINT", pa.array([1.0, None]), [1, None]),
    ("TINYINT", pa.array([127], pa.uint64()), [127]),
    ("FLOAT", pa.array([0.1, math.inf]), [float(np.float32(0.1)), math.inf]),
    ("FLOAT[]", pa.array([[0.5]]), [[0.5]]),
    ("DOUBLE[]", pa.array([[1], None, []]), [[1.0], None, []]),
    ("DOUBLE[]", pa.array([[], None]), [[], None]),
    ("DECIMAL(6,2)", pa.array([D("1.500")]), [D("1.50")]),
    ("DECIMAL(6,2)", pa.array([7]), [D("7.00")]),
    ("VARCHAR", pa.array(["a", None]).dictionary_encode(), ["a", None]),
    ("TIMESTAMP", pa.array([NOON.date()]), [MIDNIGHT]),
    ("TIMESTAMP", pa.array([NOON], pa.timestamp("ns")), [NOON]),
    ("DATE", pa.array([MIDNIGHT]), [MIDNIGHT.date()]),
    ("JSON", pa.array([{"a": 1}]), ['{"a": 1}']),
    ("JSON", pa.array(["a"]), ['"a"']),
    ("UUID", pa.array([IDENTITY.hex]), [str(IDENTITY)]),
    ("HUGEINT", pa.array([5]), ["5"]),
]


@pytest.mark.parametrize(("kind", "values", "stored"), TABLES, ids=lambda value: f"{value!r:.30}")
def test_column_of_a_table_that_fits_is_stored_exactly(
    kind: str, values: pa.Array, stored: list[Any]
) -> None:
    assert fit_table(kind, values) == (stored, {})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("BIGINT", pa.array([1.0, 1.5])),
        ("BIGINT", pa.array([1.0, math.nan])),
        ("BIGINT", pa.array([False, True])),
        ("BIGINT", pa.array(["0", "1"])),
        ("DOUBLE", pa.array([1, 2**53 + 1])),
        ("FLOAT", pa.array([0.5, 1e39])),
        ("FLOAT[]", pa.array([[0.5], [1e39]])),
        ("VARCHAR", pa.array([1, 2])),
        ("VARCHAR", pa.array([b"a", b"b"])),
        ("DATE", pa.array([MIDNIGHT, NOON])),
        ("TIMESTAMP", pa.array([NOON, NOON], pa.timestamp("us", "UTC"))),
        ("TIMESTAMP WITH TIME ZONE", pa.array([NOON, NOON])),
        ("DECIMAL(4,2)", pa.array([D("1.5"), D("1.234")])),
        ("UUID", pa.array([str(IDENTITY), "x"])),
        ("BIGINT[]", pa.array([1, 2])),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_column_of_a_table_that_does_not_fit_is_told(kind: str, values: pa.Array) -> None:
    told = fit_table(kind, values)[1]
    assert max(told) == 1
    assert told[1].startswith(f"the column 'x' is {kind} by the pipeline's schema, and ")


def test_table_with_times_out_of_all_range_names_the_column() -> None:
    with pytest.raises(ResultError, match="the column 'x': it holds times that are not within"):
        fit_table("TIMESTAMP", pa.array([2**62], pa.timestamp("us")))


numbers = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.decimals(places=3)
)


@settings(deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(["TINYINT", "BIGINT", "UBIGINT", "HUGEINT", "DOUBLE", "DECIMAL(20,3)"]),
    values=st.lists(numbers, max_size=4),
)
@example(kind="DOUBLE", values=[D("336941981448069120.000")])
def test_numbers_are_stored_as_they_are_or_told(kind: str, values: list[Any]) -> None:
    found, told = fit(kind, *values)
    for number, (stored, value) in enumerate(zip(found, values, strict=True)):
        if value is None or number in told:
            assert stored is None
        elif isinstance(value, float) and math.isnan(value):
            assert math.isnan(stored)
        else:
            assert not isinstance(value, bool)
            # Between floats and decimals, a float may also stand for the shortest number that is read as it.
            shortest = D in (type(stored), type(value))
            one, other = (
                D(repr(side)) if shortest and isinstance(side, float) else D(side)
                for side in (stored, value)
            )
            assert one == other or D(stored) == D(value)
