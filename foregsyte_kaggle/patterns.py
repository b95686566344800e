"""Glob patterns over relative POSIX paths, with pathlib's meaning of ``**``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

__all__ = ["has_magic", "matcher", "split_glob"]

_magic = re.compile(r"[*?\[]")


def has_magic(text: str) -> bool:
    """Return whether a text holds a character that means something in a pattern."""
    return _magic.search(text) is not None


def split_glob(pattern: str) -> tuple[str, str]:
    """Return the folder that a glob starts from, and the pattern that counts from it.

    >>> split_glob("/data/clips/**/*.mp4")
    ('/data/clips', '**/*.mp4')
    """
    parts = pattern.replace("\\", "/").split("/")
    fixed = next(number for number, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "."), "/".join(
        parts[fixed:]
    )


@lru_cache(maxsize=64)
def matcher(pattern: str) -> Callable[[str], object] | None:
    """Return a test of relative paths; None where the pattern takes every path.

    ``*`` and ``?`` stop at a slash, ``**`` as a whole part takes any number of folders, and letters
    count as they are, also on systems that fold them.
    """
    if pattern in ("**/*", "**"):
        return None
    suffix = re.fullmatch(r"\*\*/\*([^*?\[/]*)", pattern)
    if suffix:
        ending = suffix.group(1)
        return lambda path: path.endswith(ending)
    return re.compile(_translate(pattern), re.DOTALL).fullmatch


def _translate(pattern: str) -> str:
    parts = pattern.strip("/").split("/")
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
        end = part.find("]", at + 2) if character == "[" else -1
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif end > 0:
            inside = part[at + 1 : end].replace("\\", "\\\\")
            out.append(f"[{'^' + inside[1:] if inside[0] == '!' else inside}]")
            at = end
        else:
            out.append(re.escape(character))
        at += 1
    return "".join(out)
