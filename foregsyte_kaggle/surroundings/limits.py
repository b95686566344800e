"""How long the session may live, and how long it has."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from foregsyte_kaggle.quantities import parse_seconds
from foregsyte_kaggle.surroundings.kind import has_tpu, is_on_kaggle, session_kind

__all__ = ["LIMIT_VARIABLE", "session_age_seconds", "session_limit_seconds"]

#: Tells the limit where it is another one, as in some competitions: seconds, or text such as ``8h30m``.
LIMIT_VARIABLE = "FOREGSYTE_SESSION_LIMIT"
HOUR = 3600.0
#: A session just over its limit is still the same session, and not a new one.
MARGIN = HOUR


def session_limit_seconds() -> float | None:
    """Return how long a session of this kind may live; None where nothing limits it.

    What ``FOREGSYTE_SESSION_LIMIT`` says, anywhere. Else on Kaggle 12 hours, 9 on a TPU (Kaggle's
    documentation of notebooks, "Technical Specifications"), and 9 in a competition's rerun: each
    competition sets its own, and that is the usual one.

    Raises
    ------
    InvalidArgumentError
        If the variable holds no length of time.
    """
    told = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not told:
        return _usual_limit()
    value: str | float = told
    with contextlib.suppress(ValueError):
        value = float(told) if told.isascii() else told
    return parse_seconds(LIMIT_VARIABLE, value)


def _usual_limit() -> float | None:
    if not is_on_kaggle():
        return None
    return 9 * HOUR if has_tpu() or session_kind() == "kaggle-rerun" else 12 * HOUR


def session_age_seconds(proc: Path = Path("/proc")) -> float:
    """Return how long this session has lived, in seconds.

    No variable of Kaggle's tells. A session is a container of its own, so the age of its first process
    is the session's, also after a restart of the kernel. One that is older than any session can be is that
    of a machine which outlives its sessions; then it is this process's age. 0 where neither can be told.

    Parameters
    ----------
    proc
        Where Linux describes processes.
    """
    own, first = _process_age(proc, "self"), _process_age(proc, "1")
    oldest = _oldest_session()
    return max(own, first) if oldest is None or first <= oldest else own


def _oldest_session() -> float | None:
    """Return the most that a session's age can be; None where nothing limits it."""
    # Of Kaggle's own limit and one that somebody told the longer: a session may be older than the shorter.
    limits = [_usual_limit()]
    with contextlib.suppress(ValueError):
        limits.append(session_limit_seconds())
    return max((limit + MARGIN for limit in limits if limit is not None), default=None)


def _process_age(proc: Path, process: str) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        up = float((proc / "uptime").read_text().split()[0])
        # The name of a process, in parentheses, may hold spaces; its start is field 22.
        fields = (proc / process / "stat").read_text().rpartition(")")[2].split()
        return max(0.0, up - float(fields[19]) / os.sysconf("SC_CLK_TCK"))
    return 0.0
