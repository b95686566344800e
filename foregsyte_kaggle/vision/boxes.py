"""Boxes ``x1, y1, x2, y2`` in pixels: how much two overlap, and which of several on one thing stays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Integers", "from_centres", "overlaps", "suppress"]

Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]

#: The best candidates that are compared with each other, as many as Ultralytics takes.
MOST_CANDIDATES = 30_000


def from_centres(boxes: Floats) -> Floats:
    """Return boxes that are given as ``x, y, width, height``, with the centre's x and y."""
    half = boxes[:, 2:4] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def overlaps(box: Floats, others: Floats) -> Floats:
    """Return the intersection over union of a box with each of the others; 0 where both are empty."""
    left_top = np.maximum(box[:2], others[:, :2])
    right_bottom = np.minimum(box[2:4], others[:, 2:4])
    shared = np.prod(np.maximum(right_bottom - left_top, 0), axis=1)
    union = _area(box[None]) + _area(others) - shared
    shares: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def suppress(boxes: Floats, scores: Floats, classes: Integers, iou: float) -> Integers:
    """Return which boxes stay, best first, when of those of one class on one thing only the best does.

    Parameters
    ----------
    boxes, scores, classes
        One row each a box.
    iou
        A box goes where it overlaps a better one of its class by more than this.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        same = classes[rest] == classes[best]
        hidden = same & (overlaps(boxes[best], boxes[rest]) > iou)
        order = rest[~hidden]
    return np.asarray(kept, dtype=np.int64)


def _area(boxes: Floats) -> Floats:
    areas: Floats = np.prod(np.maximum(boxes[:, 2:4] - boxes[:, :2], 0), axis=1)
    return areas
