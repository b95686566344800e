"""Amounts that people write and read: lengths of time, and bytes."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import re

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = ["describe_seconds", "in_bytes", "parse_bytes", "parse_seconds"]

_SECONDS = {
    unit: seconds
    for units, seconds in (
        ("ms millisecond milliseconds", 0.001),
        ("s sec secs second seconds", 1.0),
        ("m min mins minute minutes", 60.0),
        ("h hour hours", 3600.0),
        ("d day days", 86400.0),
    )
    for unit in units.split()
}
_amount = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)")
_amounts = re.compile(rf"(?:{_amount.pattern}\s*)+")

#: Of 1000, as disks are sold and Kaggle counts, and of 1024.
_SIZES = {
    "b": 1,
    "k": 10**3,
    "kb": 10**3,
    "m": 10**6,
    "mb": 10**6,
    "g": 10**9,
    "gb": 10**9,
    "t": 10**12,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
#: More than any file system holds.
_MOST_BYTES = 2**63


def parse_seconds(name: str, value: object, *, least: float = 1e-9) -> float:
    """Return a length of time in seconds.

    Parameters
    ----------
    name
        The argument's, for the error.
    value
        Seconds as a number, a text such as ``"8h30m"``, ``"10 min"`` or ``"500ms"``, or a ``datetime.timedelta``.

    Raises
    ------
    InvalidArgumentError
        If it is none of these, or too short.
    """
    seconds = math.nan
    if isinstance(value, dt.timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            seconds = float(value)
    elif isinstance(value, str):
        seconds = _parse_text(value)
    if not (math.isfinite(seconds) and seconds >= least):
        raise InvalidArgumentError(
            f"{name}={_shown(value)} is no length of time; expected seconds, or text such as '8h30m', '10min' "
            "or '90s'"
        )
    return seconds


def _parse_text(value: str) -> float:
    text = value.strip().lower()
    if _amounts.fullmatch(text) is None:
        return math.nan
    return sum(
        float(number) * _SECONDS.get(unit, math.nan) for number, unit in _amount.findall(text)
    )


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python writes no integer of so many digits
        return "a number of thousands of digits"


def describe_seconds(seconds: float) -> str:
    """Return a length of time as people say it: ``"8 h 30 min"``, ``"45 s"``."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours:,} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts)


def parse_bytes(name: str, value: object) -> int:
    """Return an amount of bytes.

    Parameters
    ----------
    name
        The argument's, for the error.
    value
        Bytes as a whole number, or text such as ``"500MB"``, ``"0.5G"`` or ``"1.5 GiB"``.

    Raises
    ------
    InvalidArgumentError
        If it is neither, negative, or more than any file system holds.
    """
    size = -1.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        size = value if isinstance(value, int) or value.is_integer() else -1
    elif isinstance(value, str):
        found = _amount.fullmatch(value.strip().lower())
        if found is not None and found[2] in _SIZES:
            size = float(found[1]) * _SIZES[found[2]]
    if not 0 <= size < _MOST_BYTES:
        raise InvalidArgumentError(
            f"{name}={_shown(value)} is no amount of bytes; expected a whole number of them, or text such as "
            "'500MB' or '2GB'"
        )
    return int(size)


def in_bytes(size: int) -> str:
    """Return a size in the unit that fits, such as ``812 bytes`` or ``1.3 MB``."""
    if size < 1_000:
        return f"{size} byte{'' if size == 1 else 's'}"
    for unit, least in (("GB", 1_000_000_000), ("MB", 1_000_000)):
        if size >= least * 0.9995:
            return f"{size / least:,.1f} {unit}"
    return f"{size / 1_000:,.{1 if size < 9_950 else 0}f} kB"
