"""When a run must be over: from a time limit of its own, or from what is left of the session."""

from __future__ import annotations

import datetime as dt
import math
import re
import time
from dataclasses import dataclass

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.surroundings import session_age_seconds, session_limit_seconds

__all__ = ["Deadline", "describe_seconds", "find_deadline", "parse_seconds"]

#: Kept of a session of Kaggle's unless ``reserve`` says otherwise: for the cells below, and for saving.
SESSION_RESERVE = 600.0

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

Duration = str | float | dt.timedelta


@dataclass(frozen=True)
class Deadline:
    """When a run must be over.

    Attributes
    ----------
    at : float
        On the monotonic clock, in seconds.
    reason : str
        What it follows from, for the person at the notebook.
    """

    at: float
    reason: str

    @property
    def seconds_left(self) -> float:
        """Seconds until then; negative afterwards."""
        return self.at - time.monotonic()


def find_deadline(time_limit: Duration | None, reserve: Duration | None) -> Deadline | None:
    """Return when a run that begins now must be over; None where nothing limits it.

    Parameters
    ----------
    time_limit
        ``"auto"``: the end of a session of Kaggle's, no limit elsewhere. Or how long the run may take,
        from now.
    reserve
        How much of it to keep; 10 minutes of a session of Kaggle's by default, else nothing.

    Raises
    ------
    InvalidArgumentError
        If either is no length of time.
    """
    kept = None if reserve is None else parse_seconds("reserve", reserve, least=0.0)
    if time_limit is None:
        return None
    if not (isinstance(time_limit, str) and time_limit.strip().lower() == "auto"):
        seconds = parse_seconds("time_limit", time_limit)
        reason = f"the time limit of {describe_seconds(seconds)}"
        left = seconds - (kept or 0.0)
    else:
        limit = session_limit_seconds()
        if limit is None:
            return None
        kept = SESSION_RESERVE if kept is None else kept
        reason = f"this session of Kaggle's ends {describe_seconds(limit)} after its start"
        left = limit - session_age_seconds() - kept
    if kept:
        reason += f", of which {describe_seconds(kept)} are kept for what comes after"
    return Deadline(time.monotonic() + left, reason)


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
