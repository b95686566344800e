"""Schemas as ``@pipeline`` takes them: checked where they are written, without DuckDB."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import uuid
from typing import Any

import pyarrow as pa
import pytest

from foregsyte_kaggle import InvalidArgumentError
from foregsyte_kaggle.registry import find_pipeline, pipeline
from foregsyte_kaggle.registry.declared import declared_schema

pytestmark = pytest.mark.unit


def test_types_of_python_stand_for_those_of_duckdb() -> None:
    declared = {
        "a": int,
        "b": float,
        "c": str,
        "d": bool,
        "e": bytes,
        "f": dt.datetime,
        "g": dt.date,
        "h": dt.time,
        "i": dt.timedelta,
        "j": dict,
        "k": list,
        "l": uuid.UUID,
        "m": list[float],
        "n": list[list[int]],
        "o": list[dict],  # type: ignore[type-arg]
    }
    assert declared_schema(declared) == {
        "a": "BIGINT",
        "b": "DOUBLE",
        "c": "VARCHAR",
        "d": "BOOLEAN",
        "e": "BLOB",
        "f": "TIMESTAMP",
        "g": "DATE",
        "h": "TIME",
        "i": "INTERVAL",
        "j": "JSON",
        "k": "JSON",
        "l": "UUID",
        "m": "DOUBLE[]",
        "n": "BIGINT[][]",
        "o": "JSON",
    }
    assert list(declared_schema(declared)) == list(declared), "the order is kept"


@pytest.mark.parametrize(
    "text",
    [
        "BIGINT",
        "double precision",
        "DOUBLE[]",
        "int[][]",
        "DECIMAL(10,2)",
        "DECIMAL( 10, 2 )[]",
        "timestamp with time zone",
    ],
)
def test_type_as_text_is_kept_until_a_run_starts(text: str) -> None:
    assert declared_schema({"x": f" {text} "}) == {"x": text}


def test_arrow_schema_is_taken() -> None:
    schema = pa.schema({"x": pa.int8(), "y": pa.list_(pa.float32())})
    assert declared_schema(schema) == {"x": pa.int8(), "y": pa.list_(pa.float32())}


@pytest.mark.parametrize("schema", [{}, [], "x", 5, {"x"}, pa.schema({}), pa.int8()], ids=repr)
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        declared_schema(schema)
    assert str(caught.value).startswith(
        f"schema={schema!r:.80}; expected a dict of column names and types"
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([5], "schema= has a column named 5; expected printable text"),
        ([""], "schema= has a column named ''; expected printable text"),
        (["a\nb"], "schema= has a column named 'a\\nb'; expected printable text"),
        (
            ["Job_ID"],
            "schema= has a column named 'Job_ID', which every result table has already; leave it out",
        ),
        (
            ["Ä", "ä"],
            "schema= has the columns 'Ä' and 'ä', which DuckDB does not tell apart; rename one",
        ),
    ],
)
def test_columns_that_no_table_has_are_refused(names: list[Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        declared_schema(dict.fromkeys(names, int))
    assert str(caught.value) == message


def test_arrow_schema_with_a_name_twice_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="the columns 'x' and 'x'"):
        declared_schema(pa.schema([("x", pa.int8()), ("x", pa.int8())]))


@pytest.mark.parametrize(
    "kind",
    [
        complex,
        None,
        5,
        "",
        "INTEGER[3]",
        "INTEGER); DROP TABLE jobs; --",
        "INTEGER AS x, 1",
        "date'2024-01-01'",
        "STRUCT(a INTEGER)",
        "INTEGER\n",
        list[complex],
        [],
        {},
    ],
    ids=repr,
)
def test_what_is_no_type_is_refused_and_names_column_and_type(kind: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        declared_schema({"score": kind})
    assert str(caught.value).startswith(
        f"schema= gives the column 'score' the type {kind!r:.80}; expected int,"
    )


def test_decorator_checks_before_it_sees_the_function() -> None:
    with pytest.raises(InvalidArgumentError, match="the column 'x' the type"):
        pipeline("p", schema={"x": complex})


def test_pipeline_keeps_its_schema() -> None:
    pipeline("p", schema={"x": int})(len)
    assert find_pipeline("p").schema == {"x": "BIGINT"}
    pipeline("p")(len)
    assert find_pipeline("p").schema is None


def test_declaring_loads_neither_duckdb_nor_pyarrow() -> None:
    code = (
        "import sys, foregsyte_kaggle as fk; fk.pipeline('p', schema={'x': float, 'y': 'JSON'})(len);"
        "print(sorted({'duckdb', 'pandas', 'pyarrow', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
