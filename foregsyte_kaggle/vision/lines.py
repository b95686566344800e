"""Pieces of text on a picture as lines, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Line", "as_lines"]

#: Pieces stand in one line if they share this much of the lower one's height ...
SHARED_HEIGHT = 0.5
#: ... and the gap between them is no wider than so many times that height.
WIDEST_GAP = 1.5


class Line(NamedTuple):
    """A line of text, and the box around it in pixels."""

    text: str
    confidence: float
    x1: float
    y1: float
    x2: float
    y2: float


def as_lines(pieces: Iterable[Line]) -> list[Line]:
    """Join pieces that stand side by side; lines go from top to bottom, pieces from left to right."""
    rows: list[list[Line]] = []
    for piece in sorted(pieces, key=lambda one: (one.y1 + one.y2, one.x1)):
        row = next((row for row in reversed(rows) if _is_beside(piece, row[-1])), None)
        if row is None:
            rows.append([piece])
        else:
            row.append(piece)
    found = []
    for row in rows:
        row.sort(key=lambda one: one.x1)
        group = [row[0]]
        for piece in row[1:]:
            height = min(piece.y2 - piece.y1, group[-1].y2 - group[-1].y1)
            if piece.x1 - group[-1].x2 > WIDEST_GAP * height:
                found.append(_joined(group))
                group = []
            group.append(piece)
        found.append(_joined(group))
    return found


def _is_beside(piece: Line, other: Line) -> bool:
    shared = min(piece.y2, other.y2) - max(piece.y1, other.y1)
    lower = min(piece.y2 - piece.y1, other.y2 - other.y1)
    return shared > SHARED_HEIGHT * lower


def _joined(pieces: list[Line]) -> Line:
    """Return pieces as one line; it is as sure as its characters are on average."""
    characters = sum(len(piece.text) for piece in pieces)
    return Line(
        " ".join(piece.text for piece in pieces),
        sum(piece.confidence * len(piece.text) for piece in pieces) / characters,
        min(piece.x1 for piece in pieces),
        min(piece.y1 for piece in pieces),
        max(piece.x2 for piece in pieces),
        max(piece.y2 for piece in pieces),
    )
