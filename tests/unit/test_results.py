"""Result tables: types are kept, widen only where exact, and no result keeps another from being stored."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foregsyte_kaggle import results
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.results.widening import WIDER, merged_type
from foregsyte_kaggle.testing import memory_database

pytestmark = pytest.mark.unit

NOON = dt.datetime(2024, 5, 1, 12, 0, 0, 500000)  # noqa: DTZ001 - one without a zone
FIVE = dt.datetime(1970, 1, 1, 0, 0, 5)  # noqa: DTZ001 - one without a zone
JOBS = [str(uuid.UUID(int=number)) for number in range(1, 200)]


class Store:
    """A result table, as the recording of groups fills it."""

    def __init__(self, database: Database, pipeline_id: str) -> None:
        self.database = database
        self.pipeline_id = pipeline_id
        self.warnings: list[str] = []
        self._next = 0

    def group(
        self, *returned: Any, jobs: Sequence[int] | None = None, replaced: Sequence[int] = ()
    ) -> dict[int, str]:
        """Store one group; return why jobs of it failed, by their number in the group."""
        if jobs is None:
            jobs = range(self._next, self._next + len(returned))
            self._next += len(returned)
        ids = [JOBS[number] for number in jobs]
        batches, counts, errors = results.gather(list(zip(ids, returned, strict=True)))
        assert counts.keys() | errors.keys() == set(ids)
        results.prepare(self.database, self.pipeline_id, batches, self.warnings.append)
        with self.database.transaction() as connection:
            results.write(
                connection, self.pipeline_id, batches, [JOBS[number] for number in replaced]
            )
        return {number: str(errors[job]) for number, job in enumerate(ids) if job in errors}

    @property
    def columns(self) -> dict[str, str]:
        with self.database.reading() as cursor:
            found = results.result_columns(cursor, self.pipeline_id)
        assert found.pop("job_id") == "UUID"
        return found

    def arrow(self) -> pa.Table:
        query = f"SELECT * FROM {results.table_name(self.pipeline_id)} ORDER BY job_id, rowid"
        with self.database.reading() as cursor:
            return cursor.sql(query).to_arrow_table()

    def rows(self) -> list[dict[str, Any]]:
        """The rows, in the order of their jobs, without what is NULL; JSON as Python has it."""
        kinds = self.columns
        return [
            {
                name: json.loads(value) if kinds.get(name) == "JSON" else value
                for name, value in row.items()
                if value is not None and name != "job_id"
            }
            for row in self.arrow().to_pylist()
        ]


@pytest.fixture(scope="module")
def new_store() -> Iterator[Callable[[], Store]]:
    """Make empty result tables, all in one ledger."""
    made = memory_database()
    names = (f"p{number}" for number in itertools.count())
    yield lambda: Store(made, next(names))
    made.close()


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    return new_store()


# Types of what one group returns


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True], "BOOLEAN"),
        ([1], "BIGINT"),
        ([1, 2.5], "DOUBLE"),
        ([0.5, float("inf")], "DOUBLE"),
        (["ü"], "VARCHAR"),
        (["a\x00b"], "VARCHAR"),
        ([b"\xff"], "BLOB"),
        ([NOON], "TIMESTAMP"),
        ([dt.date(2024, 5, 1)], "DATE"),
        ([dt.time(1, 2, 3)], "TIME"),
        ([[1, 2], []], "BIGINT[]"),
        ([[1], [0.5]], "DOUBLE[]"),
        ([["a", None]], "VARCHAR[]"),
        ([[NOON]], "TIMESTAMP[]"),
        ([{"a": {"b": [1]}}], "JSON"),
        ([[[1], [2]]], "JSON"),
        ([2**70], "JSON"),
        ([None], "VARCHAR"),
        ([[]], "VARCHAR[]"),
    ],
    ids=repr,
)
def test_values_are_stored_in_their_type_and_come_back(
    store: Store, values: list[Any], kind: str
) -> None:
    assert store.group(*([{"x": value}] for value in values)) == {}
    assert store.columns == {"x": kind}
    assert store.rows() == [{} if value is None else {"x": value} for value in values]
    assert store.warnings == []


def test_times_with_a_zone_are_kept_as_moments(store: Store) -> None:
    tokyo = NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=9)))
    store.group(
        [{"x": tokyo}], pd.DataFrame({"x": pd.to_datetime([NOON]).tz_localize("Asia/Tokyo")})
    )
    assert store.columns == {"x": "TIMESTAMP WITH TIME ZONE"}
    column = store.arrow().column("x")
    assert column.cast(pa.timestamp("us", "UTC")).to_pylist() == [tokyo, tokyo]


def test_durations_are_kept(store: Store) -> None:
    store.group([{"x": dt.timedelta(hours=36)}], pd.DataFrame({"x": pd.to_timedelta(["36h"])}))
    assert store.columns == {"x": "INTERVAL"}
    with store.database.reading() as cursor:
        query = f"SELECT epoch(x)::BIGINT FROM {results.table_name(store.pipeline_id)}"
        assert cursor.execute(query).fetchall() == [(36 * 3600,), (36 * 3600,)]


def test_numpy_values_are_numbers_and_lists(store: Store) -> None:
    row = {
        "score": np.float32(0.5),
        "n": np.int8(3),
        "ok": np.bool_(True),
        "box": np.array([1, 2]),
        "masks": np.zeros((2, 1)),
    }
    store.group([row])
    assert store.columns == {
        "score": "DOUBLE",
        "n": "BIGINT",
        "ok": "BOOLEAN",
        "box": "BIGINT[]",
        "masks": "JSON",
    }
    assert store.rows() == [
        {"score": 0.5, "n": 3, "ok": True, "box": [1, 2], "masks": [[0.0], [0.0]]}
    ]


# Columns that change


@pytest.mark.parametrize(
    ("first", "then", "kind", "rows"),
    [
        (1, 2.5, "DOUBLE", [1.0, 2.5]),
        (2.5, 1, "DOUBLE", [2.5, 1.0]),
        (2**53, 0.5, "DOUBLE", [2.0**53, 0.5]),
        (None, 1, "BIGINT", [None, 1]),
        (None, [1], "BIGINT[]", [None, [1]]),
        (None, {"a": 1}, "JSON", [None, {"a": 1}]),
        ([], [0.5], "DOUBLE[]", [[], [0.5]]),
        ([0.5], [], "DOUBLE[]", [[0.5], []]),
        ([1], [0.5], "DOUBLE[]", [[1.0], [0.5]]),
        ([0.5], [1], "DOUBLE[]", [[0.5], [1.0]]),
        ([None], [b"a"], "BLOB[]", [[None], [b"a"]]),
        (1, None, "BIGINT", [1, None]),
        ({"a": 1}, [1], "JSON", [{"a": 1}, [1]]),
        ({"a": 1}, "text", "JSON", [{"a": 1}, "text"]),
        ({"a": 1}, b"\xff", "JSON", [{"a": 1}, "ff"]),
        ({"a": 1}, float("nan"), "JSON", [{"a": 1}, "nan"]),
        ({"a": 1}, NOON, "JSON", [{"a": 1}, "2024-05-01 12:00:00.5"]),
        ({"a": 1}, [0.5, float("inf"), None], "JSON", [{"a": 1}, [0.5, "inf", None]]),
    ],
    ids=repr,
)
def test_column_takes_more_without_a_word(
    store: Store, first: Any, then: Any, kind: str, rows: list[Any]
) -> None:
    store.group([{"x": first}])
    store.group([{"x": then}])
    assert store.columns == {"x": kind}
    assert [row.get("x") for row in store.rows()] == rows
    assert store.warnings == []


CONFLICTS: list[tuple[Any, Any, str, str, list[Any]]] = [
    (1, "a", "BIGINT", "VARCHAR", [1, "a"]),
    ("a", 1, "VARCHAR", "BIGINT", ["a", 1]),
    (True, 1, "BOOLEAN", "BIGINT", [True, 1]),
    (2**53 + 1, 0.5, "BIGINT", "DOUBLE", [2**53 + 1, 0.5]),
    (0.5, 2**53 + 1, "DOUBLE", "BIGINT", [0.5, 2**53 + 1]),
    (1, 2**70, "BIGINT", "JSON", [1, 2**70]),
    (1, {"a": 1}, "BIGINT", "JSON", [1, {"a": 1}]),
    (1, [1], "BIGINT", "BIGINT[]", [1, [1]]),
    ([1], 1, "BIGINT[]", "BIGINT", [[1], 1]),
    ([1], ["a"], "BIGINT[]", "VARCHAR[]", [[1], ["a"]]),
    ([2**53 + 1], [0.5], "BIGINT[]", "DOUBLE[]", [[2**53 + 1], [0.5]]),
    ([0.5, float("nan")], "a", "DOUBLE[]", "VARCHAR", [[0.5, "nan"], "a"]),
    (float("inf"), "a", "DOUBLE", "VARCHAR", ["inf", "a"]),
    (b"\xff", "a", "BLOB", "VARCHAR", ["ff", "a"]),
    ([b"\xff"], "a", "BLOB[]", "VARCHAR", [["ff"], "a"]),
    (NOON, NOON.date(), "TIMESTAMP", "DATE", ["2024-05-01 12:00:00.5", "2024-05-01"]),
    (NOON.time(), "a", "TIME", "VARCHAR", ["12:00:00.5", "a"]),
]


@pytest.mark.parametrize(
    ("first", "then", "before", "returned", "rows"), CONFLICTS, ids=lambda value: f"{value!r:.30}"
)
def test_column_whose_values_differ_is_json_and_says_so_once(
    store: Store, first: Any, then: Any, before: str, returned: str, rows: list[Any]
) -> None:
    store.group([{"x": first}])
    store.group([{"y": 1}], [{"x": then}])
    store.group([{"x": then}], [{"x": first}])
    assert store.columns["x"] == "JSON"
    found = [row.get("x") for row in store.rows()]
    assert found == [rows[0], None, rows[1], rows[1], rows[0]]
    assert store.warnings == [
        (
            f"the column 'x' of {store.pipeline_id} is JSON from now on: it was {before}, "
            f"and job {JOBS[2]} returned {returned}"
        )
    ]


@pytest.mark.parametrize(
    ("first", "then", "before", "returned", "rows"), CONFLICTS, ids=lambda value: f"{value!r:.30}"
)
def test_values_of_one_group_that_differ_are_json_and_it_says_so_once(
    store: Store, first: Any, then: Any, before: str, returned: str, rows: list[Any]
) -> None:
    store.group([{"x": None}], [{"x": first}], [{"x": then}], [{"x": first}])
    assert store.columns["x"] == "JSON"
    # Times turn into text in Python here, and in SQL above: both write them alike.
    assert [row.get("x") for row in store.rows()] == [None, rows[0], rows[1], rows[0]]
    assert store.warnings == [
        (
            f"the column 'x' of {store.pipeline_id} is JSON from now on: it was {before}, "
            f"and job {JOBS[2]} returned {returned}"
        )
    ]


def test_tables_and_rows_of_one_group_that_differ_say_which_job(store: Store) -> None:
    store.group([{"x": 1}], pd.DataFrame({"x": [2]}), pd.DataFrame({"x": [None, "a"]}))
    assert store.columns == {"x": "JSON"}
    assert [row.get("x") for row in store.rows()] == [1, 2, None, "a"]
    assert len(store.warnings) == 1
    assert store.warnings[0].endswith(f"it was BIGINT, and job {JOBS[2]} returned VARCHAR")


def test_wide_numbers_of_one_table_and_floats_of_another_stay_exact(store: Store) -> None:
    store.group([{"x": 0.5}], pa.table({"x": [2**53 + 1]}))
    assert [row["x"] for row in store.rows()] == [0.5, 2**53 + 1]
    assert store.columns == {"x": "JSON"}


def test_new_columns_join_and_missing_ones_are_null(store: Store) -> None:
    store.group([{"a": 1}])
    store.group([{"b": "x"}], [{"a": 2, "c": [1]}])
    assert store.columns == {"a": "BIGINT", "b": "VARCHAR", "c": "BIGINT[]"}
    assert store.rows() == [{"a": 1}, {"b": "x"}, {"a": 2, "c": [1]}]


def test_columns_spelled_differently_by_different_jobs_are_one(store: Store) -> None:
    store.group([{"Score": 1}], [{"score": 2}])
    store.group([{"SCORE": 3}], pd.DataFrame({"sCore": [4]}))
    store.group([{"Ä": 1}])
    store.group([{"ä": 2}], [{"Ä": 3}])
    assert store.columns == {"Score": "BIGINT", "Ä": "BIGINT"}
    assert [row.get("Score", row.get("Ä")) for row in store.rows()] == [1, 2, 3, 4, 1, 2, 3]


@pytest.mark.parametrize(
    "name",
    [
        'a "quoted" one',
        "it's",
        "<script>",
        "100%",
        "select",
        "rowid",
        " ",
        "ü ⚽",
        "batch",
        "c0",
        "x" * 500,
    ],
)
def test_column_may_have_an_awkward_name(store: Store, name: str) -> None:
    store.group([{name: 1}], pd.DataFrame({name: [0.5]}))
    store.group([{name: "a"}])
    assert store.columns == {name: "JSON"}
    assert [row[name] for row in store.rows()] == [1, 0.5, "a"]


def test_rows_may_have_no_column_and_jobs_no_row(store: Store) -> None:
    assert (
        store.group([{}], [], None, pd.DataFrame(), pa.table({"x": pa.array([], pa.int8())})) == {}
    )
    assert (store.columns, store.rows()) == ({}, [{}])
    ids = [JOBS[0], JOBS[1], JOBS[2]]
    returned = list(zip(ids, ([{}, {}], [], None), strict=True))
    assert results.gather(returned)[1] == {ids[0]: 2, ids[1]: 0, ids[2]: 0}


# DataFrames and Arrow tables

FRAME = pd.DataFrame(
    {
        "i8": np.array([1, 2], "int8"),
        "u64": np.array([2**64 - 1, 0], "uint64"),
        "f32": np.array([0.5, np.nan], "float32"),
        "f16": np.array([0.5, 1], "float16"),
        "nullable": pd.array([2**60, None], dtype="Int64"),
        "flag": pd.array([True, None], dtype="boolean"),
        "text": pd.array(["a", None], dtype="string"),
        "kind": pd.Categorical(["x", None]),
        "level": pd.Categorical([3, 4]),
        "when": pd.to_datetime(["2024-05-01 12:00", None]),
        "moment": pd.to_datetime(["2024-05-01 12:00", None]).tz_localize("Asia/Tokyo"),
        "exact": pd.to_datetime(["2024-05-01 12:00:00.000000001", None]),
        "mixed": pd.Series([1, "a"], dtype=object),
        "lists": pd.Series([[1], None], dtype=object),
        "dicts": pd.Series([{"a": np.int64(1)}, np.nan], dtype=object),
        "days": pd.Series([dt.date(2024, 5, 1), pd.NaT], dtype=object),
    }
)


def test_types_of_a_frame_are_kept(store: Store) -> None:
    assert store.group(FRAME) == {}
    assert store.columns == {
        "i8": "TINYINT",
        "u64": "UBIGINT",
        "f32": "FLOAT",
        "f16": "FLOAT",
        "nullable": "BIGINT",
        "flag": "BOOLEAN",
        "text": "VARCHAR",
        "kind": "VARCHAR",
        "level": "BIGINT",
        "when": "TIMESTAMP",
        "moment": "TIMESTAMP WITH TIME ZONE",
        "exact": "TIMESTAMP_NS",
        "mixed": "JSON",
        "lists": "BIGINT[]",
        "dicts": "JSON",
        "days": "DATE",
    }
    first, second = store.rows()
    moment, exact = first.pop("moment"), first.pop("exact")
    assert moment == dt.datetime(2024, 5, 1, 3, tzinfo=dt.UTC)
    assert pd.Timestamp(exact) == pd.Timestamp("2024-05-01 12:00:00.000000001")
    assert first == {
        "i8": 1,
        "u64": 2**64 - 1,
        "f32": 0.5,
        "f16": 0.5,
        "nullable": 2**60,
        "flag": True,
        "text": "a",
        "kind": "x",
        "level": 3,
        "when": NOON.replace(microsecond=0),
        "mixed": 1,
        "lists": [1],
        "dicts": {"a": 1},
        "days": dt.date(2024, 5, 1),
    }
    assert second == {"i8": 2, "u64": 0, "f16": 1.0, "level": 4, "mixed": "a"}
    assert store.warnings == [
        (
            f"the column 'mixed' of {store.pipeline_id} is JSON from now on: it was BIGINT, "
            f"and job {JOBS[0]} returned VARCHAR"
        )
    ]


def test_named_levels_of_an_index_are_columns_and_others_are_not(store: Store) -> None:
    plain = pd.DataFrame({"x": [1]}, index=[9])
    named = pd.DataFrame({"x": [2]}, index=pd.Index(["a"], name="camera"))
    several = pd.DataFrame(
        {"x": [3]}, index=pd.MultiIndex.from_tuples([("b", 5)], names=["camera", None])
    )
    assert store.group(plain, named, several) == {}
    assert store.rows() == [{"x": 1}, {"x": 2, "camera": "a"}, {"x": 3, "camera": "b"}]


ARROW: dict[str, tuple[pa.Array, str, list[Any]]] = {
    "small": (pa.array([1, None], pa.uint8()), "UTINYINT", [1, None]),
    "decimal": (
        pa.array([decimal.Decimal("1.50")], pa.decimal128(5, 2)),
        "DECIMAL(5,2)",
        [decimal.Decimal("1.50")],
    ),
    "large text": (pa.array(["a"], pa.large_string()), "VARCHAR", ["a"]),
    "text view": (pa.array(["a"], pa.string_view()), "VARCHAR", ["a"]),
    "bytes view": (pa.array([b"a"], pa.binary_view()), "BLOB", [b"a"]),
    "fixed bytes": (pa.array([b"ab"], pa.binary(2)), "BLOB", [b"ab"]),
    "dictionary": (pa.array(["a", None]).dictionary_encode(), "VARCHAR", ["a", None]),
    "seconds": (pa.array([5], pa.timestamp("s")), "TIMESTAMP", [FIVE]),
    "date64": (pa.array([86_400_000], pa.date64()), "DATE", [dt.date(1970, 1, 2)]),
    "time": (pa.array([5], pa.time32("s")), "TIME", [dt.time(0, 0, 5)]),
    "list": (pa.array([[1, None], None], pa.list_(pa.int8())), "TINYINT[]", [[1, None], None]),
    "fixed list": (pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)), "FLOAT[]", [[1.0, 2.0]]),
    "large list": (pa.array([["a"]], pa.large_list(pa.string())), "VARCHAR[]", [["a"]]),
    "empty lists": (pa.array([[], None], pa.list_(pa.null())), "VARCHAR[]", [[], None]),
    "list of times": (
        pa.array([[5]], pa.list_(pa.timestamp("s"))),
        "TIMESTAMP[]",
        [[FIVE]],
    ),
    "nothing": (pa.nulls(2), "VARCHAR", [None, None]),
    "struct": (pa.array([{"a": 1, "b": None}]), "JSON", [{"a": 1, "b": None}]),
    "map": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), "JSON", [[["k", 1]]]),
    "nested": (pa.array([[[1], []]]), "JSON", [[[1], []]]),
    "list of structs": (pa.array([[{"a": 1}], []]), "JSON", [[{"a": 1}], []]),
}


@pytest.mark.parametrize(("column", "kind", "values"), ARROW.values(), ids=ARROW.keys())
@pytest.mark.parametrize("as_batch", [False, True], ids=["table", "record batch"])
def test_types_of_an_arrow_table_are_kept(
    store: Store, column: pa.Array, kind: str, values: list[Any], as_batch: bool
) -> None:
    table = pa.table({"x": column})
    assert store.group(table.to_batches()[0] if as_batch else table) == {}
    assert store.columns == {"x": kind}
    assert [row.get("x") for row in store.rows()] == values
    assert store.warnings == []


@pytest.mark.parametrize(
    ("first", "then", "kind"),
    [
        (pa.int8(), pa.int32(), "INTEGER"),
        (pa.int32(), pa.int8(), "INTEGER"),
        (pa.int8(), pa.uint8(), "SMALLINT"),
        (pa.int64(), pa.uint64(), "HUGEINT"),
        (pa.int16(), pa.float32(), "FLOAT"),
        (pa.int32(), pa.float32(), "DOUBLE"),
        (pa.float32(), pa.float64(), "DOUBLE"),
        (pa.int64(), pa.float32(), "DOUBLE"),
    ],
    ids=str,
)
def test_numbers_of_tables_widen_to_what_holds_both(
    store: Store, first: pa.DataType, then: pa.DataType, kind: str
) -> None:
    store.group(pa.table({"x": pa.array([1], first)}))
    store.group(pa.table({"x": pa.array([2], then)}), pa.table({"x": pa.array([3], first)}))
    assert store.columns == {"x": kind}
    assert [row["x"] for row in store.rows()] == [1, 2, 3]
    assert store.warnings == []


def test_wider_types_hold_both_ends_of_narrower_ones() -> None:
    for narrow, wide in WIDER.items():
        for kind in wide:
            assert merged_type(narrow, kind, lambda: False) == kind
            assert merged_type(f"{kind}[]", f"{narrow}[]", lambda: False) == f"{kind}[]"
    assert merged_type("BIGINT", "DOUBLE", lambda: True) == "DOUBLE"
    assert merged_type("BIGINT", "DOUBLE", lambda: False) == "JSON"


# One bad result fails alone


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    def tolist(self) -> list[Any]:
        raise RudeError


class RudeError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def corrupt_table() -> pa.Table:
    buffers = [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    return pa.table({"x": pa.StringArray.from_buffers(1, buffers[1], buffers[2])})


def holding_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


BAD: dict[str, tuple[Any, str]] = {
    "object": ([{"x": object()}], "the column 'x': <object object at 0x"),
    "rude object": (
        [{"x": Rude()}],
        "what the pipeline returned cannot be read: RudeError()",
    ),
    "set": ([{"x": {1}}], "the column 'x': {1} is of type set; expected text, bytes, a number"),
    "half a character": ([{"x": "\ud800"}], "the column 'x': '\\ud800' is not valid Unicode text"),
    "half a key": ([{"x": {"\ud800": 1}}], "the column 'x': '\\ud800' is not valid Unicode text"),
    "endless": ([{"x": holding_itself()}], "the column 'x': it nests deeper than 100 levels"),
    "endless number": ([{"x": 10**400}], "the column 'x': a whole number has more than 300 digits"),
    "endless time": (
        [{"x": [dt.timedelta.max]}],
        "the column 'x': datetime.timedelta(days=999999999, seconds=86399, microseconds=999999) is longer than",
    ),
    "second row": ([{"x": 1}, {"x": 2j}], "the column 'x': 2j is of type complex"),
    "job_id": ([{"job_id": 1}], "a column is named 'job_id', which every result table has already"),
    "JOB_ID": ([{"JOB_ID": 1}], "a column is named 'JOB_ID', which every result table has already"),
    "case": (
        [{"Score": 1, "score": 2}],
        "the columns 'Score' and 'score' differ only by case, which DuckDB does not tell apart; rename one",
    ),
    "number for a name": ([{1: 2}], "a column is named 1; expected printable text, such as"),
    "no name": ([{"": 2}], "a column is named ''; expected printable text"),
    "line break": ([{"a\nb": 2}], "a column is named 'a\\nb'; expected printable text"),
    "frame with job_id": (pd.DataFrame({"job_id": [1]}), "a column is named 'job_id'"),
    "frame by case": (
        pd.DataFrame([[1, 2]], columns=["a", "A"]),
        "the columns 'a' and 'A' differ only",
    ),
    "frame by number": (
        pd.DataFrame([[1]]),
        "a column is named 0; expected printable text, such as df.columns.map(str) gives",
    ),
    "frame with a name twice": (
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        "two columns are named 'a'; rename one",
    ),
    "frame with objects": (
        pd.DataFrame({"x": pd.Series([object()], dtype=object)}),
        "the column 'x': <object object at 0x",
    ),
    "frame with periods": (
        pd.DataFrame({"x": pd.period_range("2024", periods=1, freq="Y")}),
        "the column 'x': Period('2024'",
    ),
    "frame with complex numbers": (
        pd.DataFrame({"x": [2j]}),
        "the returned table cannot be stored: ",
    ),
    "table with a name twice": (
        pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]),
        "two columns are named 'a'; rename one",
    ),
    "table with periods": (
        pa.table(pd.DataFrame({"x": pd.period_range("2024", periods=1, freq="Y")})),
        "the column 'x': it is of the Arrow type extension<pandas.period",
    ),
    "corrupt table": (corrupt_table(), "the returned table cannot be stored: "),
    "far time": (pa.table({"x": pa.array([2**62], pa.timestamp("s"))}), "the column 'x': "),
    "far year": (
        pa.table({"x": pa.array([2**62], pa.timestamp("us"))}),
        "the column 'x': it holds times that are not within the years 1 to 9999",
    ),
    "far day": (
        pa.table({"x": pa.array([2**31 - 1], pa.date32())}),
        "the column 'x': it holds times that are not within the years 1 to 9999",
    ),
    "no time of day": (pa.table({"x": pa.array([-5], pa.time64("us"))}), ""),
    "Decimal": (
        [{"x": decimal.Decimal("1.50")}],
        (
            "the column 'x': Decimal('1.50') is a Decimal, whose column needs a fixed number of digits; declare "
            "them, as in @pipeline(..., schema={'price': 'DECIMAL(10,2)'}), or return float(value) or str(value)"
        ),
    ),
    "long decimal": (
        pa.table({"x": pa.array([decimal.Decimal(10) ** 60], pa.decimal256(70, 0))}),
        "the column 'x': Decimal('1",
    ),
}


@pytest.mark.parametrize(("returned", "message"), BAD.values(), ids=BAD.keys())
def test_bad_result_fails_its_own_job_only(store: Store, returned: Any, message: str) -> None:
    failed = store.group([{"x": 1}], returned, pd.DataFrame({"x": [2]}), [{"y": "a"}])
    assert failed.keys() == {1}
    assert failed[1].startswith(message)
    assert store.rows() == [{"x": 1}, {"x": 2}, {"y": "a"}]
    assert store.columns == {"x": "BIGINT", "y": "VARCHAR"}


# Retries


def test_rows_of_a_retried_job_are_replaced(store: Store) -> None:
    store.group([{"x": 1}, {"x": 2}], [{"x": 3}])
    store.group([{"x": 4}], jobs=[0], replaced=[0])
    assert store.rows() == [{"x": 4}, {"x": 3}]
    store.group(None, jobs=[0], replaced=[0])
    store.group([], jobs=[1], replaced=[1])
    assert store.rows() == []


def test_replacing_before_there_is_a_table_does_nothing(store: Store) -> None:
    store.group(None, [], jobs=[0, 1], replaced=[0, 1])
    with store.database.reading() as cursor:
        assert results.result_columns(cursor, store.pipeline_id) == {}


def test_one_group_with_new_rows_replaced_rows_and_a_widening(store: Store) -> None:
    store.group([{"x": 1, "y": "a"}], [{"x": 2, "y": "b"}], [{"x": 3, "y": "c"}])
    store.group(
        [{"x": 0.5, "y": "d"}],
        [{"x": 7, "y": 1, "z": [1]}],
        pd.DataFrame({"x": [8, 9], "w": ["e", "f"]}),
        jobs=[1, 3, 4],
        replaced=[1],
    )
    assert store.columns == {"x": "DOUBLE", "y": "JSON", "z": "BIGINT[]", "w": "VARCHAR"}
    assert store.rows() == [
        {"x": 1.0, "y": "a"},
        {"x": 0.5, "y": "d"},
        {"x": 3.0, "y": "c"},
        {"x": 7.0, "y": 1, "z": [1]},
        {"x": 8.0, "w": "e"},
        {"x": 9.0, "w": "f"},
    ]
    assert len(store.warnings) == 1


def test_group_that_fails_to_write_leaves_the_rows_before_it(store: Store) -> None:
    store.group([{"x": 1}])
    batches, _, _ = results.gather([(JOBS[1], [{"x": 2}])])
    results.prepare(store.database, store.pipeline_id, batches, store.warnings.append)
    with pytest.raises(RuntimeError, match="the disk"), store.database.transaction() as connection:
        results.write(connection, store.pipeline_id, batches, [JOBS[0]])
        raise RuntimeError("the disk")
    assert store.rows() == [{"x": 1}]


def test_tables_of_two_pipelines_are_apart(new_store: Callable[[], Store]) -> None:
    one, two = new_store(), new_store()
    one.group([{"x": 1}])
    two.group([{"x": "a"}])
    assert (one.rows(), two.rows()) == ([{"x": 1}], [{"x": "a"}])
    assert (one.columns, two.columns) == ({"x": "BIGINT"}, {"x": "VARCHAR"})


# Whatever comes

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
)
anything = st.recursive(
    scalars | st.builds(object) | st.just(2j),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
rows_of_a_job = st.lists(
    st.dictionaries(st.sampled_from(["a", "A", "b", "ü", "job_id"]), anything, max_size=2),
    max_size=2,
)


def equals(stored: Any, returned: Any) -> bool:
    """Whether a stored scalar is the one that was returned; what became JSON is compared as text."""
    if isinstance(returned, float) and returned != returned:
        return stored != stored or stored == "nan"
    if isinstance(stored, str) and not isinstance(returned, str):
        return True
    return bool(stored == returned)


@settings(deadline=None, max_examples=100)
@given(groups=st.lists(st.lists(rows_of_a_job, min_size=1, max_size=4), min_size=1, max_size=3))
@example(groups=[[[{"a": None}]], [[{"a": [None]}]], [[{"a": "x"}], [{"A": [[]]}]]])
@example(groups=[[[{"a": []}]], [[{"a": [float("nan")]}]], [[{"a": {"": b"\xff"}}]]])
def test_any_values_are_stored_or_fail_alone(
    new_store: Callable[[], Store], groups: list[list[list[dict[str, Any]]]]
) -> None:
    store = new_store()
    expected: list[dict[str, Any]] = []
    for group in groups:
        failed = store.group(*group)
        for number, rows in enumerate(group):
            if number not in failed:
                expected += rows
    if not expected:
        return
    found = store.rows()
    assert len(found) == len(expected)
    for stored, returned in zip(found, expected, strict=True):
        values = {name.lower(): value for name, value in stored.items()}
        for name, value in returned.items():
            if not isinstance(
                value, (list, dict, dt.datetime, dt.timedelta, dt.time, bytes, type(None))
            ):
                assert equals(values[name.lower()], value)
        assert len(values) == sum(value is not None for value in returned.values())
    warned = [warning.split("'")[1].lower() for warning in store.warnings]
    assert len(warned) == len(set(warned)), "one warning a column"
