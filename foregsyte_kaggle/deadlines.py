"""When a run must be over: from a time limit of its own and from what is left of the session."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, replace

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
        tells; no limit elsewhere. Or how long the run may take, from now, where the session does not end
        before.
    reserve
        How much of either to keep; 10 minutes of a session by default, else nothing.

    Raises
    ------
    InvalidArgumentError
        If either, or the variable, is no length of time.
    """
    limit = session_limit_seconds()  # asked in any case, so that a wrong variable is told at once
    kept = None if reserve is None else parse_seconds("reserve", reserve, least=0.0)
    if time_limit is None:
        return None
    session = None
    if limit is not None:
        whose = "this session of Kaggle's" if is_on_kaggle() else "this session"
        session = _deadline(
            f"{whose} ends {describe_seconds(limit)} after its start",
            limit - session_age_seconds(),
            SESSION_RESERVE if kept is None else kept,
        )
    if isinstance(time_limit, str) and time_limit.strip().lower() == "auto":
        return session
    seconds = parse_seconds("time_limit", time_limit)
    name = f"the time limit of {describe_seconds(seconds)}"
    own = _deadline(name, seconds, kept or 0.0)
    if session is None or own.at <= session.at:
        return own
    return replace(session, reason=f"{session.reason}; sooner than {name}")


def _deadline(reason: str, left: float, kept: float) -> Deadline:
    if kept and kept > left:
        reason += f", and the reserve of {describe_seconds(kept)} is longer than what is left of it"
    elif kept:
        reason += f", of which {describe_seconds(kept)} are kept for what comes after"
    return Deadline(time.monotonic() + left - kept, reason)
