"""What pipelines returned, as Arrow tables in types that DuckDB holds.

Nothing leaves here that DuckDB could refuse, so that no result can keep others from being stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle.arrays import arrow_array
from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.results.arrow import EMPTY_LISTS, columns_of, stored_column
from foregsyte_kaggle.results.kinds import arrow_column, first_conflict, kind_of
from foregsyte_kaggle.results.tables import JOB_COLUMN
from foregsyte_kaggle.results.uniform import uniform_rows
from foregsyte_kaggle.results.values import plain, shown

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "EMPTY_LISTS",
    "Conflict",
    "Reader",
    "ResultBatch",
    "check_names",
    "gather",
    "named_columns",
]

#: The SQL types of kinds of values.
_OF_KINDS = {
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "float": "DOUBLE",
    "text": "VARCHAR",
    "bytes": "BLOB",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "time": "TIME",
    "interval": "INTERVAL",
    "json": "JSON",
    "list:null": EMPTY_LISTS,
}


class Conflict(NamedTuple):
    """Why a column is JSON: a job returned another type than those before it."""

    job_id: str
    before: str
    returned: str


@dataclass
class ResultBatch:
    """Rows of several jobs with the same columns, ready to be stored.

    Attributes
    ----------
    table : pyarrow.Table
        With ``job_id`` (text) and the columns of the results.
    types : dict
        The SQL type of each of these columns; None where all values are missing. ``JSON`` columns hold
        JSON text.
    conflicts : dict
        For columns that are JSON because their values differ, the first that did.
    """

    table: pa.Table
    types: dict[str, str | None]
    conflicts: dict[str, Conflict] = field(default_factory=dict)

    def first_job(self, column: str) -> str:
        """Return the first job with a value in a column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pc.index(self.table.column(column).is_valid(), pa.scalar(True)).as_py()
        return str(self.table.column(JOB_COLUMN)[max(found, 0)].as_py())


class Reader:
    """Reads results whose columns and types follow from the values."""

    def __init__(self) -> None:
        self._known_names: set[tuple[Any, ...]] = set()

    def row(self, row: dict[Any, Any]) -> dict[str, Any]:
        """Return a row checked, with plain values."""
        return _checked_row(row, self._known_names)

    def batch(
        self, rows: list[tuple[str, dict[str, Any]]]
    ) -> tuple[ResultBatch, dict[str, ResultError]]:
        """Return the rows of several jobs as a batch, and errors of jobs whose rows are not in it."""
        return _from_rows(rows), {}

    def table(self, job_id: str, result: Any) -> ResultBatch:
        """Return a DataFrame or Arrow table as a batch."""
        return _from_table(job_id, result)


def gather(
    results: Sequence[tuple[str, Any]], reader: Reader | None = None
) -> tuple[list[ResultBatch], dict[str, int], dict[str, ResultError]]:
    """Turn what jobs returned into batches of rows.

    Parameters
    ----------
    results
        (job id, result) with results as ``worker.as_rows`` leaves them.
    reader
        What makes columns of them; by default their types follow from the values.

    Returns
    -------
    batches, row_counts, errors
        Errors are those jobs' whose result cannot be stored; they are in no batch.
    """
    if reader is None:
        uniform = uniform_rows(results)
        if uniform is not None and _are_names(list(uniform.columns)):
            return [_from_columns(uniform.columns, uniform.job_ids)], uniform.counts, {}
        reader = Reader()
    counts: dict[str, int] = {}
    errors: dict[str, ResultError] = {}
    rows: list[tuple[str, dict[str, Any]]] = []
    tables: list[ResultBatch] = []
    for job_id, result in results:
        try:
            if result is None:
                counts[job_id] = 0
            elif isinstance(result, list):
                checked = [reader.row(row) for row in result]
                rows += [(job_id, row) for row in checked]
                counts[job_id] = len(checked)
            else:
                batch = reader.table(job_id, result)
                counts[job_id] = batch.table.num_rows
                if batch.table.num_rows:
                    tables.append(batch)
        except ResultError as error:
            errors[job_id] = error
        except Exception as error:  # noqa: BLE001 - a result's own code runs here
            errors[job_id] = ResultError(
                f"what the pipeline returned cannot be read: {shown(error)}"
            )
    batches = _joined(tables)
    if rows:
        batch, misfits = reader.batch(rows)
        batches.insert(0, batch)
        errors |= misfits
    return batches, {job: count for job, count in counts.items() if job not in errors}, errors


def sql_type(kind: str | None) -> str | None:
    """Return the SQL type of a kind of values."""
    if kind is None:
        return None
    return _OF_KINDS.get(kind) or f"{_OF_KINDS[kind.removeprefix('list:')]}[]"


def _checked_row(row: dict[Any, Any], known_names: set[tuple[Any, ...]]) -> dict[str, Any]:
    names = tuple(row)
    if names not in known_names:
        check_names(list(names))
        known_names.add(names)
    checked = {}
    for column, value in row.items():
        try:
            checked[column] = plain(value)
        except ResultError as error:
            raise ResultError(f"the column {column!r}: {error}") from error
    return checked


def check_names(names: list[Any]) -> None:
    """Refuse names that no column of a result table can have, or that DuckDB takes for one.

    Raises
    ------
    ResultError
        If one is.
    """
    folded: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            advice = "" if isinstance(name, str) else ", such as df.columns.map(str) gives"
            raise ResultError(f"a column is named {name!r}; expected printable text{advice}")
        key = name.lower()
        if key == JOB_COLUMN:
            raise ResultError(f"a column is named {name!r}, which every result table has already")
        if key in folded:
            raise ResultError(
                f"the columns {folded[key]!r} and {name!r} differ only by case, which DuckDB does not tell"
                " apart; rename one"
                if folded[key] != name
                else f"two columns are named {name!r}; rename one"
            )
        folded[key] = name


def _are_names(names: list[Any]) -> bool:
    try:
        check_names(names)
    except ResultError:
        return False
    return True


def _from_rows(rows: list[tuple[str, dict[str, Any]]]) -> ResultBatch:
    return _from_columns(_columns([row for _, row in rows]), [job_id for job_id, _ in rows])


def _from_columns(columns: dict[str, list[Any]], job_ids: list[str]) -> ResultBatch:
    import pyarrow as pa

    arrays: dict[str, pa.Array] = {JOB_COLUMN: arrow_array(job_ids, pa.string())}
    batch = ResultBatch(None, {})
    for name, values in columns.items():
        arrays[name] = _add_values(batch, name, values, job_ids)
    batch.table = pa.table(arrays)
    return batch


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = set(map(tuple, rows))
    if len(names) == 1:
        values = zip(*(row.values() for row in rows), strict=True)
        return dict(zip(names.pop(), map(list, values), strict=True))
    # Jobs may spell a column differently; the first spelling of the batch stands for all.
    spelling: dict[str, str] = {}
    columns: dict[str, list[Any]] = {}
    for number, row in enumerate(rows):
        for column, value in row.items():
            name = spelling.setdefault(column.lower(), column)
            found = columns.get(name)
            if found is None:
                found = columns[name] = [None] * len(rows)
            found[number] = value
    return columns


def _add_values(
    batch: ResultBatch, name: str, values: list[Any], job_ids: Sequence[str]
) -> pa.Array:
    """Note a column of plain values in a batch, and return it as Arrow."""
    kind = kind_of(values)
    batch.types[name] = sql_type(kind)
    if kind == "json":
        found = first_conflict(values)
        if found is not None:
            number, before, returned = found
            batch.conflicts[name] = Conflict(
                job_ids[number], sql_type(before) or "", sql_type(returned) or ""
            )
    return arrow_column(values, kind)


def named_columns(result: Any) -> list[tuple[Any, Any]]:
    """Return the names and columns of a DataFrame or Arrow table.

    Raises
    ------
    ResultError
        If it is corrupt, or holds what Arrow does not.
    """
    import pyarrow as pa

    try:
        return columns_of(result)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ResultError(f"the returned table cannot be stored: {error}") from error


def _from_table(job_id: str, result: Any) -> ResultBatch:
    import pyarrow as pa

    columns = named_columns(result)
    check_names([name for name, _ in columns])
    batch = ResultBatch(None, {})
    arrays = {}
    rows = 0
    for name, column in columns:
        rows = len(column)
        try:
            arrays[name] = _add_column(batch, name, column, job_id)
        except (ResultError, pa.ArrowException) as error:
            raise ResultError(f"the column {name!r}: {error}") from error
    owner = pa.repeat(pa.scalar(job_id, pa.string()), rows)
    batch.table = pa.table({JOB_COLUMN: owner, **arrays})
    return batch


def _add_column(batch: ResultBatch, name: str, column: Any, job_id: str) -> Any:
    """Note a column in a batch, and return it as Arrow in a type that DuckDB holds."""
    if not isinstance(column, list):
        stored = stored_column(column)
        if stored is not None:
            array, batch.types[name] = stored
            return array
        column = column.to_pylist()
    values = [plain(value) for value in column]
    return _add_values(batch, name, values, [job_id] * len(values))


def _joined(batches: list[ResultBatch]) -> list[ResultBatch]:
    """Return batches with tables of one schema put together."""
    import pyarrow as pa

    alike: dict[tuple[Any, ...], list[ResultBatch]] = {}
    for batch in batches:
        alike.setdefault((*batch.types.items(), str(batch.table.schema)), []).append(batch)
    joined = []
    for group in alike.values():
        first = group[0]
        if len(group) > 1:
            first.table = pa.concat_tables([batch.table for batch in group]).combine_chunks()
            for batch in group[1:]:
                for name, conflict in batch.conflicts.items():
                    first.conflicts.setdefault(name, conflict)
        joined.append(first)
    return joined
