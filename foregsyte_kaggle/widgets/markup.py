"""Text of a row as HTML: escaped, and with every character that would act or hide written out."""

from __future__ import annotations

from html import escape

from foregsyte_kaggle.widgets.words import visible

__all__ = ["preformatted", "text"]


def text(value: str | None) -> str:
    """Return a value as HTML of one line; empty for None."""
    return escape(visible(value or ""))


def preformatted(value: str) -> str:
    """Return a text of several lines as an element that keeps and scrolls them."""
    shown = escape(visible(value.replace("\r\n", "\n"), keep="\n\t"))
    # The parser eats a newline right after the tag.
    return f'<pre dir="auto" tabindex="0">\n{shown}</pre>'
