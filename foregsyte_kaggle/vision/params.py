"""What a user may ask of ``yolo_ocr``, checked before a model is loaded or a file is opened."""

from __future__ import annotations

import math
from typing import Any

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = ["check_params"]


def check_params(
    *,
    every_seconds: Any,
    frames: Any,
    confidence: Any,
    iou: Any,
    classes: Any,
    annotate: Any,
) -> None:
    """Refuse values that are not of the expected form.

    Raises
    ------
    InvalidArgumentError
        Names the first such param, its value, and what was expected.
    """
    if not (_is_number(every_seconds) and every_seconds > 0):
        raise _refused("every_seconds", every_seconds, "a number above 0")
    if frames is not None and not (_is_whole(frames) and frames >= 1):
        raise _refused("frames", frames, "a whole number from 1, or None for one every_seconds")
    for name, value in (("confidence", confidence), ("iou", iou)):
        if not (_is_number(value) and 0 <= value <= 1):
            raise _refused(name, value, "a number from 0 to 1")
    if classes is not None and not (
        isinstance(classes, (list, tuple))
        and classes
        and all(isinstance(one, str) or _is_whole(one) for one in classes)
    ):
        raise _refused(
            "classes", classes, "a list of names or numbers, such as ['person'], or None"
        )
    if not isinstance(annotate, bool):
        raise _refused("annotate", annotate, "True or False")


def _refused(name: str, value: Any, expected: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"yolo_ocr: {name}={value!r:.80}; expected {expected}")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
