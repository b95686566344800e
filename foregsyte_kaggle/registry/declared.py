"""The schema that a pipeline declares for its results, checked as far as that needs no DuckDB."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin

from foregsyte_kaggle.errors import InvalidArgumentError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DeclaredSchema", "declared_schema"]

#: Column names with DuckDB's types as text, or with Arrow's.
DeclaredSchema: TypeAlias = "dict[str, str | pa.DataType]"

_OF_PYTHON: dict[Any, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
    bytes: "BLOB",
    dt.datetime: "TIMESTAMP",
    dt.date: "DATE",
    dt.time: "TIME",
    dt.timedelta: "INTERVAL",
    uuid.UUID: "UUID",
    dict: "JSON",
    list: "JSON",
}

#: A name of one or more words, perhaps with numbers in parentheses, perhaps a list of it.
_is_type = re.compile(
    r" *[a-z]\w*( [a-z]\w*)* *(\( *\d+ *(, *\d+ *)?\))?(\[\])* *", re.IGNORECASE | re.ASCII
).fullmatch


def declared_schema(schema: Any) -> DeclaredSchema:
    """Return a schema with its Python types as DuckDB's.

    Whether DuckDB knows a type that is given as text shows when a run starts.

    Raises
    ------
    InvalidArgumentError
        If it is no dict of types nor an Arrow schema, or its columns cannot be those of a table.
    """
    is_arrow = type(schema).__module__.partition(".")[0] == "pyarrow" and hasattr(schema, "types")
    if is_arrow and schema.names:
        _check_names(schema.names)
        return dict(zip(schema.names, schema.types, strict=True))
    if not isinstance(schema, Mapping) or not schema:
        raise InvalidArgumentError(
            f"schema={schema!r:.80}; expected a dict of column names and types, such as "
            "{'label': str, 'scores': 'DOUBLE[]'}, or a pyarrow.Schema"
        )
    _check_names(list(schema))
    return {name: _type(name, kind) for name, kind in schema.items()}


def _check_names(names: list[Any]) -> None:
    folded: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise InvalidArgumentError(
                f"schema= has a column named {name!r:.80}; expected printable text"
            )
        key = name.lower()
        if key == "job_id":
            raise InvalidArgumentError(
                f"schema= has a column named {name!r}, which every result table has already; leave it out"
            )
        if key in folded:
            raise InvalidArgumentError(
                f"schema= has the columns {folded[key]!r} and {name!r}, which DuckDB does not tell apart; "
                "rename one"
            )
        folded[key] = name


def _type(name: str, kind: Any) -> str:
    text = kind if isinstance(kind, str) else _of_python(kind)
    if text is None or not _is_type(text):
        raise InvalidArgumentError(
            f"schema= gives the column {name!r} the type {kind!r:.80}; expected int, float, str, bool, bytes, "
            "datetime.datetime, date, time or timedelta, uuid.UUID, dict or list (both are JSON), list[float] "
            "and the like, or a type of DuckDB as text, such as 'DECIMAL(10,2)' or 'DOUBLE[]'"
        )
    return text.strip()


def _of_python(kind: Any) -> str | None:
    items = get_args(kind)
    if get_origin(kind) is list and len(items) == 1:
        inner = _of_python(items[0])
        return inner if inner in (None, "JSON") else f"{inner}[]"
    try:
        return _OF_PYTHON.get(kind)
    except TypeError:  # it has no hash
        return None
