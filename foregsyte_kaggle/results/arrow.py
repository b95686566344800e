"""DataFrames and Arrow tables that pipelines returned, column by column in types that DuckDB holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import ResultError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EMPTY_LISTS", "columns_of", "sql_type_of", "stored_column"]

#: Stands for the type of a column of empty lists, which fit every list.
EMPTY_LISTS = "EMPTY[]"

#: The SQL types of those Arrow types that are stored as they are.
_OF_ARROW = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[us, tz=UTC]": "TIMESTAMP WITH TIME ZONE",
    "timestamp[ns]": "TIMESTAMP_NS",
    "duration[us]": "INTERVAL",
}

#: The years 1 to 9999, which Python and all of DuckDB's functions can deal with.
_DAYS = (-719_162, 2_932_896)
_MICROSECONDS_A_DAY = 86_400_000_000


def columns_of(result: Any) -> list[tuple[Any, Any]]:
    """Return the names and columns of a DataFrame or Arrow table.

    Columns are Arrow's, or lists where pandas holds Python objects. Levels of a DataFrame's index that
    have a name are columns too.
    """
    import pyarrow as pa

    if isinstance(result, pa.RecordBatch):
        result = pa.Table.from_batches([result])
    if not isinstance(result, pa.Table):
        return _frame_columns(result)
    result.validate(full=True)
    return list(zip(result.column_names, result.columns, strict=True))


def _frame_columns(frame: Any) -> list[tuple[Any, Any]]:
    """Return a DataFrame's columns, with the levels of its index that have a name."""
    import pandas as pd
    import pyarrow as pa

    named = [level for level in frame.index.names if level is not None]
    if named:
        unnamed = [n for n, level in enumerate(frame.index.names) if level is None]
        frame = frame.reset_index(level=unnamed, drop=True) if unnamed else frame
        frame = frame.reset_index()
    columns: list[tuple[Any, Any]] = []
    for number, name in enumerate(frame.columns):
        series = frame.iloc[:, number]
        if series.dtype == object:
            pairs = zip(series.tolist(), pd.isna(series).tolist(), strict=True)
            columns.append((name, [None if missing else value for value, missing in pairs]))
            continue
        column = pa.Array.from_pandas(series)
        if isinstance(column.type, pa.BaseExtensionType):  # periods and intervals
            column = series.tolist()
        elif not isinstance(column, pa.ChunkedArray):
            column = pa.chunked_array([column])
        columns.append((name, column))
    return columns


def stored_column(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str | None] | None:
    """Return a column in the nearest type that DuckDB holds, with its SQL type.

    The SQL type is None where all values are missing. None for types that nest, or that are too rare for
    a way of their own: their values are stored one by one, as Python has them.

    Raises
    ------
    pyarrow.ArrowInvalid, ResultError
        If values are out of all range.
    """
    import pyarrow as pa

    target = _target(column.type)
    if target is None:
        if str(getattr(column.type, "extension_name", "")).startswith("pandas."):
            raise ResultError(f"it is of the Arrow type {column.type}, which DuckDB has not")
        return None
    try:
        stored = column if column.type == target else column.cast(target)
    except pa.ArrowNotImplementedError:
        return None
    except pa.ArrowInvalid:
        if getattr(column.type, "unit", None) != "ns":
            raise
        # Nanoseconds: of times with a zone and durations, DuckDB holds no more than microseconds.
        stored = column if target == pa.timestamp("us") else column.cast(target, safe=False)
    _check_years(stored)
    return stored, _sql_type(stored.type)


def sql_type_of(kind: pa.DataType) -> str | None:
    """Return the SQL type of the column that a schema declares with an Arrow type; None where there is none."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return sql_type_of(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = sql_type_of(kind.value_type)
        return inner if inner in (None, "JSON") else f"{inner}[]"
    if types.is_struct(kind) or types.is_map(kind):
        return "JSON"
    if types.is_time(kind):
        return "TIME"
    if kind == pa.timestamp("ns"):
        return "TIMESTAMP_NS"
    target = _target(kind)
    return None if target is None else _sql_type(target)


def _target(kind: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _target(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _target(kind.value_type)
        if inner is None or types.is_nested(inner) or types.is_temporal(inner):
            return None
        return pa.list_(inner)
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz is not None else None)
    if types.is_decimal(kind):
        fits = 0 <= kind.scale <= kind.precision <= 38
        return pa.decimal128(kind.precision, kind.scale) if fits else None
    for is_kind, target in (
        (types.is_float16, pa.float32()),
        (types.is_large_string, pa.string()),
        (types.is_string_view, pa.string()),
        (types.is_large_binary, pa.binary()),
        (types.is_fixed_size_binary, pa.binary()),
        (types.is_binary_view, pa.binary()),
        (types.is_date64, pa.date32()),
        (types.is_duration, pa.duration("us")),
    ):
        if is_kind(kind):
            return target
    return kind if types.is_null(kind) or str(kind) in _OF_ARROW else None


def _check_years(column: pa.ChunkedArray) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.date32():
        days, unit = column.cast(pa.int32()), 1
    elif column.type in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        days, unit = column.cast(pa.int64()), _MICROSECONDS_A_DAY
    else:
        return
    bounds = pc.min_max(days).as_py()
    first, last = (_DAYS[0] * unit, (_DAYS[1] + 1) * unit - 1)
    if bounds["min"] is not None and not first <= bounds["min"] <= bounds["max"] <= last:
        raise ResultError("it holds times that are not within the years 1 to 9999")


def _sql_type(kind: pa.DataType) -> str | None:
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return (
            EMPTY_LISTS if pa.types.is_null(kind.value_type) else f"{_sql_type(kind.value_type)}[]"
        )
    return _OF_ARROW.get(str(kind))
