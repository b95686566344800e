"""Values as a column of a schema holds them, exactly, or why they do not fit.

The quick way gives a whole column to Arrow at once; value by value only what it does not take.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from foregsyte_kaggle.arrays import arrow_array
from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.results.arrow import stored_column
from foregsyte_kaggle.results.exact import INTEGERS, TEXTS, exact_value
from foregsyte_kaggle.results.values import plain, shown

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "Misfit", "fit_column", "fit_values"]

#: Told the number of a value, and why it does not fit; it may raise.
Misfit: TypeAlias = Callable[[int, ResultError], None]


@dataclass(frozen=True)
class Column:
    """A column of a schema.

    Attributes
    ----------
    kind : str
        Its type as DuckDB names it.
    arrow : pyarrow.DataType
        The type in which its values are handed to DuckDB.
    """

    name: str
    kind: str
    arrow: pa.DataType


#: Types of Python's whose values Arrow takes as they are, or raises.
_QUICK: dict[str, set[type]] = {
    **{kind: {int} for kind in INTEGERS if kind != "HUGEINT"},
    "FLOAT": {float, int},
    "DOUBLE": {float, int},
    "DECIMAL": {Decimal, int},
    "BOOLEAN": {bool},
    "VARCHAR": {str},
    "BLOB": {bytes},
    "DATE": {dt.date},
    "TIME": {dt.time},
    "TIMESTAMP": {dt.datetime},
    "TIMESTAMP_NS": {dt.datetime},
    "TIMESTAMP WITH TIME ZONE": {dt.datetime},
}


def fit_values(values: Sequence[Any], column: Column, misfit: Misfit) -> pa.Array:
    """Return Python values as a column; those that do not fit are NULL, and told."""
    array = _quick(values, column)
    if array is not None:
        return array
    taken = []
    for number, value in enumerate(values):
        try:
            taken.append(_plain(value))
        except ResultError as error:
            misfit(number, ResultError(f"the column {column.name!r}: {error}"))
            taken.append(None)
    array = _quick(taken, column)
    if array is not None:
        return array
    fitted = []
    for number, value in enumerate(taken):
        try:
            fitted.append(exact_value(value, column.kind))
        except (ArithmeticError, ValueError, ResultError):
            misfit(number, _error(value, column))
            fitted.append(None)
    return arrow_array(fitted, column.arrow)


def fit_column(values: pa.ChunkedArray | list[Any], column: Column, misfit: Misfit) -> Any:
    """Return a column of a table, or of Python values, likewise.

    Raises
    ------
    ResultError
        If values are out of all range.
    """
    import pyarrow as pa

    if isinstance(values, list):
        return fit_values(values, column, misfit)
    try:
        stored, kind = stored_column(values) or (values, "")
    except (pa.ArrowException, ResultError) as error:
        raise ResultError(f"the column {column.name!r}: {error}") from error
    if kind is None:
        return pa.nulls(len(values), column.arrow)
    if kind == column.kind and stored.type == column.arrow:
        return stored
    if kind and column.kind.rstrip("[]") not in TEXTS and _may_cast(stored.type, column.arrow):
        try:
            cast = stored.cast(column.arrow)
        except pa.ArrowInvalid:  # not exact: value by value it shows which, or that all are
            pass
        else:
            if not _may_overflow(cast, column):
                return cast
    return fit_values(values.to_pylist(), column, misfit)


def _quick(values: Sequence[Any], column: Column) -> pa.Array | None:
    import pyarrow as pa

    if not _are_quick(values, column.kind):
        return None
    try:
        array = arrow_array(values, column.arrow)
    except (pa.ArrowException, ArithmeticError, TypeError, ValueError):
        return None
    return None if _may_overflow(array, column) else array


def _are_quick(values: Sequence[Any], kind: str) -> bool:
    types = set(map(type, values))
    types.discard(type(None))
    if kind.endswith("[]"):
        return types <= {list} and _are_quick(
            [*chain.from_iterable(filter(None, values))], kind[:-2]
        )
    if not types <= _QUICK.get(kind.partition("(")[0], set()):
        return False
    if kind.startswith("TIME") and types:
        # Arrow would take a zone away, or add one.
        zone = dt.UTC if kind.endswith("ZONE") else None
        return all(value is None or value.tzinfo is zone for value in values)
    return True


def _may_overflow(array: Any, column: Column) -> bool:
    """Whether a number may have been too large for a FLOAT, which Arrow makes infinite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not column.kind.startswith("FLOAT"):
        return False
    while pa.types.is_list(array.type):
        array = pc.list_flatten(array)
    return bool(pc.any(pc.is_inf(array)).as_py())


def _may_cast(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether Arrow casts one type to the other exactly, or raises."""
    import pyarrow as pa

    types = pa.types
    if one == other or types.is_null(one):
        return True
    if types.is_list(one) and types.is_list(other):
        return _may_cast(one.value_type, other.value_type)
    if types.is_timestamp(one) and types.is_timestamp(other):
        return bool(one.tz == other.tz)
    return any(
        before(one) and after(other)
        for before, after in (
            (_is_number, _is_number),
            (types.is_decimal, types.is_decimal),
            (types.is_date32, lambda kind: types.is_timestamp(kind) and kind.tz is None),
        )
    )


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if getattr(value, "nanosecond", 0) > 0:  # of pandas' times, which Python's cannot hold
        raise ResultError(
            f"{shown(value)} has nanoseconds; round it first, or return an Arrow table"
        )
    return plain(value)


def _error(value: Any, column: Column) -> ResultError:
    named = "int" if isinstance(value, int) and type(value) is not bool else type(value).__name__
    hint = ""
    if isinstance(value, dt.datetime) and column.kind.startswith("TIMESTAMP"):
        hint = ": it has a zone, which TIMESTAMPTZ is for" if value.tzinfo else ": it has no zone"
    return ResultError(
        f"the column {column.name!r} is {column.kind} by the pipeline's schema, and {shown(value)} of type "
        f"{named} does not fit{hint}"
    )
