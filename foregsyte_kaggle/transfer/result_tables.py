"""Result tables of a ledger that is attached, united with this one's: columns first, then rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foregsyte_kaggle.results import quote
from foregsyte_kaggle.results.tables import (
    JOB_COLUMN,
    ColumnChange,
    change_columns,
    result_columns,
    table_name,
)
from foregsyte_kaggle.results.widening import LONG, json_expression, merged_type, retyped

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["MergedTable", "merged_tables"]

#: In the place of a table that is not there, since none of the pipeline's jobs returned anything.
NO_ROWS = f"(SELECT NULL::UUID AS {JOB_COLUMN} WHERE false)"


class MergedTable:
    """One pipeline's results on both sides, of which the other may have no table.

    Parameters
    ----------
    connection
        Outside a transaction, with the other ledger attached as ``catalog``.
    pipeline_id
        Whose results.
    """

    def __init__(self, connection: DuckDBPyConnection, catalog: str, pipeline_id: str) -> None:
        self._connection = connection
        self._pipeline = pipeline_id
        self._own = table_name(pipeline_id)
        found = _columns_of(connection, catalog, pipeline_id)
        self._theirs = f"{catalog}.{table_name(pipeline_id)}" if found else NO_ROWS
        self._columns = {name: kind for name, kind in found.items() if name != JOB_COLUMN}

    def widen(self) -> None:
        """Make this ledger's table hold the other's columns, by the rules for rows that come in."""
        own = {
            name.lower(): (name, kind)
            for name, kind in result_columns(self._connection, self._pipeline).items()
        }
        changes = [
            change
            for name, kind in self._columns.items()
            if (change := self._change(name, kind, own.get(name.lower()))) is not None
        ]
        if changes or not own:
            change_columns(self._connection, self._pipeline, changes)

    def replace_rows(self) -> None:
        """Put the winners' rows in the place of this ledger's, inside the caller's transaction."""
        self._connection.execute(
            f"DELETE FROM {self._own} WHERE {JOB_COLUMN} IN (SELECT job_id FROM united WHERE wins)"
        ).fetchall()
        names, values = [JOB_COLUMN], [JOB_COLUMN]
        for name, (_, value) in self._values().items():
            if value is not None:
                names.append(quote(name))
                values.append(value)
        self._connection.execute(
            f"INSERT INTO {self._own} ({', '.join(names)}) SELECT {', '.join(values)}"
            f" FROM {self._theirs} AS theirs WHERE {JOB_COLUMN} IN"
            " (SELECT job_id FROM united WHERE brings_rows AND pipeline_id = $pipeline_id)"
            f"{'' if self._theirs == NO_ROWS else ' ORDER BY rowid'}",
            {"pipeline_id": self._pipeline},
        ).fetchall()

    def differing(self) -> str:
        """Return the query of the jobs that both sides completed, with other rows."""
        columns = self._values()
        mine = [json_expression(quote(name), kind) for name, (kind, _) in columns.items()]
        other = [
            json_expression(f"({value or 'NULL'})::{kind}", kind)
            for kind, value in columns.values()
        ]
        return (
            f"SELECT job_id FROM ({_packed(self._own, mine)}) AS own"
            f" FULL JOIN ({_packed(self._theirs, other)}) AS theirs USING (job_id)"
            " WHERE own.content IS DISTINCT FROM theirs.content"
        )

    def _values(self) -> dict[str, tuple[str, str | None]]:
        """Return this ledger's columns with their types, and the other's values as these."""
        theirs = {name.lower(): (name, kind) for name, kind in self._columns.items()}
        values: dict[str, tuple[str, str | None]] = {}
        for name, stored in result_columns(self._connection, self._pipeline).items():
            known = theirs.get(name.lower())
            if name == JOB_COLUMN:
                continue
            if known is None:
                values[name] = (stored, None)
                continue
            column, kind = quote(known[0]), known[1]
            if kind == stored:
                value = column
            else:
                blank = self._is_blank(self._theirs, *known, stored)
                value = retyped(column, kind, stored, blank=blank)
            values[name] = (stored, value)
        return values

    def _change(self, name: str, kind: str, known: tuple[str, str] | None) -> ColumnChange | None:
        if known is None:
            return ColumnChange(name, kind)
        own, stored = known
        if kind == stored or self._is_blank(self._theirs, name, kind, stored):
            return None
        if blank := self._is_blank(self._own, own, stored, kind):
            after = kind
        else:
            after = merged_type(stored, kind, lambda: self._is_exact(own, stored, name, kind))
        if after == stored:
            return None
        return ColumnChange(own, after, retyped(quote(own), stored, after, blank=blank))

    def _is_blank(self, table: str, name: str, kind: str, other: str) -> bool:
        """Whether a column holds nothing that the other type could not say as well."""
        content = f"{quote(name)} IS NOT NULL"
        if kind.endswith("[]") and other.endswith("[]"):
            content = f"list_count({quote(name)}) > 0"
        query = f"SELECT 1 FROM {table} WHERE {content} LIMIT 1"
        return not self._connection.execute(query).fetchall()

    def _is_exact(self, own: str, stored: str, name: str, kind: str) -> bool:
        """Whether all whole numbers of both sides are exact as floats."""
        for table, column, its in ((self._own, own, stored), (self._theirs, name, kind)):
            if its.removesuffix("[]") not in LONG:
                continue
            item = f"unnest({quote(column)})" if its.endswith("[]") else quote(column)
            query = f"SELECT 1 FROM (SELECT {item} AS item FROM {table})"
            large = f"{query} WHERE abs(item::HUGEINT) > {2**53} LIMIT 1"
            if self._connection.execute(large).fetchall():
                return False
        return True


def merged_tables(connection: DuckDBPyConnection, catalog: str) -> list[MergedTable]:
    """Return the result tables of the attached ledger, and those here of pipelines that it has jobs of.

    Call it after ``compare_jobs``.
    """
    found = connection.execute(
        "SELECT DISTINCT table_name FROM duckdb_tables() WHERE schema_name = 'results'"
        " AND regexp_full_match(table_name, '[a-z][a-z0-9_]*') AND (database_name = $catalog"
        " OR (database_name = current_database()"
        " AND table_name IN (SELECT pipeline_id FROM united))) ORDER BY table_name",
        {"catalog": catalog},
    ).fetchall()
    return [MergedTable(connection, catalog, name) for (name,) in found]


def _columns_of(connection: DuckDBPyConnection, catalog: str, pipeline_id: str) -> dict[str, str]:
    """Return the columns of a result table with their types; empty where there is no table."""
    rows = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = $catalog"
        " AND schema_name = 'results' AND table_name = $name ORDER BY column_index",
        {"catalog": catalog, "name": pipeline_id},
    ).fetchall()
    return dict(rows)


def _packed(table: str, values: Sequence[str]) -> str:
    """Return the query of each job's rows in one list, whatever their order."""
    fields = ", ".join(f"c{number} := {value}" for number, value in enumerate(values))
    row = f"to_json(struct_pack({fields}))::VARCHAR" if fields else "''"
    return (
        f"SELECT {JOB_COLUMN}, list_sort(list({row})) AS content FROM {table} WHERE {JOB_COLUMN} IN"
        " (SELECT job_id FROM united WHERE completed_twice) GROUP BY ALL"
    )
