"""The three layouts in which YOLO models say what they found, told apart by shape and metadata.

::

    anchors   [1, N, 5 + C]   v5: x, y, width, height, objectness, then a score for each class
    columns   [1, 4 + C, N]   v8, v9, v11: x, y, width, height, then a score for each class
    final     [1, N, 6]       v10, 26 and exports with NMS: x1, y1, x2, y2, score, class; nothing to suppress
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foregsyte_kaggle.vision.boxes import Floats, Integers, from_centres

__all__ = ["Candidates", "candidate_count", "head_layout", "read_head"]

#: Where a v5 model looks: 3 boxes in each square of these sizes; the larger models have one size more.
STRIDES = (8, 16, 32, 64)
BOXES_A_SQUARE = 3


class Candidates(NamedTuple):
    """What a model may have found, in pixels of its input."""

    boxes: Floats
    scores: Floats
    classes: Integers


def head_layout(
    shape: tuple[int, ...],
    size: tuple[int, int],
    classes: int | None = None,
    *,
    final: bool = False,
) -> str | None:
    """Return which layout an output is in: ``"anchors"``, ``"columns"`` or ``"final"``; None if in none.

    Parameters
    ----------
    shape
        Of the output.
    size
        Height and width of the model's input, by which a v5 head with one class differs from a final one.
    classes
        How many classes the model has, where its metadata says.
    final
        Whether the metadata says that nothing is left to suppress.
    """
    if len(shape) != 3 or shape[0] != 1:
        return None
    rows, columns = shape[1:]
    if final and columns >= 6:
        return "final"
    if rows == 0:
        return "final" if columns == 6 else None
    if classes is not None and rows == 4 + classes and columns != 6:
        return "columns"
    if columns == 6:
        return "anchors" if classes in (None, 1) and rows in _anchor_counts(size) else "final"
    if classes is not None and columns in {classes, 4 + classes}:
        return None  # one row a place with no certainty that there is anything, as RT-DETR has
    # What follows the classes are the coefficients of masks or the points of a pose, which are not read.
    least = 1 if classes is None else classes
    if rows < columns and rows >= 4 + least:
        return "columns"
    if columns >= 5 + least:
        return "anchors"
    return "columns" if rows >= 4 + least else None


def read_head(output: Floats, layout: str, classes: int | None, confidence: float) -> Candidates:
    """Return what an output says was found, with at least this confidence."""
    found = output[0].astype(np.float32, copy=False)
    if layout == "final":
        found = found[found[:, 4] >= confidence]
        return Candidates(found[:, :4], found[:, 4], np.rint(found[:, 5]).astype(np.int64))
    if layout == "columns":
        found = found.T
        scores = found[:, 4:] if classes is None else found[:, 4 : 4 + classes]
    else:
        # A score is never above the objectness, so most rows need no multiplication.
        found = found[found[:, 4] >= confidence]
        scores = found[:, 5:] if classes is None else found[:, 5 : 5 + classes]
        scores = scores * found[:, 4:5]
    best = scores.argmax(axis=1) if scores.size else np.zeros(len(found), np.int64)
    score = np.take_along_axis(scores, best[:, None], axis=1)[:, 0]
    sure = score >= confidence
    return Candidates(from_centres(found[sure, :4]), score[sure], best[sure])


def candidate_count(size: tuple[int, int]) -> int:
    """Return how many places a model looks at, in an input of this height and width."""
    return _squares(size, 3)


def _squares(size: tuple[int, int], scales: int) -> int:
    return sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES[:scales])


def _anchor_counts(size: tuple[int, int]) -> set[int]:
    return {BOXES_A_SQUARE * _squares(size, count) for count in range(1, len(STRIDES) + 1)}
