"""Result tables by a schema: made when a run starts, and brought to it where nothing is lost."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from foregsyte_kaggle import PipelineError, results
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.registry.declared import declared_schema
from foregsyte_kaggle.results.conforming import SchemaReader
from foregsyte_kaggle.results.schemas import declare_table, resolve
from foregsyte_kaggle.testing import memory_database

pytestmark = pytest.mark.unit

NOON = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001 - one without a zone
MIDNIGHT = dt.datetime(2024, 5, 1)  # noqa: DTZ001
IDENTITY = str(uuid.UUID(int=5))


class Store:
    """The result table of one pipeline."""

    def __init__(self, database: Database, pipeline_id: str) -> None:
        self.database = database
        self.pipeline_id = pipeline_id
        self.warnings: list[str] = []
        self._next = 0

    def declare(self, schema: Any) -> None:
        declare_table(self.database, self.pipeline_id, declared_schema(schema))

    def store(self, *returned: Any, schema: Any = None) -> dict[int, str]:
        """Store what jobs returned; return why some of them failed, by their number."""
        ids = [str(uuid.UUID(int=self._next + number)) for number in range(len(returned))]
        self._next += len(returned)
        reader = None
        if schema is not None:
            declared = declared_schema(schema)
            reader = SchemaReader(declare_table(self.database, self.pipeline_id, declared))
        batches, counts, errors = results.gather(list(zip(ids, returned, strict=True)), reader)
        assert counts.keys().isdisjoint(errors)
        assert counts.keys() | errors.keys() == set(ids)
        if schema is None:
            results.prepare(self.database, self.pipeline_id, batches, self.warnings.append)
        with self.database.transaction() as connection:
            results.write(connection, self.pipeline_id, batches, [])
        return {number: str(errors[job]) for number, job in enumerate(ids) if job in errors}

    @property
    def columns(self) -> dict[str, str]:
        with self.database.reading() as cursor:
            return results.result_columns(cursor, self.pipeline_id)

    def values(self, column: str = "x") -> list[Any]:
        query = (
            f'SELECT "{column}" FROM {results.table_name(self.pipeline_id)} ORDER BY job_id, rowid'
        )
        with self.database.reading() as cursor:
            return [value for (value,) in cursor.execute(query).fetchall()]


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


# Types


def test_table_has_the_columns_in_their_order_and_types(store: Store) -> None:
    store.declare({"b": "real", "a": "text[]", 'a "quoted" one': dict, "c": "numeric(4, 1)"})
    assert store.columns == {
        "job_id": "UUID",
        "b": "FLOAT",
        "a": "VARCHAR[]",
        'a "quoted" one': "JSON",
        "c": "DECIMAL(4,1)",
    }
    assert list(store.columns) == ["job_id", "b", "a", 'a "quoted" one', "c"]


def test_arrow_schema_gives_the_types_that_its_tables_have(store: Store) -> None:
    schema = pa.schema(
        {
            "i": pa.int8(),
            "u": pa.uint64(),
            "h": pa.float16(),
            "f": pa.list_(pa.float32(), 3),
            "s": pa.dictionary(pa.int8(), pa.string()),
            "t": pa.timestamp("ms"),
            "n": pa.timestamp("ns"),
            "z": pa.timestamp("ns", "Asia/Tokyo"),
            "l": pa.list_(pa.timestamp("s")),
            "m": pa.time32("s"),
            "d": pa.decimal128(6, 2),
            "o": pa.struct({"a": pa.int8()}),
            "p": pa.list_(pa.struct({"a": pa.int8()})),
        }
    )
    store.declare(schema)
    assert store.columns == {
        "job_id": "UUID",
        "i": "TINYINT",
        "u": "UBIGINT",
        "h": "FLOAT",
        "f": "FLOAT[]",
        "s": "VARCHAR",
        "t": "TIMESTAMP",
        "n": "TIMESTAMP_NS",
        "z": "TIMESTAMP WITH TIME ZONE",
        "l": "TIMESTAMP[]",
        "m": "TIME",
        "d": "DECIMAL(6,2)",
        "o": "JSON",
        "p": "JSON",
    }
    row = {
        "i": [1],
        "u": [2],
        "h": [np.float16(0.5)],
        "f": [[1.0, 2.0, 3.0]],
        "s": ["a"],
        "t": [NOON],
        "n": [NOON],
        "z": [NOON.replace(tzinfo=dt.UTC)],
        "l": [[NOON]],
        "m": [NOON.time()],
        "d": [Decimal("1.25")],
        "o": [{"a": 1}],
        "p": [[{"a": 1}]],
    }
    assert store.store(pa.table(row, schema=schema), schema=schema) == {}
    assert (store.values("f"), store.values("l")) == ([[1.0, 2.0, 3.0]], [[NOON]])
    assert (store.values("d"), store.values("m")) == ([Decimal("1.25")], [NOON.time()])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("NOSUCH", "DuckDB says: Catalog Error: Type with name NOSUCH does not exist!"),
        ("DECIMAL(50,2)", "DuckDB says: "),
        ("BIT", "no column can hold it"),
        ("TIMETZ", "no column can hold it"),
        (pa.binary_view(), None),
        (pa.decimal256(60, 2), "no column can hold it"),
        (pa.null(), "no column can hold it"),
    ],
    ids=str,
)
def test_type_that_no_column_has_names_column_and_type(
    store: Store, kind: Any, why: str | None
) -> None:
    schema = {"score": kind} if isinstance(kind, str) else pa.schema({"score": kind})
    if why is None:
        store.declare(schema)
        return
    with pytest.raises(PipelineError) as caught:
        store.declare(schema)
    assert str(caught.value).startswith(
        f"the schema of the pipeline {store.pipeline_id!r} gives the column 'score' the type "
        f"{str(kind)!r}: {why}"
    )
    assert store.columns == {}, "nothing is made"


def test_types_are_resolved_without_a_table(store: Store) -> None:
    with store.database.reading() as cursor:
        (column,) = resolve(cursor, "p", {"x": "double precision[]"})
    assert (column.kind, column.arrow) == ("DOUBLE[]", pa.list_(pa.float64()))
    assert store.columns == {}


# What jobs return


def test_only_the_jobs_that_misfit_fail(store: Store) -> None:
    told = store.store(
        [{"x": 1, "y": "a"}],
        [{"x": 2}, {"x": "two"}],
        [{"x": 3, "z": 1}],
        [{"X": 4.0, "Y": "d"}, {}],
        None,
        [],
        pd.DataFrame({"y": ["e"], "x": [5.0]}),
        pd.DataFrame({"x": [5.5]}),
        pa.table({"x": [6], "more": [1]}),
        [{"x": object(), "y": 1}],
        pa.table({"x": pa.array([7], pa.uint8())}),
        [{"job_id": 1}],
        [{"x": 1, "X": 2}],
        [{5: 1}],
        schema={"x": int, "y": str},
    )
    assert told.pop(9).startswith("the column 'x': <object object at")
    assert told == {
        1: "the column 'x' is BIGINT by the pipeline's schema, and 'two' of type str does not fit",
        2: (
            "the column 'z' is not in the pipeline's schema, which has 'x', 'y'; declare it there, or return "
            "the others only"
        ),
        7: "the column 'x' is BIGINT by the pipeline's schema, and 5.5 of type float does not fit",
        8: (
            "the column 'more' is not in the pipeline's schema, which has 'x', 'y'; declare it there, or "
            "return the others only"
        ),
        11: "a column is named 'job_id', which every result table has already",
        12: (
            "the columns 'x' and 'X' differ only by case, which DuckDB does not tell apart; rename one"
        ),
        13: "a column is named 5; expected printable text, such as df.columns.map(str) gives",
    }
    assert store.values() == [1, 4, None, 5, 7]
    assert store.values("y") == ["a", "d", None, "e", None]
    assert store.columns == {"job_id": "UUID", "x": "BIGINT", "y": "VARCHAR"}


def test_group_of_nothing_but_misfits_stores_nothing(store: Store) -> None:
    told = store.store([{"x": "a"}], [{"x": 1}, {"x": "b"}], schema={"x": int})
    assert told.keys() == {0, 1}
    assert store.values() == []


def test_every_kind_of_column_takes_its_values_through_duckdb(store: Store) -> None:
    row: dict[str, tuple[str, Any, Any]] = {
        "a": ("BOOLEAN", True, True),
        "b": ("UTINYINT", 255, 255),
        "c": ("HUGEINT", -(2**127), -(2**127)),
        "d": ("FLOAT", 0.5, 0.5),
        "e": ("DECIMAL(38,10)", Decimal("0.1"), Decimal("0.1")),
        "f": ("BLOB", b"\xff", b"\xff"),
        "g": ("DATE", NOON.date(), NOON.date()),
        "h": ("TIME", NOON.time(), NOON.time()),
        "i": ("TIMESTAMP_NS", NOON, NOON),
        "j": ("TIMESTAMPTZ", NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=dt.UTC)),
        "k": ("INTERVAL", dt.timedelta(hours=36), dt.timedelta(hours=36)),
        "l": ("UUID", IDENTITY, uuid.UUID(IDENTITY)),
        "m": ("JSON", {"a": [None, "ü"]}, '{"a": [null, "ü"]}'),
        "n": ("JSON[]", [{"a": 1}, "t"], ['{"a": 1}', '"t"']),
        "o": ("UUID[]", [IDENTITY], [uuid.UUID(IDENTITY)]),
        "p": ("HUGEINT[]", [2**100], [2**100]),
        "q": ("DOUBLE[][]", [[math.inf], []], [[math.inf], []]),
        "r": ("INTERVAL[]", [dt.timedelta(1)], [dt.timedelta(1)]),
    }
    returned = {name: value for name, (_, value, _) in row.items()}
    schema = {name: kind for name, (kind, _, _) in row.items()}
    assert store.store([returned], [{}], schema=schema) == {}
    for name, (_, _, stored) in row.items():
        if name != "j":  # plain DuckDB needs pytz for it
            assert store.values(name) == [stored, None]


# Tables that are there already


def test_declaring_the_same_again_changes_nothing(store: Store) -> None:
    store.store([{"x": 1}], schema={"x": int})
    store.declare({"x": "int8"})
    store.declare({"X": "BIGINT"})
    assert (store.columns, store.values()) == ({"job_id": "UUID", "x": "BIGINT"}, [1])


def test_missing_columns_are_added_and_others_stay(store: Store) -> None:
    store.store([{"x": 1, "old": "a"}])
    store.store([{"x": 2, "new": 0.5}], schema={"new": float, "x": int})
    assert store.columns == {
        "job_id": "UUID",
        "x": "BIGINT",
        "old": "VARCHAR",
        "new": "DOUBLE",
    }
    assert store.values("old") == ["a", None]
    assert store.values("new") == [None, 0.5]


@pytest.mark.parametrize(
    ("stored", "kind", "expected"),
    [
        ([1, None, 2**53], "DOUBLE", [1.0, None, 2.0**53]),
        ([1, 2**60], "DOUBLE", [1.0, 2.0**60]),
        ([1.0, 2.0], "BIGINT", [1, 2]),
        ([1, 255], "UTINYINT", [1, 255]),
        ([1], "HUGEINT", [1]),
        ([0.5, 0.25], "FLOAT", [0.5, 0.25]),
        ([0.1, 1.25], "DECIMAL(10,2)", [Decimal("0.10"), Decimal("1.25")]),
        ([1, 2], "JSON", ["1", "2"]),
        (["a"], "JSON", ['"a"']),
        ([MIDNIGHT], "DATE", [MIDNIGHT.date()]),
        ([NOON.date()], "TIMESTAMP", [MIDNIGHT]),
        ([NOON], "TIMESTAMP_NS", [NOON]),
        ([IDENTITY], "UUID", [uuid.UUID(IDENTITY)]),
        ([[1, None], [], None], "DOUBLE[]", [[1.0, None], [], None]),
        ([[1.0]], "INTEGER[]", [[1]]),
        ([["1"]], "JSON[]", [['"1"']]),
        ([[1]], "JSON", ["[1]"]),
        ([2**70, None, 5], "HUGEINT", [2**70, None, 5]),
        ([[[1, 2]], [[]]], "BIGINT[][]", [[[1, 2]], [[]]]),
        ([[[0.5]], [[1]]], "DOUBLE[][]", [[[0.5]], [[1.0]]]),
        ([[{"a": 1}]], "JSON[]", [['{"a":1}']]),
        ([None], "DATE", [None]),
        ([None], "BLOB", [None]),
        ([None], "JSON", [None]),
        ([None], "DOUBLE[]", [None]),
        ([[]], "DATE[]", [[]]),
        ([[None], None], "INTERVAL[]", [[None], None]),
        ([[]], "JSON[]", [[]]),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_stored_column_takes_the_declared_type_if_all_of_it_fits(
    store: Store, stored: list[Any], kind: str, expected: list[Any]
) -> None:
    store.store(*([{"x": value}] for value in stored))
    assert store.columns["x"] != kind or kind == "JSON"
    store.declare({"x": kind, "y": int})
    assert store.columns == {"job_id": "UUID", "x": kind, "y": "BIGINT"}
    assert store.values() == expected


@pytest.mark.parametrize("as_json", [1, 0.5, "a", True, [1, 2], ["a"], 2**70])
def test_what_became_json_goes_back_to_its_type(store: Store, as_json: Any) -> None:
    kinds = {int: "HUGEINT", float: "DOUBLE", str: "VARCHAR", bool: "BOOLEAN"}
    inner = as_json[0] if isinstance(as_json, list) else as_json
    kind = kinds[type(inner)] + ("[]" if isinstance(as_json, list) else "")
    store.store([{"x": as_json}], [{}], schema={"x": dict})
    assert store.columns["x"] == "JSON"
    store.declare({"x": kind})
    assert store.values() == [as_json, None]


@pytest.mark.parametrize(
    ("stored", "before", "kind"),
    [
        (["1"], "VARCHAR", "BIGINT"),
        ([1], "BIGINT", "VARCHAR"),
        ([0.5], "DOUBLE", "BIGINT"),
        ([2**53 + 1], "BIGINT", "DOUBLE"),
        ([300], "BIGINT", "TINYINT"),
        ([True], "BOOLEAN", "BIGINT"),
        ([1], "BIGINT", "BOOLEAN"),
        ([0.125], "DOUBLE", "DECIMAL(10,2)"),
        ([NOON], "TIMESTAMP", "DATE"),
        ([NOON], "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
        ([{"a": 1}], "JSON", "VARCHAR"),
        ([[1]], "BIGINT[]", "VARCHAR[]"),
        ([[1]], "BIGINT[]", "BIGINT"),
        ([b"a"], "BLOB", "VARCHAR"),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_stored_value_that_does_not_fit_stops_the_run_and_changes_nothing(
    store: Store, stored: list[Any], before: str, kind: str
) -> None:
    store.store([{"x": None, "w": 1}], *([{"x": value}] for value in stored))
    kept = store.values()
    with pytest.raises(PipelineError) as caught:
        store.declare({"w": float, "x": kind, "new": int})
    message = str(caught.value)
    assert message.startswith(
        f"the stored results of {store.pipeline_id!r} have the column 'x' as {before}, its schema as {kind}, "
        f"and what job {uuid.UUID(int=1)} returned does not fit: "
    )
    assert message.endswith(
        f"Declare the column as it is stored, {before!r}, or give the pipeline another pipeline_id."
    )
    assert store.columns == {"job_id": "UUID", "x": before, "w": "BIGINT"}
    assert store.values() == kept


def test_results_go_on_without_a_schema_where_one_was(store: Store) -> None:
    store.store([{"x": 1}], schema={"x": "UTINYINT"})
    store.store([{"x": 2, "y": "a"}])
    assert store.columns == {"job_id": "UUID", "x": "BIGINT", "y": "VARCHAR"}
    assert store.values() == [1, 2]
