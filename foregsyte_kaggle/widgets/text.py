"""A page of jobs as plain text, for terminals and for outputs that must not change between two runs."""

from __future__ import annotations

import unicodedata

from foregsyte_kaggle.widgets.page import JobPage, JobRow
from foregsyte_kaggle.widgets.words import cut, visible

__all__ = ["page_to_text"]

COLUMNS = ("status", "input", "pipeline", "attempts", "error")
PATH_WIDTH = 48
ERROR_WIDTH = 72


def page_to_text(page: JobPage) -> str:
    """Return counts and rows; without ids, times and durations, so the same jobs give the same text."""
    counts = ", ".join(f"{jobs:,} {status.value}" for status, jobs in page.counts.items() if jobs)
    lines = [f"jobs: {counts}" if counts else "no jobs yet"]
    filtered = visible(page.query.describe())
    if page.rows:
        shown = f"{page.first:,} to {page.last:,} of {page.matching:,}"
        whole = len(page.rows) == page.total and not filtered
        lines += [] if whole else [f"shown: {shown}{', ' if filtered else ''}{filtered}"]
        lines += ["", *_aligned([COLUMNS, *map(_cells, page.rows)])]
    elif filtered:
        lines.append(f"shown: none, {filtered}")
    return "\n".join(lines)


def _cells(row: JobRow) -> tuple[str, ...]:
    # Many messages begin with the name of the input, which stands in the row already.
    name = row.input_path.rpartition("/")[2]
    message = (row.error_message or "").removeprefix(f"{name}: ")
    error = ": ".join(filter(None, (row.error_type, cut(message, ERROR_WIDTH))))
    return (
        row.status.value + (", older code" if row.outdated else ""),
        _end_of(visible(row.input_path), PATH_WIDTH),
        visible(row.pipeline_id),
        f"{row.attempts:,}",
        cut(visible(error), ERROR_WIDTH),
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    right = COLUMNS.index("attempts")
    lines = []
    for row in rows:
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(cell))
            cells.append(space + cell if index == right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def _end_of(path: str, width: int) -> str:
    """Cut a path at its beginning: its end tells it from its neighbours."""
    if _width(path) <= width:
        return path
    while _width(path) > width - 1:
        path = path[1:]
    return "…" + path


def _width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )
