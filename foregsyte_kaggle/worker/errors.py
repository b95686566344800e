"""What is kept of an error: its type, message and traceback, as valid text of bounded length."""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any

__all__ = [
    "MESSAGE_CHARACTERS",
    "clean",
    "code_with_source",
    "describe",
    "forget_command",
    "format_traceback",
    "type_name",
]

MESSAGE_CHARACTERS = 10_000
TRACEBACK_CHARACTERS = 20_000
NAME_CHARACTERS = 200

_own_folder = os.path.dirname(os.path.abspath(__file__))


def describe(error: BaseException) -> str:
    """Return an error's message; never raises."""
    try:
        text = str(error)
    except Exception as second:
        text = f"(its message cannot be shown: {type(second).__name__})"
    if isinstance(error, SystemExit):
        text = f"the pipeline called sys.exit({text})"
    return clean(text or type(error).__name__, MESSAGE_CHARACTERS)


def type_name(error: BaseException) -> str:
    """Return the name of an error's type."""
    return clean(type(error).__name__, NAME_CHARACTERS)


def format_traceback(error: BaseException) -> str | None:
    """Return an error's traceback without the frames of this package; never raises."""
    try:
        shown = traceback.TracebackException.from_exception(error)
        shown.stack = traceback.StackSummary.from_list(
            [frame for frame in shown.stack if os.path.dirname(frame.filename) != _own_folder]
        )
        return clean("".join(shown.format()), TRACEBACK_CHARACTERS)
    except Exception:
        return None


def code_with_source(
    file: str, text: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]
) -> CodeType:
    """Return code that came from another process, whose tracebacks show the lines it has there.

    Parameters
    ----------
    file, text
        The name and the content of the script or cell; an empty text where it has none.
    make, arguments
        What makes the code, but for its file's name.
    """
    if text:
        # Without a time it is never checked against a file, which a cell has not.
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    return make(*arguments).replace(co_filename=file)


def forget_command() -> None:
    """Forget the command that this process was started with.

    Python 3.13 keeps the text behind ``-c`` as that of the file ``"<string>"``, and tracebacks would show it
    as the lines of a pipeline that was made by ``exec``.
    """
    linecache.cache.pop("<string>", None)


def clean(text: str, most: int) -> str:
    """Return valid Unicode without NUL, with the middle left out where it is too long."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}\n… {len(text) - most:,} characters left out …\n{text[-half:]}"
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
