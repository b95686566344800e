"""The result tables: what pipelines returned, as rows of ``results.<pipeline_id>``.

A column's type follows from the values. It widens only where that is exact; values that differ otherwise,
or nest, become JSON. The tables are no part of the migrations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.values import arrow_column, kind_of, plain

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["ResultBatch", "gather", "prepare", "result_columns", "table_name", "write"]

JOB_COLUMN = "job_id"

#: For each type, those that hold all of its values exactly, the narrowest first.
WIDER: dict[str, tuple[str, ...]] = {
    "TINYINT": ("SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"),
    "UTINYINT": (
        "SMALLINT",
        "USMALLINT",
        "INTEGER",
        "UINTEGER",
        "BIGINT",
        "UBIGINT",
        "HUGEINT",
        "FLOAT",
        "DOUBLE",
    ),
    "SMALLINT": ("INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"),
    "USMALLINT": ("INTEGER", "UINTEGER", "BIGINT", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE"),
    "INTEGER": ("BIGINT", "HUGEINT", "DOUBLE"),
    "UINTEGER": ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"),
    "BIGINT": ("HUGEINT",),
    "UBIGINT": ("HUGEINT",),
    "FLOAT": ("DOUBLE",),
}
_whole = {"BIGINT", "UBIGINT", "HUGEINT"}


class ResultBatch:
    """Rows of several jobs with the same columns, ready to be stored.

    Attributes
    ----------
    table : pyarrow.Table
        With ``job_id`` (text) and the columns of the results.
    json_columns : set of str
        Columns that hold JSON text.
    """

    def __init__(self, table: pa.Table, json_columns: set[str]) -> None:
        self.table = table
        self.json_columns = json_columns


def table_name(pipeline_id: str) -> str:
    """Return the quoted name of a pipeline's result table."""
    return f'results."{pipeline_id}"'


def gather(
    results: Sequence[tuple[str, Any]],
) -> tuple[list[ResultBatch], dict[str, int], dict[str, ResultError]]:
    """Turn what jobs returned into batches of rows.

    Parameters
    ----------
    results
        (job id, result) with results as ``worker.as_rows`` leaves them.

    Returns
    -------
    batches, row_counts, errors
        Errors are those jobs' whose result cannot be stored; they are in no batch.
    """
    counts: dict[str, int] = {}
    errors: dict[str, ResultError] = {}
    rows: list[tuple[str, dict[str, Any]]] = []
    batches: list[ResultBatch] = []
    for job_id, result in results:
        try:
            if result is None:
                counts[job_id] = 0
            elif isinstance(result, list):
                checked = [_checked_row(row) for row in result]
                rows += [(job_id, row) for row in checked]
                counts[job_id] = len(checked)
            else:
                batch = _from_table(job_id, result)
                counts[job_id] = batch.table.num_rows
                if batch.table.num_rows:
                    batches.append(batch)
        except ResultError as error:
            errors[job_id] = error
    if rows:
        batches.insert(0, _from_rows(rows))
    return batches, counts, errors


def prepare(
    database: Database, pipeline_id: str, batches: Sequence[ResultBatch], warn: Callable[[str], None]
) -> None:
    """Make the result table hold the batches' columns; committed before the rows, on its own.

    Parameters
    ----------
    warn
        Told once for each column that becomes JSON because its values differ.
    """
    for batch in batches:
        with database.reading() as cursor:
            existing = result_columns(cursor, pipeline_id)
        # An Arrow table cannot be seen from a read-only transaction, so its types are read from outside.
        with database.transaction() as connection:
            incoming = _incoming_types(connection, batch)
        statements = _changes(database, pipeline_id, existing, incoming, batch, warn)
        if statements:
            with database.exclusive() as connection:
                connection.begin()
                try:
                    for statement in statements:
                        connection.execute(statement)
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise


def write(
    connection: DuckDBPyConnection,
    pipeline_id: str,
    batches: Sequence[ResultBatch],
    replaced: Sequence[str],
) -> None:
    """Store rows, and remove the earlier ones of jobs that ran before, inside the caller's transaction.

    Parameters
    ----------
    replaced
        Ids of the jobs that may have rows from an earlier completion.
    """
    columns = {
        column.lower(): kind for column, kind in result_columns(connection, pipeline_id).items()
    }
    if not columns:
        return
    name = table_name(pipeline_id)
    if replaced:
        connection.execute(
            f"DELETE FROM {name} WHERE {JOB_COLUMN} IN (SELECT unnest($ids)::UUID)",
            {"ids": list(replaced)},
        ).fetchall()
    for batch in batches:
        connection.register("batch", batch.table)
        try:
            incoming = _described(connection, "batch")
            # A column of nothing but NULL may have none in the table.
            parts = [
                f"{_cast(column, incoming[column], columns[column.lower()], batch)} AS {_quote(column)}"
                for column in batch.table.column_names
                if column.lower() in columns
            ]
            connection.execute(
                f"INSERT INTO {name} BY NAME SELECT {', '.join(parts)} FROM batch"
            ).fetchall()
        finally:
            connection.unregister("batch")


def result_columns(cursor: DuckDBPyConnection, pipeline_id: str) -> dict[str, str]:
    """Return a result table's columns with their types; empty where there is no table yet."""
    return dict(
        cursor.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'results'"
            " AND database_name = current_database() AND table_name = $name ORDER BY column_index",
            {"name": pipeline_id},
        ).fetchall()
    )


def _checked_row(row: dict[Any, Any]) -> dict[str, Any]:
    _check_names(list(row))
    checked = {}
    for column, value in row.items():
        try:
            checked[column] = plain(value)
        except ResultError as error:
            raise ResultError(f"the column {column!r}: {error}") from error
    return checked


def _check_names(names: list[Any]) -> None:
    folded: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ResultError(f"a column is named {name!r}; expected printable text")
        key = name.lower()
        if key == JOB_COLUMN:
            raise ResultError(f"a column is named {name!r}, which every result table has already")
        if key in folded:
            raise ResultError(
                f"the columns {folded[key]!r} and {name!r} differ only by case, which DuckDB does not tell"
                " apart; rename one"
            )
        folded[key] = name


def _from_rows(rows: list[tuple[str, dict[str, Any]]]) -> ResultBatch:
    import pyarrow as pa

    # Jobs may spell a column differently; the first spelling of the batch stands for all.
    spelling: dict[str, str] = {}
    columns: dict[str, list[Any]] = {}
    for number, (_, row) in enumerate(rows):
        for column, value in row.items():
            name = spelling.setdefault(column.lower(), column)
            values = columns.get(name)
            if values is None:
                values = columns[name] = [None] * len(rows)
            values[number] = value
    arrays: dict[str, pa.Array] = {
        JOB_COLUMN: pa.array([job_id for job_id, _ in rows], pa.string())
    }
    json_columns = set()
    for name, values in columns.items():
        kind = kind_of(values)
        if kind == "json":
            json_columns.add(name)
        arrays[name] = arrow_column(values, kind)
    return ResultBatch(pa.table(arrays), json_columns)


def _from_table(job_id: str, result: Any) -> ResultBatch:
    import pyarrow as pa

    try:
        if isinstance(result, pa.RecordBatch):
            table = pa.Table.from_batches([result])
        elif isinstance(result, pa.Table):
            table = result
        else:
            _check_names(list(result.columns))
            table = pa.Table.from_pandas(result, preserve_index=False)
        _check_names(table.column_names)
        table.validate()
    except (pa.ArrowException, TypeError, ValueError) as error:
        if isinstance(error, ResultError):
            raise
        raise ResultError(f"the returned table cannot be stored: {error}") from error
    owner = pa.array([job_id], pa.string()).take(pa.array([0] * table.num_rows, pa.int64()))
    nested = {
        field.name
        for field in table.schema
        if pa.types.is_struct(field.type)
        or pa.types.is_map(field.type)
        or (pa.types.is_list(field.type) and pa.types.is_nested(field.type.value_type))
    }
    return ResultBatch(table.add_column(0, JOB_COLUMN, owner), nested)


def _incoming_types(connection: DuckDBPyConnection, batch: ResultBatch) -> dict[str, str]:
    connection.register("batch", batch.table)
    try:
        found = _described(connection, "batch")
    finally:
        connection.unregister("batch")
    return {
        column: "JSON" if column in batch.json_columns else _stored_type(kind)
        for column, kind in found.items()
        if column != JOB_COLUMN
    }


def _described(connection: DuckDBPyConnection, view: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {view}").fetchall()
    return {row[0]: row[1] for row in rows}


def _stored_type(kind: str) -> str:
    """Return the type that a column of an incoming type is given in a new table."""
    if kind == '"NULL"' or kind.startswith('"NULL"'):
        return kind
    if kind.startswith("ENUM"):
        return "VARCHAR"
    return kind


def _changes(
    database: Database,
    pipeline_id: str,
    existing: dict[str, str],
    incoming: dict[str, str],
    batch: ResultBatch,
    warn: Callable[[str], None],
) -> list[str]:
    name = table_name(pipeline_id)
    statements = []
    if not existing:
        statements += [
            "CREATE SCHEMA IF NOT EXISTS results",
            f"CREATE TABLE IF NOT EXISTS {name} ({JOB_COLUMN} UUID NOT NULL)",
        ]
    folded = {column.lower(): column for column in existing}
    for column, kind in incoming.items():
        known = folded.get(column.lower())
        if known is None:
            if '"NULL"' not in kind:
                statements.append(f"ALTER TABLE {name} ADD COLUMN {_quote(column)} {kind}")
            continue
        merged = _merged(database, pipeline_id, known, existing[known], kind, batch)
        if merged == existing[known]:
            continue
        if merged == "JSON":
            job_id = batch.table.column(JOB_COLUMN)[0].as_py()
            warn(
                f"the column {column!r} of {pipeline_id} is JSON from now on: it was {existing[known]}, "
                f"and job {job_id} returned {kind}"
            )
            using = f"to_json({_quote(known)})"
        else:
            using = f"{_quote(known)}::{merged}"
        statements.append(
            f"ALTER TABLE {name} ALTER COLUMN {_quote(known)} TYPE {merged} USING {using}"
        )
    return statements


def _merged(
    database: Database, pipeline_id: str, column: str, existing: str, incoming: str, batch: ResultBatch
) -> str:
    """Return the type that holds what is stored and what comes in."""
    if '"NULL"' in incoming or existing == incoming or existing == "JSON":
        return existing
    if incoming in WIDER.get(existing, ()):
        return incoming
    if existing in WIDER.get(incoming, ()):
        return existing
    for kind in WIDER.get(existing, ()):
        if kind in WIDER.get(incoming, ()):
            return kind
    floats = {existing, incoming} & {"FLOAT", "DOUBLE"}
    wholes = {existing, incoming} & _whole
    if floats and wholes:
        stored_is_whole = existing in _whole
        exact = (
            _stored_is_exact(database, pipeline_id, column)
            if stored_is_whole
            else _incoming_is_exact(batch, column)
        )
        if exact:
            return "DOUBLE"
    inner = _merged_list(existing, incoming)
    return inner or "JSON"


def _merged_list(existing: str, incoming: str) -> str | None:
    if not (existing.endswith("[]") and incoming.endswith("[]")):
        return None
    one, other = existing[:-2], incoming[:-2]
    if other in WIDER.get(one, ()):
        return incoming
    return existing if one in WIDER.get(other, ()) else None


def _stored_is_exact(database: Database, pipeline_id: str, column: str) -> bool:
    quoted = _quote(column)
    with database.reading() as cursor:
        rows = cursor.execute(
            f"SELECT count(*) FROM {table_name(pipeline_id)} WHERE abs({quoted}::HUGEINT) > 9007199254740992"
        ).fetchall()
    return bool(rows[0][0] == 0)


def _incoming_is_exact(batch: ResultBatch, column: str) -> bool:
    import pyarrow.compute as pc

    bounds = pc.min_max(batch.table.column(column)).as_py()
    found = [abs(int(value)) for value in bounds.values() if value is not None]
    return all(value <= 2**53 for value in found)


def _cast(column: str, incoming: str, stored: str, batch: ResultBatch) -> str:
    quoted = _quote(column)
    if stored == "JSON":
        is_json = column in batch.json_columns and incoming == "VARCHAR"
        return f"{quoted}::JSON" if is_json else f"to_json({quoted})"
    return f"{quoted}::{stored}"


def _quote(name: str) -> str:
    return '"' + re.sub('"', '""', name) + '"'
