"""Plain values as columns: which kind a column is, and its values as Arrow takes them.

A kind is ``"bool"``, ``"int"``, ``"float"``, ``"text"``, ``"bytes"``, ``"timestamp"``,
``"timestamptz"``, ``"date"``, ``"time"``, ``"interval"``, ``"list:<kind>"`` or ``"json"``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.arrays import arrow_array
from foregsyte_kaggle.results.values import HugeInt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_column", "first_conflict", "kind_of", "to_json", "unify"]

EXACT_IN_FLOAT = range(-(2**53), 2**53 + 1)

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
    HugeInt: "json",
}


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
        if (
            before not in (None, "json")
            and joined == "json"
            and {before, kind} - {"json", "list:null"}
        ):
            return number, before, kind
        before = joined
    return None


def arrow_column(values: Sequence[Any], kind: str | None) -> pa.Array:
    """Return plain values as an Arrow array of a kind."""
    import pyarrow as pa

    if kind == "json":
        texts = [None if value is None else to_json(value) for value in values]
        return arrow_array(texts, pa.string())
    return arrow_array(values, _arrow_type(kind))


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
