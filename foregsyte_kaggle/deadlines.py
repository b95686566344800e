"""When a run must be over: from a time limit of its own, or from what is left of the session."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass

from foregsyte_kaggle.quantities import describe_seconds, parse_seconds
from foregsyte_kaggle.surroundings import is_on_kaggle, session_age_seconds, session_limit_seconds

__all__ = ["Deadline", "find_deadline"]

#: Kept of a session unless ``reserve`` says otherwise: for the cells below, and for saving.
SESSION_RESERVE = 600.0

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
        ``"auto"``: the end of a session of Kaggle's, or of one whose limit ``FOREGSYTE_SESSION_LIMIT``
        tells; no limit elsewhere. Or how long the run may take, from now.
    reserve
        How much of it to keep; 10 minutes of a session by default, else nothing.

    Raises
    ------
    InvalidArgumentError
        If either, or the variable, is no length of time.
    """
    limit = session_limit_seconds()  # asked in any case, so that a wrong variable is told at once
    kept = None if reserve is None else parse_seconds("reserve", reserve, least=0.0)
    if time_limit is None:
        return None
    if not (isinstance(time_limit, str) and time_limit.strip().lower() == "auto"):
        seconds = parse_seconds("time_limit", time_limit)
        reason = f"the time limit of {describe_seconds(seconds)}"
        left = seconds - (kept or 0.0)
    else:
        if limit is None:
            return None
        kept = SESSION_RESERVE if kept is None else kept
        session = "this session of Kaggle's" if is_on_kaggle() else "this session"
        reason = f"{session} ends {describe_seconds(limit)} after its start"
        left = limit - session_age_seconds() - kept
    if kept:
        reason += f", of which {describe_seconds(kept)} are kept for what comes after"
    return Deadline(time.monotonic() + left, reason)
