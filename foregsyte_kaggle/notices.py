"""One line at a time to the person at the notebook.

Notebooks do not show the log level INFO, so what a user must know is printed; errors are raised.
"""

from __future__ import annotations

__all__ = ["say"]


def say(message: str) -> None:
    """Print one line that starts with the product's name."""
    print(f"foregsyte: {message}", flush=True)
