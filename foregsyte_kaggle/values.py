"""Python values as columns: which kind a column is, and its values as Arrow takes them.

A kind is ``"bool"``, ``"int"``, ``"float"``, ``"text"``, ``"bytes"``, ``"timestamp"``,
``"timestamptz"``, ``"date"``, ``"time"``, ``"list:<kind>"`` or ``"json"``.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import ResultError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_column", "kind_of", "plain", "to_json", "unify"]

INT64 = range(-(2**63), 2**63)
EXACT_IN_FLOAT = range(-(2**53), 2**53 + 1)

_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    bytes: "bytes",
    dt.date: "date",
    dt.time: "time",
    dict: "json",
}


def plain(value: Any) -> Any:
    """Return a value as a plain Python one: None, bool, int, float, str, bytes, a time, list or dict.

    Raises
    ------
    ResultError
        If it is of a type that no column can hold.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, bytes, dt.date, dt.datetime, dt.time):
        return value
    if kind is str:
        if not value.isascii():
            _check_text(value)
        return value
    if kind in (list, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ResultError(f"a nested dict has the key {key!r}; expected text")
        return {key: plain(item) for key, item in value.items()}
    return plain(_converted(value))


def kind_of(values: Iterable[Any]) -> str | None:
    """Return the kind of a column of plain values; None where all are None."""
    kinds = {_kind(value) for value in values if value is not None}
    found: str | None = None
    for kind in sorted(kinds):
        found = kind if found is None else unify(found, kind, values)
    return found


def unify(one: str, other: str, values: Iterable[Any] = ()) -> str:
    """Return the kind that holds both, exactly; ``"json"`` where no other does.

    Parameters
    ----------
    values
        All values, asked only whether their whole numbers are exact as floats.
    """
    if one == other:
        return one
    if {one, other} == {"int", "float"}:
        exact = all(value in EXACT_IN_FLOAT for value in values if type(value) is int)
        return "float" if exact else "json"
    lists = [kind for kind in (one, other) if kind.startswith("list:")]
    if len(lists) == 2:
        if "list:null" in lists:
            return next((kind for kind in lists if kind != "list:null"), "list:null")
        items = [item for value in values if isinstance(value, list) for item in value]
        inner = unify(one[5:], other[5:], items)
        return "json" if inner == "json" else f"list:{inner}"
    return "json"


def arrow_column(values: list[Any], kind: str | None) -> pa.Array:
    """Return plain values as an Arrow array of a kind."""
    import pyarrow as pa

    if kind == "json":
        return pa.array([None if value is None else to_json(value) for value in values], pa.string())
    return pa.array(values, _arrow_type(kind))


def to_json(value: Any) -> str:
    """Return a plain value as JSON text; what JSON cannot hold becomes text."""
    return json.dumps(_json_value(value), ensure_ascii=False, allow_nan=False)


def _kind(value: Any) -> str:
    kind = _KINDS.get(type(value))
    if kind == "int" and value not in INT64:
        return "json"
    if kind is not None:
        return kind
    if isinstance(value, dt.datetime):
        return "timestamp" if value.tzinfo is None else "timestamptz"
    if isinstance(value, list):
        inner = kind_of(value)
        if inner is None:
            return "list:null"
        nested = inner == "json" or inner.startswith("list:")
        return "json" if nested else f"list:{inner}"
    raise ResultError(f"a value of type {type(value).__name__} cannot be stored")


def _arrow_type(kind: str | None) -> pa.DataType:
    import pyarrow as pa

    if kind is None:
        return pa.null()
    if kind.startswith("list:"):
        inner = kind[5:]
        return pa.list_(pa.null() if inner == "null" else _arrow_type(inner))
    return {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "text": pa.string(),
        "bytes": pa.binary(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
        "date": pa.date32(),
        "time": pa.time64("us"),
    }[kind]


def _converted(value: Any) -> Any:
    """Return what stands for a value of another type: numpy's, paths, enums, subclasses."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        return value.tolist()
    if module == "pandas":
        name = type(value).__name__
        if name in ("NAType", "NaTType"):
            return None
        if name == "Timestamp":
            return value.to_pydatetime()
    for base in (bool, int, float, str, bytes, dt.datetime, dt.date, dt.time):
        if isinstance(value, base):
            return _as_base(value, base)
    raise ResultError(
        f"{value!r:.80} is of type {type(value).__name__}; expected text, bytes, a number, a date or "
        "time, None, or lists and dicts of them. Convert it first, for example with str() or float()."
    )


def _as_base(value: Any, base: type) -> Any:
    if base is dt.datetime:
        return dt.datetime.fromisoformat(value.isoformat())
    if base in (dt.date, dt.time):
        return base.fromisoformat(value.isoformat())  # type: ignore[attr-defined]
    return base.__new__(base, value)


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ResultError(
            f"{value!r:.80} is not valid Unicode text; decode it with errors='replace', or return bytes"
        ) from None


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        finite = value == value and value not in (float("inf"), float("-inf"))
        return value if finite else str(value)
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    return value
