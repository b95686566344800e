"""A picture in the size that a model wants: scaled evenly, grey around it, and boxes scaled back."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foregsyte_kaggle.vision.boxes import Floats

__all__ = ["Image", "Placement", "letterbox", "padded_size"]

#: Rows, columns, and red, green and blue from 0 to 255.
Image: TypeAlias = NDArray[np.uint8]

GREY = 114  # what YOLO models are trained with around a picture


class Placement(NamedTuple):
    """Where a picture is in a letterbox."""

    scale_x: float
    """By so much the picture is larger here: whole pixels make it differ a little between the two sides."""
    scale_y: float
    left: int
    top: int
    width: int
    """Of the picture itself, in pixels."""
    height: int

    def undo(self, boxes: Floats) -> Floats:
        """Return boxes in pixels of the picture, cut at its edges."""
        offset = np.array([self.left, self.top] * 2)
        scale = np.array([self.scale_x, self.scale_y] * 2)
        edges = np.array([self.width, self.height] * 2)
        inside: Floats = np.clip((boxes - offset) / scale, 0, edges)
        return inside


def letterbox(image: Image, size: tuple[int, int]) -> tuple[Image, Placement]:
    """Return a picture scaled into ``(height, width)`` in the middle of grey, and where it is there."""
    import cv2

    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    if inner != (height, width):
        image = _resize(cv2, image, inner)
    spare = size[0] - inner[0], size[1] - inner[1]
    top, left = spare[0] // 2, spare[1] // 2
    framed: Any = cv2.copyMakeBorder(
        image,
        top,
        spare[0] - top,
        left,
        spare[1] - left,
        cv2.BORDER_CONSTANT,
        value=(GREY, GREY, GREY),
    )
    return framed, Placement(inner[1] / width, inner[0] / height, left, top, width, height)


def padded_size(height: int, width: int, longest: int, stride: int) -> tuple[int, int]:
    """Return the smallest ``(height, width)`` in whole strides that holds a picture scaled to ``longest``."""
    scale = longest / max(height, width)
    return _in_strides(height * scale, stride), _in_strides(width * scale, stride)


def _in_strides(length: float, stride: int) -> int:
    return max(1, -(-round(length) // stride)) * stride


def _resize(cv2: Any, image: Image, size: tuple[int, int]) -> Image:
    resized: Image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return resized
