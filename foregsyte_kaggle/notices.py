"""One line at a time to the person at the notebook.

Notebooks do not show the log level INFO, so what a user must know is printed; errors are raised.
"""

from __future__ import annotations

__all__ = ["counted", "say"]


def say(message: str) -> None:
    """Print one line that starts with the product's name."""
    print(f"foregsyte: {message}", flush=True)


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun, such as ``1 job`` or ``1,200 jobs``.

    Parameters
    ----------
    one, several
        What follows the number 1, and any other; ``one`` with an s by default.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"
