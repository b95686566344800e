"""Values that pipelines returned, as plain Python ones: what a column can hold, and nothing else."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import os
import uuid
from typing import Any

from foregsyte_kaggle.errors import ResultError

__all__ = ["HugeInt", "plain", "shown"]

LONGEST = dt.timedelta(days=100_000_000)
DEEPEST = 100
MOST_DIGITS = 300
"""Of whole numbers; JSON readers take longer ones for infinity."""


class HugeInt(int):
    """A whole number that needs more than 64 bits."""


_AS_THEY_ARE = {type(None), bool, float, bytes, dt.date}


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
    if kind in _TIMES:
        return _TIMES[kind](value)
    if depth > DEEPEST:
        raise ResultError(f"it nests deeper than {DEEPEST} levels, or holds itself")
    if isinstance(value, (list, tuple, dict)):
        return _nested(value, depth + 1)
    return plain(_converted(value), depth + 1)


def shown(value: Any) -> str:
    """Return what a message says of a value; never raises."""
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001 - a value's own code runs here
        return f"an object of type {type(value).__name__}"


def _nested(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ResultError(f"a nested dict has the key {shown(key)}; expected text")
            _checked_text(key)
        return {str(key): plain(item, depth) for key, item in value.items()}
    types = set(map(type, value))
    if types <= _AS_THEY_ARE or (types == {int} and max(map(abs, value)) < 2**63):
        return list(value)
    return [plain(item, depth) for item in value]


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
    if isinstance(value, decimal.Decimal):
        raise ResultError(
            f"{shown(value)} is a Decimal, whose column needs a fixed number of digits; declare them, as in "
            "@pipeline(..., schema={'price': 'DECIMAL(10,2)'}), or return float(value) or str(value)"
        )
    raise ResultError(
        f"{shown(value)} is of type {type(value).__name__}; expected text, bytes, a number, a date or "
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
        raise ResultError(f"{shown(value)} is not within the years 1 to 9999")
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
            f"{shown(value)} is not valid Unicode text; decode it with errors='replace', or return bytes"
        ) from None
    return value


def _huge(value: int) -> int:
    if abs(value) >= 10**MOST_DIGITS:
        raise ResultError(
            f"a whole number has more than {MOST_DIGITS} digits; return it as text, with str() or hex()"
        )
    return HugeInt(value)


def _moment(value: dt.datetime) -> dt.datetime:
    try:
        return value if value.tzinfo is None else value.astimezone(dt.UTC)
    except (OverflowError, ValueError):
        raise ResultError(f"{shown(value)} is not within the years 1 to 9999 in UTC") from None


def _time_of_day(value: dt.time) -> dt.time | str:
    return value if value.tzinfo is None else value.isoformat()


def _duration(value: dt.timedelta) -> dt.timedelta:
    if abs(value) >= LONGEST:
        raise ResultError(f"{shown(value)} is longer than {LONGEST.days:,} days")
    return value


_TIMES: dict[type, Any] = {
    dt.datetime: _moment,
    dt.time: _time_of_day,
    dt.timedelta: _duration,
}
