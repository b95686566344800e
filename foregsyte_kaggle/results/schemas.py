"""Result tables whose columns a pipeline declares: made, or brought to them, when a run starts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from foregsyte_kaggle.errors import PipelineError, ResultError
from foregsyte_kaggle.results.arrow import sql_type_of
from foregsyte_kaggle.results.fitting import Column, fit_column
from foregsyte_kaggle.results.tables import (
    JOB_COLUMN,
    ColumnChange,
    change_columns,
    quote,
    result_columns,
    table_name,
)
from foregsyte_kaggle.results.widening import json_expression, retyped

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["Declared", "Schema", "arrow_type", "declare_table", "resolve"]

#: Column names with DuckDB's types as text, or with Arrow's, as ``@pipeline`` checked them.
Declared: TypeAlias = "Mapping[str, str | pa.DataType]"
Schema: TypeAlias = tuple[Column, ...]

#: For DuckDB's types, those of Arrow in which values are handed to it.
_ARROW = {
    "BOOLEAN": "bool",
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "UTINYINT": "uint8",
    "USMALLINT": "uint16",
    "UINTEGER": "uint32",
    "UBIGINT": "uint64",
    "HUGEINT": "string",
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "VARCHAR": "string",
    "UUID": "string",
    "JSON": "string",
    "BLOB": "binary",
    "DATE": "date32",
    "TIME": "time64[us]",
    "TIMESTAMP": "timestamp[us]",
    "TIMESTAMP_NS": "timestamp[ns]",
    "INTERVAL": "duration[us]",
}


def resolve(cursor: DuckDBPyConnection, pipeline_id: str, declared: Declared) -> Schema:
    """Return declared columns with their types as DuckDB names them.

    Raises
    ------
    PipelineError
        If DuckDB does not know a type, or results cannot be stored in it.
    """
    import duckdb

    found = []
    for name, kind in declared.items():
        text = kind if isinstance(kind, str) else sql_type_of(kind)
        known, why = "", "no column can hold it; JSON holds what nests, and VARCHAR any text"
        try:
            if text is not None:
                known = cursor.execute(f"DESCRIBE SELECT NULL::{text}").fetchall()[0][1]
        except duckdb.Error as error:
            why = f"DuckDB says: {str(error).splitlines()[0]}"
        arrow = arrow_type(known)
        if arrow is None:
            raise PipelineError(
                f"the schema of the pipeline {pipeline_id!r} gives the column {name!r} the type "
                f"{str(kind)!r}: {why}. Expected one such as 'BIGINT', 'DOUBLE[]' or 'DECIMAL(10,2)'."
            )
        found.append(Column(name, known, arrow))
    return tuple(found)


def declare_table(database: Database, pipeline_id: str, declared: Declared) -> Schema:
    """Make a pipeline's result table hold exactly what it declares, in one commit.

    Columns that the table has besides stay.

    Raises
    ------
    PipelineError
        If a type is unknown, or a stored value does not fit a declared type; nothing is changed then.
    """
    with database.reading() as cursor:
        schema = resolve(cursor, pipeline_id, declared)
        if not list(_differing(cursor, pipeline_id, schema)):
            return schema
    with database.exclusive() as connection:
        changes = [
            ColumnChange(column.name, column.kind)
            if known is None
            else ColumnChange(
                known[0], column.kind, _converted(connection, pipeline_id, column, *known)
            )
            for column, known in list(_differing(connection, pipeline_id, schema))
        ]
        change_columns(connection, pipeline_id, changes)
    return schema


def arrow_type(kind: str) -> pa.DataType | None:
    """Return the type in which values are handed to DuckDB for one of its types; None if no column has it."""
    import pyarrow as pa

    if kind.endswith("[]"):
        inner = arrow_type(kind[:-2])
        return None if inner is None else pa.list_(inner)
    if kind.startswith("DECIMAL("):
        precision, scale = map(int, kind[len("DECIMAL(") : -1].split(","))
        return pa.decimal128(precision, scale)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return pa.timestamp("us", "UTC")
    return pa.type_for_alias(_ARROW[kind]) if kind in _ARROW else None


def _differing(
    cursor: DuckDBPyConnection, pipeline_id: str, schema: Schema
) -> Iterator[tuple[Column, tuple[str, str] | None]]:
    """Give each column that is not as declared, with its name and type in the table if it is there."""
    stored = {
        name.lower(): (name, kind) for name, kind in result_columns(cursor, pipeline_id).items()
    }
    for column in schema:
        known = stored.get(column.name.lower())
        if known is None or known[1] != column.kind:
            yield column, known


def _converted(
    connection: DuckDBPyConnection, pipeline_id: str, column: Column, name: str, before: str
) -> str:
    """Return the expression for a stored column in its declared type, if all of its values fit."""
    after, quoted = column.kind, quote(name)
    if after == "JSON":
        return json_expression(quoted, before)
    are_lists = before.endswith("[]") and after.endswith("[]")
    content = f"list_count({quoted}) > 0" if are_lists else f"{quoted} IS NOT NULL"
    query = f"SELECT {JOB_COLUMN}::VARCHAR, {quoted} FROM {table_name(pipeline_id)} WHERE {content}"
    stored = connection.sql(query).to_arrow_table()
    if not stored.num_rows:
        return retyped(quoted, before, after, blank=True)
    values: Any = stored.column(1)
    if before == "JSON":
        values = [json.loads(value) for value in values.to_pylist()]

    def refuse(number: int, error: ResultError) -> None:
        raise PipelineError(
            f"the stored results of {pipeline_id!r} have the column {name!r} as {before}, its schema as "
            f"{after}, and what job {stored.column(0)[number]} returned does not fit: {error}. Declare the "
            f"column as it is stored, {before!r}, or give the pipeline another pipeline_id."
        )

    try:
        fit_column(values, column, refuse)
    except ResultError as error:
        refuse(0, error)
    return _expression(quoted, before, after)


def _expression(quoted: str, before: str, after: str) -> str:
    if before == after:
        return quoted
    if after == "JSON":
        return json_expression(quoted, before)
    if before.endswith("[]") and after.endswith("[]"):
        return f"[{_expression('item', before[:-2], after[:-2])} FOR item IN {quoted}]"
    if before == "JSON" and after in ("VARCHAR", "UUID"):
        return f"({quoted}->>'$')::{after}"
    return f"{quoted}::{after}"
