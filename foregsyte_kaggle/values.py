"""Python values as columns: which kind a column is, and its values as Arrow takes them.

A kind is ``"bool"``, ``"int"``, ``"float"``, ``"text"``, ``"bytes"``, ``"timestamp"``,
``"timestamptz"``, ``"date"``, ``"time"``, ``"interval"``, ``"list:<kind>"`` or ``"json"``.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import ResultError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_column", "first_conflict", "kind_of", "plain", "to_json", "unify"]

EXACT_IN_FLOAT = range(-(2**53), 2**53 + 1)
DEEPEST = 100
MOST_DIGITS = 300
"""Of whole numbers; JSON readers take longer ones for infinity."""


class _Huge(int):
    """A whole number that needs more than 64 bits."""


_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    bytes: "bytes",
    dt.date: "date",
    dt.time: "time",
    dt.timedelta: "interval",
    dict: "json",
    _Huge: "json",
}
_AS_THEY_ARE = {type(None), bool, float, bytes, dt.date, dt.timedelta}


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as a plain Python one: None, bool, int, float, str, bytes, a time, list or dict.

    Raises
    ------
    ResultError
        If it is of a type that no column can hold, or nests too deep.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is str:
        return value if value.isascii() else _checked_text(value)
    if kind is int:
        return value if -(2**63) <= value < 2**63 else _huge(value)
    if kind is dt.datetime:
        return value if value.tzinfo is None else _in_utc(value)
    if kind is dt.time:
        return value if value.tzinfo is None else value.isoformat()
    if depth > DEEPEST:
        raise ResultError(f"it nests deeper than {DEEPEST} levels, or holds itself")
    if isinstance(value, (list, tuple)):
        types = set(map(type, value))
        if types <= _AS_THEY_ARE or (types == {int} and max(map(abs, value)) < 2**63):
            return list(value)
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ResultError(f"a nested dict has the key {_shown(key)}; expected text")
            _checked_text(key)
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    return plain(_converted(value), depth + 1)


def kind_of(values: Sequence[Any]) -> str | None:
    """Return the kind of a column of plain values; None where all are None."""
    types = set(map(type, values))
    types.discard(type(None))
    if len(types) == 1:
        kind = _KINDS.get(next(iter(types)))
        if kind is not None:
            return kind
    found: str | None = None
    for kind in sorted({_kind(value) for value in values if value is not None}):
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
    if one.startswith("list:") and other.startswith("list:"):
        if "list:null" in (one, other):
            return other if one == "list:null" else one
        items = [item for value in values if isinstance(value, list) for item in value]
        inner = unify(one[5:], other[5:], items)
        return "json" if inner == "json" else f"list:{inner}"
    return "json"


def first_conflict(values: Sequence[Any]) -> tuple[int, str, str] | None:
    """Return the first value that makes a column JSON, by number, and the kinds before it and of it.

    None where nothing differs: then the column is JSON because its values nest.
    """
    before: str | None = None
    for number, value in enumerate(values):
        if value is None:
            continue
        kind = _kind(value)
        joined = kind if before is None else unify(before, kind, values[: number + 1])
        # Empty lists differ from no JSON.
        if before is not None and joined == "json" and {before, kind} - {"json", "list:null"}:
            return number, before, kind
        before = joined
    return None


def arrow_column(values: Sequence[Any], kind: str | None) -> pa.Array:
    """Return plain values as an Arrow array of a kind."""
    import pyarrow as pa

    if kind == "json":
        return pa.array(
            [None if value is None else to_json(value) for value in values], pa.string()
        )
    return pa.array(values, _arrow_type(kind))


def to_json(value: Any) -> str:
    """Return a plain value as JSON text; what JSON cannot hold becomes text."""
    return json.dumps(_json_value(value), ensure_ascii=False, allow_nan=False)


def _kind(value: Any) -> str:
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind
    if isinstance(value, dt.datetime):
        return "timestamp" if value.tzinfo is None else "timestamptz"
    inner = kind_of(value)
    if inner is None:
        # Lists of nothing, or of nothing but None, fit any list.
        return "list:null"
    nested = inner == "json" or inner.startswith("list:")
    return "json" if nested else f"list:{inner}"


def _arrow_type(kind: str | None) -> pa.DataType:
    import pyarrow as pa

    if kind is None:
        return pa.null()
    if kind == "list:null":
        return pa.list_(pa.string())
    if kind.startswith("list:"):
        return pa.list_(_arrow_type(kind[5:]))
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
        "interval": pa.duration("us"),
    }[kind]


def _converted(value: Any) -> Any:
    """Return what stands for a value of another type: numpy's, paths, enums, subclasses."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas'
        return None
    if hasattr(value, "tolist"):
        return _listed(value)
    for base in (bool, int, float, str, bytes, dt.datetime, dt.date, dt.time, dt.timedelta):
        if isinstance(value, base):
            return _as_base(value, base)
    raise ResultError(
        f"{_shown(value)} is of type {type(value).__name__}; expected text, bytes, a number, a date or "
        "time, None, or lists and dicts of them. Convert it first, for example with str() or float()."
    )


def _listed(value: Any) -> Any:
    """Return what an array or array scalar holds, of numpy or another library."""
    kind = str(getattr(value, "dtype", ""))
    if kind.startswith(("datetime64", "timedelta64")):
        # Python has no nanoseconds: tolist() would give bare numbers.
        value = value.astype(f"{kind.partition('[')[0]}[us]")
    listed = value.tolist()
    if kind.startswith("datetime64") and isinstance(listed, int):
        raise ResultError(f"{_shown(value)} is not within the years 1 to 9999")
    if type(listed) is type(value):  # as of numpy's longer floats
        return float(value)
    return listed


def _as_base(value: Any, base: Any) -> Any:
    if base is dt.datetime and hasattr(value, "to_pydatetime"):  # pandas'
        return value.to_pydatetime(warn=False)
    if base in (dt.datetime, dt.date, dt.time):
        return base.fromisoformat(value.isoformat())
    if base is dt.timedelta:
        return dt.timedelta(value.days, value.seconds, value.microseconds)
    return base.__new__(base, value)


def _checked_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ResultError(
            f"{_shown(value)} is not valid Unicode text; decode it with errors='replace', or return bytes"
        ) from None
    return value


def _huge(value: int) -> int:
    if abs(value) >= 10**MOST_DIGITS:
        raise ResultError(
            f"a whole number has more than {MOST_DIGITS} digits; return it as text, with str() or hex()"
        )
    return _Huge(value)


def _in_utc(value: dt.datetime) -> dt.datetime:
    try:
        return value.astimezone(dt.UTC)
    except (OverflowError, ValueError):
        raise ResultError(f"{_shown(value)} is not within the years 1 to 9999 in UTC") from None


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001 - a value's own code runs here
        return f"an object of type {type(value).__name__}"


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
    if isinstance(value, (dt.datetime, dt.time)):
        # As DuckDB writes it, so that a column reads the same whichever of the two made it JSON.
        naive = value.replace(tzinfo=None)
        text = str(naive).rstrip("0") if value.microsecond else str(naive)
        return text if value.tzinfo is None else f"{text}+00"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return str(value)
    return value
