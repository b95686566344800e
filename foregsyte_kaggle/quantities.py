"""Amounts that people write and read: lengths of time, and bytes."""

from __future__ import annotations

import datetime as dt
import math
import re

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = ["describe_seconds", "in_bytes", "parse_bytes", "parse_seconds"]

_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}
_part = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_parts = re.compile(rf"(?:{_part.pattern}\s*)+")

#: Of 1000, as disks are sold and Kaggle counts, and of 1024.
_SIZES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_size = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def parse_seconds(name: str, value: object, *, least: float = 1e-9) -> float:
    """Return a length of time in seconds.

    Parameters
    ----------
    name
        The argument's, for the error.
    value
        Seconds as a number, a text such as ``"8h30m"`` or ``"10 min"``, or a ``datetime.timedelta``.

    Raises
    ------
    InvalidArgumentError
        If it is none of these, or too short.
    """
    seconds = math.nan
    if isinstance(value, dt.timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        seconds = _parse_text(value)
    if not (math.isfinite(seconds) and seconds >= least):
        raise InvalidArgumentError(
            f"{name}={value!r} is no length of time; expected seconds, or text such as '8h30m', '10min' "
            "or '90s'"
        )
    return seconds


def _parse_text(value: str) -> float:
    text = value.strip().lower()
    if _parts.fullmatch(text) is None:
        return math.nan
    seconds = 0.0
    for number, unit in _part.findall(text):
        size = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if size is None:
            return math.nan
        seconds += float(number) * size
    return seconds


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
        Bytes as a whole number, or text such as ``"500MB"`` or ``"1.5 GiB"``.

    Raises
    ------
    InvalidArgumentError
        If it is neither, or negative.
    """
    size = -1.0
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str):
        found = _size.fullmatch(value.strip().lower())
        if found is not None and found[2] in _SIZES:
            size = float(found[1]) * _SIZES[found[2]]
    if size < 0:
        raise InvalidArgumentError(
            f"{name}={value!r} is no amount of bytes; expected a whole number of them, or text such as "
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
