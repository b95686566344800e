"""Values as HTML: whatever is in them is text, and shows."""

from __future__ import annotations

from datetime import datetime
from html import escape

from foregsyte_kaggle.widgets.words import moment, visible

__all__ = ["in_time", "preformatted", "text"]


def text(value: str | None) -> str:
    """Return text that stands for itself, in one line, also within an attribute's quotes."""
    return escape(visible(value or ""))


def preformatted(value: str) -> str:
    """Return text of several lines as it is, in a box that scrolls."""
    shown = escape(visible(value.replace("\r\n", "\n"), keep="\n\t"))
    # The parser eats a newline right after the tag.
    return f'<pre dir="auto" tabindex="0">\n{shown}</pre>'


def in_time(when: datetime, shown: str) -> str:
    """Return words for a time, which itself is shown when the pointer rests on them."""
    full = moment(when)
    return f'<time datetime="{full.replace(" ", "T")}Z" title="{full} UTC">{shown}</time>'
