"""One line at a time to the person at the notebook.

Notebooks do not show the log level INFO, so what a user must know is printed; errors are raised.
"""

from __future__ import annotations

import sys

__all__ = ["counted", "say", "show"]


def say(message: str) -> None:
    """Print one line that starts with the product's name."""
    print(f"foregsyte: {message}", flush=True)


def show(text: str, *, as_error: bool = False) -> None:
    """Print a text as it is, for a shell: what was asked for to stdout, what went wrong to stderr."""
    print(text, file=sys.stderr if as_error else sys.stdout, flush=True)


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun, such as ``1 job`` or ``1,200 jobs``.

    Parameters
    ----------
    one, several
        What follows the number 1, and any other; ``one`` with an s by default.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"
