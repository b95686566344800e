"""Changes of result tables: in one commit, and such that DuckDB can replay them after a crash."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foregsyte_kaggle import results
from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.registry.declared import declared_schema
from foregsyte_kaggle.results.schemas import declare_table
from foregsyte_kaggle.results.tables import ColumnChange, change_columns, result_columns
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

Persisted = Callable[[Path | None, str], list[tuple[Any, ...]]]
MIDNIGHT = dt.datetime(2024, 5, 1)  # noqa: DTZ001 - one without a zone


def store(workspace: Workspace, number: int, value: Any) -> None:
    batches, _, errors = results.gather(
        [(str(uuid.UUID(int=number)), [{"x": value, "kept": number}])]
    )
    assert not errors
    results.prepare(workspace.database, "p", batches, lambda _message: None)
    with workspace.database.transaction() as connection:
        results.write(connection, "p", batches, [])


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (1, 0.5, ("DOUBLE", ["1.0", "0.5"])),
        (None, 1, ("BIGINT", [None, "1"])),
        ([1], [0.5], ("DOUBLE[]", ["[1.0]", "[0.5]"])),
        ([], [0.5], ("DOUBLE[]", ["[]", "[0.5]"])),
        (1, "a", ("JSON", ["1", '"a"'])),
        ("a", 1, ("JSON", ['"a"', "1"])),
        (0.5, "a", ("JSON", ["0.5", '"a"'])),
        ([1], {"a": 1}, ("JSON", ["[1]", '{"a": 1}'])),
        (b"\xff", "a", ("JSON", ['"ff"', '"a"'])),
    ],
    ids=repr,
)
def test_widened_column_survives_a_crash(
    workspace: Workspace,
    persisted: Persisted,
    first: Any,
    then: Any,
    expected: tuple[str, list[str]],
) -> None:
    """DuckDB opens no file whose log has an ALTER with a function in it."""
    store(workspace, 1, first)
    store(workspace, 2, then)
    kind, values = expected
    query = "SELECT typeof(x), x::VARCHAR, kept FROM results.p ORDER BY rowid"
    assert persisted(workspace.ledger_path, query) == [
        (kind, values[0], 1),
        (kind, values[1], 2),
    ]


@pytest.mark.parametrize(
    ("stored", "kind", "expected"),
    [
        (0.5, "DECIMAL(10,2)", "0.50"),
        (MIDNIGHT, "DATE", "2024-05-01"),
        ("text", "JSON", '"text"'),
        (None, "DATE", None),
        ([1], "DOUBLE[]", "[1.0]"),
        ([], "DATE[]", "[]"),
        ([[1]], "BIGINT[][]", "[[1]]"),
    ],
    ids=repr,
)
def test_declared_column_survives_a_crash(
    workspace: Workspace, persisted: Persisted, stored: Any, kind: str, expected: str | None
) -> None:
    store(workspace, 1, stored)
    query = "SELECT typeof(x), x::VARCHAR, kept, new FROM results.p"
    declare_table(workspace.database, "p", declared_schema({"x": kind, "new": int}))
    assert persisted(workspace.ledger_path, query) == [(kind, expected, 1, None)]


def test_change_that_fails_changes_nothing(workspace: Workspace) -> None:
    store(workspace, 1, "a")
    for expression in ('"x"::BIGINT', "length(x)::JSON + error('no')"):
        changes = [ColumnChange("new", "BIGINT"), ColumnChange("x", "BIGINT", expression)]
        with pytest.raises(LedgerError), workspace.database.exclusive() as connection:
            change_columns(connection, "p", changes)
        with workspace.database.reading() as cursor:
            assert result_columns(cursor, "p") == {
                "job_id": "UUID",
                "x": "VARCHAR",
                "kept": "BIGINT",
            }
            assert cursor.execute("SELECT x FROM results.p").fetchall() == [("a",)]


def test_rewritten_table_keeps_rows_order_names_and_constraint(workspace: Workspace) -> None:
    for number in range(1, 30):
        store(workspace, number, [number])
    changes = [
        ColumnChange('a "new" one', "JSON"),
        ColumnChange("x", "JSON", 'to_json("x")'),
    ]
    with workspace.database.exclusive() as connection:
        change_columns(connection, "p", changes)
    with workspace.database.reading() as cursor:
        assert result_columns(cursor, "p") == {
            "job_id": "UUID",
            "x": "JSON",
            "kept": "BIGINT",
            'a "new" one': "JSON",
        }
        rows = cursor.execute("SELECT x, kept FROM results.p ORDER BY rowid").fetchall()
        tables = cursor.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'results'"
        ).fetchall()
    assert rows == [(f"[{number}]", number) for number in range(1, 30)]
    assert tables == [("p",)]
    with (
        pytest.raises(LedgerError, match="NOT NULL"),
        workspace.database.transaction() as connection,
    ):
        connection.execute("INSERT INTO results.p (kept) VALUES (1)").fetchall()
