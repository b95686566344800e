"""Python values as columns: what they become, which kind a column has, and what is refused."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import enum
import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.results.kinds import arrow_column, first_conflict, kind_of, to_json, unify
from foregsyte_kaggle.results.values import plain

pytestmark = pytest.mark.unit

NOON = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001 - one without a zone
TOKYO = dt.timezone(dt.timedelta(hours=9))
Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - as untyped as a user's


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    """A subclass, as libraries have them."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        ("ü\x00\n", "ü\x00\n"),
        (b"\xff", b"\xff"),
        (NOON, NOON),
        (NOON.replace(tzinfo=TOKYO), dt.datetime(2024, 5, 1, 3, tzinfo=dt.UTC)),
        (dt.date(2024, 5, 1), dt.date(2024, 5, 1)),
        (dt.time(1, 2), dt.time(1, 2)),
        (dt.time(1, 2, tzinfo=TOKYO), "01:02:00+09:00"),
        (dt.timedelta(seconds=1.5), dt.timedelta(seconds=1.5)),
        ((1, [2.0]), [1, [2.0]]),
        (Point(1, 2), [1, 2]),
        ({"a": (np.int8(1),)}, {"a": [1]}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Text("t"), "t"),
        (Path("a/b"), "a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (np.bool_(True), True),
        (np.int64(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.str_("s"), "s"),
        (np.bytes_(b"s"), b"s"),
        (np.datetime64("2024-05-01T12:00", "ns"), NOON),
        (np.datetime64("2024-05-01"), NOON.replace(hour=0)),
        (np.datetime64("NaT", "us"), None),
        (np.timedelta64(1500, "ms"), dt.timedelta(seconds=1.5)),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["2024-05-01T12"], "datetime64[ns]"), [NOON]),
        (np.array(5), 5),
        (np.array([], float), []),
        (np.ma.array([1, 2], mask=[False, True]), [1, None]),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Timestamp("2024-05-01 12:00:00.000000001"), NOON),
        (pd.Timestamp("2024-05-01 12:00", tz="Asia/Tokyo"), NOON.replace(hour=3, tzinfo=dt.UTC)),
        (pd.Timedelta("1.5s"), dt.timedelta(seconds=1.5)),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Categorical(["a"]), ["a"]),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.30}",
)
def test_value_becomes_plain(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    allowed = (bool, int, float, str, bytes, list, dict, dt.date, dt.time, dt.timedelta, type(None))
    assert isinstance(found, allowed)
    assert not isinstance(found, (np.generic, pd.Timestamp, pd.Timedelta, Text))


def test_nan_stays_nan() -> None:
    assert math.isnan(plain(float("nan")))
    assert math.isnan(plain(np.float32("nan")))


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def holding_itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["me"] = [value]
    return value


EXPECTED = (
    "expected text, bytes, a number, a date or time, None, or lists and dicts of them. "
    "Convert it first, for example with str() or float()."
)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2j, f"2j is of type complex; {EXPECTED}"),
        ({1, 2}, f"{{1, 2}} is of type set; {EXPECTED}"),
        (object, f"<class 'object'> is of type type; {EXPECTED}"),
        (pd.DataFrame(), f"{pd.DataFrame()!r:.80} is of type DataFrame; {EXPECTED}"),
        (Unshowable(), f"an object of type Unshowable is of type Unshowable; {EXPECTED}"),
        (
            "\udce9",
            r"'\udce9' is not valid Unicode text; decode it with errors='replace', or return bytes",
        ),
        ({"a": {1: 2}}, "a nested dict has the key 1; expected text"),
        ({"a\ud800": 2}, "is not valid Unicode text"),
        (nested(101), "it nests deeper than 100 levels, or holds itself"),
        (holding_itself(), "it nests deeper than 100 levels, or holds itself"),
        (
            10**300,
            "a whole number has more than 300 digits; return it as text, with str() or hex()",
        ),
        (10**5000, "a whole number has more than 300 digits"),
        (
            dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=1))),
            "is not within the years 1 to 9999 in UTC",
        ),
        (np.datetime64("20000-01-01"), "is not within the years 1 to 9999"),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_value_that_no_column_holds_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ResultError) as caught:
        plain(value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], None),
        ([None, None], None),
        ([True, None], "bool"),
        ([1, 2**63 - 1], "int"),
        ([1, 2**63], "json"),
        ([1, 2.5], "float"),
        ([2**53, 2.5], "float"),
        ([2**53 + 1, 2.5], "json"),
        ([1, True], "json"),
        (["a", None], "text"),
        (["a", 1], "json"),
        (["a", b"a"], "json"),
        ([b"a"], "bytes"),
        ([NOON], "timestamp"),
        ([NOON.replace(tzinfo=dt.UTC)], "timestamptz"),
        ([NOON, NOON.replace(tzinfo=dt.UTC)], "json"),
        ([NOON, NOON.date()], "json"),
        ([NOON.date()], "date"),
        ([NOON.time()], "time"),
        ([dt.timedelta(1)], "interval"),
        ([{}], "json"),
        ([[1], None], "list:int"),
        ([[1], [2.5]], "list:float"),
        ([[1, 2.5, None]], "list:float"),
        ([[2**60], [2.5]], "json"),
        ([[1], ["a"]], "json"),
        ([[]], "list:null"),
        ([[], [None]], "list:null"),
        ([[], ["a"]], "list:text"),
        ([[1], [], [2.5]], "list:float"),
        ([[[1]]], "json"),
        ([[{}]], "json"),
        ([[1], 1], "json"),
        ([[], 1], "json"),
    ],
    ids=repr,
)
def test_kind_of_a_column(values: list[Any], kind: str | None) -> None:
    found = [plain(value) for value in values]
    assert kind_of(found) == kind
    assert arrow_column(found, kind).to_pylist() == [
        None if value is None else to_json(value) if kind == "json" else value for value in found
    ]


@pytest.mark.parametrize(
    ("values", "conflict"),
    [
        ([1, None, "a", "b"], (2, "int", "text")),
        ([{}, 1], None),
        ([{}, "a", 1], None),
        ([1, {}], (1, "int", "json")),
        ([1, 0.5, "a"], (2, "float", "text")),
        ([2**60, 0.5], (1, "int", "float")),
        ([[1], ["a"]], (1, "list:int", "list:text")),
        ([[], 1], (1, "list:null", "int")),
        ([{}, [[1]]], None),
        ([None, {}], None),
    ],
    ids=repr,
)
def test_first_conflict_is_the_value_that_differs(values: list[Any], conflict: Any) -> None:
    assert first_conflict([plain(value) for value in values]) == conflict


def test_json_holds_what_json_cannot_as_text() -> None:
    value = plain(
        {
            "nan": float("nan"),
            "inf": [-math.inf],
            "bytes": b"\xff",
            "naive": NOON,
            "aware": NOON.replace(tzinfo=TOKYO, microsecond=500000),
            "date": NOON.date(),
            "time": NOON.time(),
            "for": dt.timedelta(days=1),
            "huge": 2**70,
            "text": "\x00ü",
        }
    )
    assert json.loads(to_json(value)) == {
        "nan": "nan",
        "inf": ["-inf"],
        "bytes": "ff",
        "naive": "2024-05-01 12:00:00",
        "aware": "2024-05-01 03:00:00.5+00",
        "date": "2024-05-01",
        "time": "12:00:00",
        "for": "1 day, 0:00:00",
        "huge": 2**70,
        "text": "\x00ü",
    }


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.just(TOKYO))
    | st.dates()
    | st.times()
    | st.timedeltas()
)
values_of_users = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(values_of_users, max_size=6))
def test_whatever_is_plain_becomes_a_column(values: list[Any]) -> None:
    found = []
    for value in values:
        with contextlib.suppress(ResultError):
            found.append(plain(value))
    kind = kind_of(found)
    column = arrow_column(found, kind)
    column.validate(full=True)
    assert len(column) == len(found)
    assert column.null_count == found.count(None)
    conflict = first_conflict(found) if kind == "json" else None
    if conflict is not None:
        number, before, returned = conflict
        assert kind_of(found[:number]) == before
        assert unify(before, returned, found[: number + 1]) == "json"


def test_integers_are_asked_whether_floats_hold_them() -> None:
    assert unify("int", "float", [1, 0.5]) == "float"
    assert unify("float", "int", [2**53 + 1, 0.5]) == "json"


def test_arrow_types_are_those_of_the_kinds() -> None:
    assert arrow_column([1], "int").type == pa.int64()
    assert arrow_column([[]], "list:null").type == pa.list_(pa.string())
    assert arrow_column([None], None).type == pa.null()
    assert arrow_column([dt.timedelta(1)], "interval").type == pa.duration("us")
