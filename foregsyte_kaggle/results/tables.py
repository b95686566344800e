"""The tables ``results.<pipeline_id>``: their columns, and changes of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["JOB_COLUMN", "ColumnChange", "change_columns", "quote", "result_columns", "table_name"]

JOB_COLUMN = "job_id"


class ColumnChange(NamedTuple):
    """A new column of a result table, or another type of one that is there."""

    name: str
    kind: str
    expression: str | None = None
    """The value in the new type; None for a new column."""


def quote(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def table_name(pipeline_id: str) -> str:
    """Return the quoted name of a pipeline's result table."""
    return f"results.{quote(pipeline_id)}"


def result_columns(cursor: DuckDBPyConnection, pipeline_id: str) -> dict[str, str]:
    """Return a result table's columns with their types; empty where there is no table yet."""
    return dict(
        cursor.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'results'"
            " AND database_name = current_database() AND table_name = $name ORDER BY column_index",
            {"name": pipeline_id},
        ).fetchall()
    )


def change_columns(
    connection: DuckDBPyConnection, pipeline_id: str, changes: Sequence[ColumnChange]
) -> None:
    """Change a result table in one commit, or make it; nobody else may read or write meanwhile."""
    stored = result_columns(connection, pipeline_id)
    connection.begin()
    try:
        for statement in _statements(pipeline_id, stored, changes):
            connection.execute(statement).fetchall()
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _statements(
    pipeline_id: str, stored: dict[str, str], changes: Sequence[ColumnChange]
) -> Iterator[str]:
    table = table_name(pipeline_id)
    if not stored:
        yield "CREATE SCHEMA IF NOT EXISTS results"
        yield _create(table, {change.name: change.kind for change in changes})
    elif all(change.expression is None or _is_cast(change, stored) for change in changes):
        for name, kind, expression in changes:
            if expression is None:
                yield f"ALTER TABLE {table} ADD COLUMN {quote(name)} {kind}"
            else:
                yield f"ALTER TABLE {table} ALTER COLUMN {quote(name)} TYPE {kind} USING {expression}"
    else:
        made = table_name(f"{pipeline_id}~")  # no pipeline has such an id
        kinds = {**stored, **{change.name: change.kind for change in changes}}
        values = {name: quote(name) for name in stored}
        values |= {change.name: change.expression or "NULL" for change in changes}
        del kinds[JOB_COLUMN]
        yield _create(made, kinds)
        yield f"INSERT INTO {made} SELECT {', '.join(values.values())} FROM {table}"
        yield f"DROP TABLE {table}"
        yield f"ALTER TABLE {made} RENAME TO {quote(pipeline_id)}"


def _create(table: str, kinds: dict[str, str]) -> str:
    columns = "".join(f", {quote(name)} {kind}" for name, kind in kinds.items())
    return f"CREATE TABLE {table} ({JOB_COLUMN} UUID NOT NULL{columns})"


def _is_cast(change: ColumnChange, stored: dict[str, str]) -> bool:
    """Whether DuckDB can replay an ALTER from its log.

    It logs the expression, and has no functions and no JSON yet when it opens a file: after a crash the
    ledger would not open any more.
    """
    casts = {f"{value}::{change.kind}" for value in (quote(change.name), "NULL")}
    return change.expression in casts and "JSON" not in change.kind + stored[change.name]
