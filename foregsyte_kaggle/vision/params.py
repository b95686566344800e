"""What a user may ask of ``yolo_ocr``, checked before a model is loaded or a file is opened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = ["check_params"]


def check_params(params: Mapping[str, Any]) -> None:
    """Refuse values that are not of the expected form; what is not given is not looked at.

    Raises
    ------
    InvalidArgumentError
        Names the first such param, its value, and what was expected.
    """
    for name, value in params.items():
        fits, expected = RULES[name]
        if not fits(value):
            raise InvalidArgumentError(f"yolo_ocr: {name}={value!r:.80}; expected {expected}")
    if params.get("classes") is not None and params.get("detector") is None:
        raise InvalidArgumentError(
            f"yolo_ocr: classes={params['classes']!r:.80} says what a detector looks for; add detector="
        )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _are_classes(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(one, str) or _is_whole(one) for one in value)
    )


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "detector": (
        lambda value: value is None or (isinstance(value, str) and bool(value)),
        "the path of an ONNX file, or None",
    ),
    "every_seconds": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "frames": (
        lambda value: value is None or (_is_whole(value) and value >= 1),
        "a whole number from 1, or None for one every_seconds",
    ),
    "confidence": (_is_share, "a number from 0 to 1"),
    "iou": (_is_share, "a number from 0 to 1"),
    "classes": (
        lambda value: value is None or _are_classes(value),
        "a list of names or numbers, such as ['person'], or None",
    ),
    "annotate": (lambda value: isinstance(value, bool), "True or False"),
}
