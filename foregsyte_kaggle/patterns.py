"""Glob patterns over relative POSIX paths, with pathlib's meaning of ``**``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from functools import lru_cache

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = ["has_magic", "matcher", "split_glob", "takes_hidden"]

_magic = re.compile(r"[*?\[]")


def has_magic(text: str) -> bool:
    """Return whether a text holds a character that means something in a pattern."""
    return _magic.search(text) is not None


def split_glob(pattern: str) -> tuple[str, str]:
    """Return the folder that a glob starts from, and the pattern that counts from it.

    >>> split_glob("/data/clips/**/*.mp4")
    ('/data/clips', '**/*.mp4')
    """
    parts = pattern.split("/")
    fixed = next(number for number, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "."), "/".join(
        parts[fixed:]
    )


@lru_cache(maxsize=64)
def matcher(pattern: str) -> Callable[[str], object] | None:
    """Return a test of relative paths; None where the pattern takes every path.

    ``*`` and ``?`` stop at a slash, ``**`` as a whole part takes any number of folders, and letters
    count as they are, also on systems that fold them.

    Raises
    ------
    InvalidArgumentError
        If the pattern is empty, absolute, or climbs out of the folder.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or pattern.startswith("/") or ".." in parts:
        raise InvalidArgumentError(
            f"pattern={pattern!r} names no file below the folder; expected one such as '**/*.mp4', "
            "relative to it"
        )
    if parts in (["**"], ["**", "*"]):
        return None
    if len(parts) == 2 and parts[0] == "**" and parts[1][0] == "*" and not has_magic(parts[1][1:]):
        ending = parts[1][1:]
        return lambda path: path.endswith(ending)
    return re.compile(_translate(parts), re.DOTALL).fullmatch


def takes_hidden(pattern: str) -> bool:
    """Return whether a pattern asks for names that begin with a dot, or for all names."""
    asks = any(part[0] == "." and part != "." for part in pattern.split("/") if part)
    return asks or matcher(pattern) is None


def _translate(parts: list[str]) -> str:
    out = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            out.append(".*" if last else "(?:[^/]+/)*")
        else:
            out.append(_translate_part(part) + ("" if last else "/"))
    return "".join(out)


def _translate_part(part: str) -> str:
    out, at = [], 0
    while at < len(part):
        character = part[at]
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            end = _end_of_set(part, at)
            out.append(_translate_set(part[at:end]))
            at = end
            continue
        else:
            out.append(re.escape(character))
        at += 1
    return "".join(out)


def _end_of_set(part: str, at: int) -> int:
    """Return where the set that opens here ends; one step on where it never closes."""
    first = at + 2 if part[at + 1 : at + 2] == "!" else at + 1
    end = part.find("]", first + 1)  # a "]" that comes first is one of the set
    return end + 1 if end > 0 else at + 1


def _translate_set(text: str) -> str:
    # fnmatch knows all rules of ranges and signs within a set; its frame is "(?s:" and ")\Z".
    return "(?!/)" + fnmatch.translate(text)[4:-3]
