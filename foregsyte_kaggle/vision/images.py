"""An image file as a picture: red, green and blue, turned as it is to be shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foregsyte_kaggle.vision.letterbox import Image

__all__ = ["is_image", "read_image"]

#: First bytes of still images; a GIF is for PyAV, since it may move.
MAGIC = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"P4\n",
    b"P5\n",
    b"P6\n",
)


def is_image(path: Path) -> bool:
    """Return whether a file is a still image, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(16)
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def read_image(path: Path) -> Image:
    """Return the picture in an image file.

    Raises
    ------
    ValueError
        If it cannot be decoded.
    """
    import cv2

    # By its bytes, since OpenCV opens no file whose name is not UTF-8.
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # such as one with more pixels than it takes
        raise _unreadable(path, str(error.err)) from error
    if image is None:
        raise _unreadable(path, "it is damaged or cut short")
    picture: Image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return picture


def _unreadable(path: Path, reason: str) -> ValueError:
    name = path.name if path.name.isprintable() else ascii(path.name)
    return ValueError(f"{name}: not a readable image: {reason}")
