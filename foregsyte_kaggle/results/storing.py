"""Storing rows: a result table grows to hold what comes in, and earlier rows of a job are replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from foregsyte_kaggle.results.arrow import EMPTY_LISTS
from foregsyte_kaggle.results.returned import Conflict, ResultBatch
from foregsyte_kaggle.results.tables import (
    JOB_COLUMN,
    ColumnChange,
    change_columns,
    quote,
    result_columns,
    table_name,
)
from foregsyte_kaggle.results.widening import LONG, json_expression, merged_type, retyped
from foregsyte_kaggle.views import arrow_view

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["prepare", "write"]


def prepare(
    database: Database,
    pipeline_id: str,
    batches: Sequence[ResultBatch],
    warn: Callable[[str], None],
) -> None:
    """Make the result table hold the batches' columns; committed before the rows, on its own.

    Parameters
    ----------
    warn
        Told once for each column that becomes JSON because its values differ.
    """
    if not batches:
        return
    with database.reading() as cursor:
        existing = result_columns(cursor, pipeline_id)
        growing = _Growing(cursor, pipeline_id, existing, batches)
        changes = {name: growing.change(name) for name in growing.names}
    for column, (_, conflict) in changes.items():
        if conflict is not None:
            warn(
                f"the column {column!r} of {pipeline_id} is JSON from now on: it was {conflict.before}, "
                f"and job {conflict.job_id} returned {conflict.returned}"
            )
    wanted = [change for change, _ in changes.values() if change is not None]
    if wanted or not existing:
        with database.exclusive() as connection:
            change_columns(connection, pipeline_id, wanted)


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
    if not batches and not replaced:
        return
    stored = {
        column.lower(): (column, kind)
        for column, kind in result_columns(connection, pipeline_id).items()
    }
    if not stored:
        return
    name = table_name(pipeline_id)
    if replaced:
        connection.execute(
            f"DELETE FROM {name} WHERE {JOB_COLUMN} IN (SELECT unnest($ids)::UUID)",
            {"ids": list(replaced)},
        ).fetchall()
    for batch in batches:
        columns, values = [JOB_COLUMN], [f"{JOB_COLUMN}::UUID"]
        for number, (column, kind) in enumerate(batch.types.items()):
            if kind is not None:
                known, known_kind = stored[column.lower()]
                columns.append(quote(known))
                values.append(_stored_value(f"c{number}", kind, known_kind))
        # In the view, columns have names that no column of a user's can have.
        view = batch.table.select([JOB_COLUMN, *batch.types]).rename_columns(
            [JOB_COLUMN, *(f"c{number}" for number in range(len(batch.types)))]
        )
        with arrow_view(connection, "batch", view):
            connection.execute(
                f"INSERT INTO {name} ({', '.join(columns)}) SELECT {', '.join(values)} FROM batch"
            ).fetchall()


def _stored_value(name: str, kind: str, stored: str) -> str:
    if stored != "JSON":
        return f"{name}::{stored}"
    return f"{name}::JSON" if kind == "JSON" else json_expression(name, kind)


class _Growing:
    """A result table's columns with those that come in."""

    def __init__(
        self,
        cursor: DuckDBPyConnection,
        pipeline_id: str,
        existing: dict[str, str],
        batches: Sequence[ResultBatch],
    ) -> None:
        self._cursor = cursor
        self._table = table_name(pipeline_id)
        self._existing = {column.lower(): (column, kind) for column, kind in existing.items()}
        self._incoming: dict[str, list[tuple[ResultBatch, str]]] = {}
        for batch in batches:
            for column in batch.types:
                self._incoming.setdefault(column.lower(), []).append((batch, column))
        self.names = {key: found[0][1] for key, found in self._incoming.items()}

    def change(self, key: str) -> tuple[ColumnChange | None, Conflict | None]:
        """Return what a column needs, and why it becomes JSON if it does."""
        merged, conflict = self._incoming_type(key)
        known = self._existing.get(key)
        if known is None:
            kind = {None: "VARCHAR", EMPTY_LISTS: "VARCHAR[]"}.get(merged, merged)
            return ColumnChange(self.names[key], str(kind)), conflict
        name, stored = known
        after = self._join(key, stored, merged)
        if after in (stored, None):
            return None, None
        blank = (
            after == "JSON" and merged != EMPTY_LISTS and self._is_blank(name, stored, str(merged))
        )
        if blank:
            # What is stored says nothing of the column's type.
            after = merged
        elif after == "JSON":
            conflict = self._conflict_with(key, stored) or conflict
        using = retyped(quote(name), stored, str(after), blank=blank)
        return ColumnChange(name, str(after), using), conflict

    def _incoming_type(self, key: str) -> tuple[str | None, Conflict | None]:
        merged: str | None = None
        conflict: Conflict | None = None
        for batch, column in self._incoming[key]:
            kind = batch.types[column]
            before, merged = merged, self._join(key, merged, kind)
            if merged == "JSON" and before != "JSON" and conflict is None:
                conflict = batch.conflicts.get(column)
                if conflict is None and before not in (None, EMPTY_LISTS):
                    conflict = Conflict(batch.first_job(column), str(before), str(kind))
        return merged, conflict

    def _conflict_with(self, key: str, stored: str) -> Conflict | None:
        """Return the first job whose value does not fit what is stored."""
        for batch, column in self._incoming[key]:
            kind = batch.types[column]
            if column in batch.conflicts:
                job_id, _, returned = batch.conflicts[column]
                return Conflict(job_id, stored, returned)
            if kind is not None and self._join(key, stored, kind) == "JSON":
                return Conflict(batch.first_job(column), stored, kind)
        return None

    def _join(self, key: str, one: str | None, other: str | None) -> str | None:
        if one is None or other is None:
            return other if one is None else one
        return merged_type(one, other, lambda: self._is_exact(key))

    def _is_exact(self, key: str) -> bool:
        """Return whether all whole numbers, stored and incoming, are exact as floats."""
        known = self._existing.get(key)
        if known is not None and known[1].removesuffix("[]") in LONG:
            name = quote(known[0])
            item = f"unnest({name})" if known[1].endswith("[]") else name
            query = f"SELECT count(*) FROM (SELECT {item} AS item FROM {self._table})"
            rows = self._cursor.execute(f"{query} WHERE abs(item::HUGEINT) > {2**53}").fetchall()
            if rows[0][0]:
                return False
        return all(_is_exact(batch, column) for batch, column in self._incoming[key])

    def _is_blank(self, name: str, stored: str, merged: str) -> bool:
        """Return whether a column holds nothing that another type could not say as well."""
        content = f"{quote(name)} IS NOT NULL"
        if stored.endswith("[]") and merged.endswith("[]"):
            content = f"list_count({quote(name)}) > 0"
        query = f"SELECT 1 FROM {self._table} WHERE {content} LIMIT 1"
        return not self._cursor.execute(query).fetchall()


def _is_exact(batch: ResultBatch, column: str) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = batch.table.column(column)
    if pa.types.is_list(values.type):
        values = pc.list_flatten(values)
    if not pa.types.is_integer(values.type):
        return True
    bounds = pc.min_max(values).as_py()
    return all(abs(value) <= 2**53 for value in bounds.values() if value is not None)
