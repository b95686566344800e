"""Values as people read them: durations, times, and text whose every character shows."""

from __future__ import annotations

import unicodedata
from datetime import datetime

__all__ = ["ago", "cut", "duration", "moment", "visible"]

#: Joiners: without them emoji and several scripts fall apart, and they neither reorder nor hide anything.
HARMLESS = frozenset("\u200c\u200d")


def visible(text: str, keep: str = "") -> str:
    r"""Return the text with every character that would act or hide written as Python writes it.

    Those are control characters, marks that set the direction of writing, and others without a shape,
    such as ``\x1b``, ``\n`` and ``\u202e``.

    Parameters
    ----------
    keep
        Characters that stay as they are, such as the newline in a text of several lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode() if one not in keep and _hides(one) else one
        for one in text
    )


def _hides(character: str) -> bool:
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return unicodedata.category(character) in kinds and character not in HARMLESS


def cut(text: str, characters: int) -> str:
    """Return the first line with something in it, and at most so many characters of that."""
    line = text.strip("\r\n\t ").split("\n", 1)[0].rstrip()
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def duration(seconds: float | None) -> str:
    """Return a length of time, such as ``83 ms``, ``3.4 s`` or ``1 h 5 min``; empty for None."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.{1 if seconds < 0.00995 else 0}f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s"


def ago(then: datetime, now: datetime) -> str:
    """Return how long before ``now`` it was, such as ``2 min ago``."""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def moment(time: datetime, timespec: str = "seconds") -> str:
    """Return a time as ``2026-01-31 23:59:59``; the zone is for the caller to say."""
    return time.replace(tzinfo=None).isoformat(sep=" ", timespec=timespec)
