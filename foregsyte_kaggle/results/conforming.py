"""What a pipeline with a schema returned, as rows of its result table: as declared, or its job fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.arrays import arrow_array
from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.results.fitting import fit_column, fit_values
from foregsyte_kaggle.results.returned import Reader, ResultBatch, check_names, named_columns
from foregsyte_kaggle.results.schemas import Schema
from foregsyte_kaggle.results.tables import JOB_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SchemaReader"]


class SchemaReader(Reader):
    """Reads results as a schema has them.

    Parameters
    ----------
    schema
        The columns, with their types as DuckDB names them.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self._schema = schema
        self._names = {column.name.lower(): column.name for column in schema}
        self._types: dict[str, str | None] = {column.name: column.kind for column in schema}
        self._spelling: dict[tuple[Any, ...], dict[str, str] | None] = {}

    def row(self, row: dict[Any, Any]) -> dict[str, Any]:
        """Return a row with its columns named as the schema names them."""
        names = tuple(row)
        if names not in self._spelling:
            spelling = self._checked(list(names))
            is_same = all(name == spelt for name, spelt in spelling.items())
            self._spelling[names] = None if is_same else spelling
        spelt = self._spelling[names]
        if spelt is not None:
            return {spelt[name]: value for name, value in row.items()}
        return row if type(row) is dict else dict(row)

    def batch(
        self, rows: list[tuple[str, dict[str, Any]]]
    ) -> tuple[ResultBatch, dict[str, ResultError]]:
        """Return the rows of several jobs as a batch, without those of jobs of which a value does not fit."""
        import pyarrow as pa
        import pyarrow.compute as pc

        errors: dict[str, ResultError] = {}

        def misfit(number: int, error: ResultError) -> None:
            errors.setdefault(rows[number][0], error)

        arrays: dict[str, pa.Array] = {
            JOB_COLUMN: arrow_array([job_id for job_id, _ in rows], pa.string())
        }
        for column in self._schema:
            values = [row.get(column.name) for _, row in rows]
            arrays[column.name] = fit_values(values, column, misfit)
        table = pa.table(arrays)
        if errors:
            failed = pc.is_in(table.column(JOB_COLUMN), arrow_array(list(errors), pa.string()))
            table = table.filter(pc.invert(failed))
        return ResultBatch(table, dict(self._types)), errors

    def table(self, job_id: str, result: Any) -> ResultBatch:
        """Return a DataFrame or Arrow table as a batch."""
        import pyarrow as pa

        columns = named_columns(result)
        spelling = self._checked([name for name, _ in columns])
        found = {spelling[name]: values for name, values in columns}
        rows = len(columns[0][1]) if columns else 0
        arrays: dict[str, Any] = {JOB_COLUMN: pa.repeat(pa.scalar(job_id, pa.string()), rows)}
        for column in self._schema:
            values = found.get(column.name, [None] * rows)
            arrays[column.name] = fit_column(values, column, _refuse)
        return ResultBatch(pa.table(arrays), dict(self._types))

    def _checked(self, names: list[Any]) -> dict[str, str]:
        """Return how the schema spells columns."""
        check_names(names)
        spelling = {}
        for name in names:
            known = self._names.get(name.lower())
            if known is None:
                raise ResultError(
                    f"the column {name!r} is not in the pipeline's schema, which has "
                    f"{', '.join(map(repr, self._types))}; declare it there, or return the others only"
                )
            spelling[name] = known
        return spelling


def _refuse(_number: int, error: ResultError) -> None:
    raise error
