"""One picture of the frames that were looked at, with what was found on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foregsyte_kaggle.vision.letterbox import Image

if TYPE_CHECKING:
    from foregsyte_kaggle.vision.frames import Frame

__all__ = ["ContactSheet"]

#: How many frames it shows at most, whatever the video's length.
MOST_FRAMES = 48
COLUMNS = 6
#: A JPEG file is 65,500 pixels high at most.
MOST_CAPTIONS = 8
THUMB_WIDTH = 320
CAPTION_HEIGHT = 20
LINE_COLOUR = (255, 210, 0)
TEXT_COLOUR = (255, 255, 255)
QUALITY = 85


class ContactSheet:
    """Collects small copies of frames: every one, then every second, every fourth, as they get many."""

    def __init__(self) -> None:
        self._thumbs: list[Image] = []
        self._room: Image | None = None
        self._every = 1

    def add(self, frame: Frame, rows: Sequence[dict[str, Any]]) -> None:
        """Add a frame and the rows about it, if it is one of those that are shown."""
        if frame.number % self._every:
            return
        if len(self._thumbs) == MOST_FRAMES:
            every_second, self._thumbs = self._thumbs[::2], []
            for thumb in every_second:
                self._thumbs.append(self._kept(thumb))
            self._every *= 2
            if frame.number % self._every:
                return
        self._thumbs.append(self._kept(_thumb(frame, rows)))

    def _kept(self, thumb: Image) -> Image:
        """Copy a small picture beside the others: each on its own would keep memory of frames in pieces."""
        if self._room is None:
            most = thumb.shape[0] + CAPTION_HEIGHT * MOST_CAPTIONS
            self._room = np.empty((MOST_FRAMES, most, THUMB_WIDTH, 3), np.uint8)
        if thumb.shape[0] > self._room.shape[1]:  # a video whose pictures change their shape
            return thumb
        place = self._room[len(self._thumbs), : thumb.shape[0]]
        place[:] = thumb
        return place

    def jpeg(self) -> bytes:
        """Return the sheet as a JPEG file."""
        import cv2

        columns = min(COLUMNS, max(1, math.ceil(math.sqrt(len(self._thumbs)))))
        lines = [
            self._thumbs[first : first + columns] for first in range(0, len(self._thumbs), columns)
        ]
        heights = [max(thumb.shape[0] for thumb in line) for line in lines]
        # Filled in place: joined line by line, it would be in memory three times.
        sheet = np.zeros((sum(heights), columns * THUMB_WIDTH, 3), np.uint8)
        top = 0
        for line, height in zip(lines, heights, strict=True):
            for column, thumb in enumerate(line):
                left = column * THUMB_WIDTH
                sheet[top : top + thumb.shape[0], left : left + THUMB_WIDTH] = thumb[:, :, ::-1]
            top += height
        _, data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return data.tobytes()


def _thumb(frame: Frame, rows: Sequence[dict[str, Any]]) -> Image:
    import cv2

    height, width = frame.image.shape[:2]
    scale = THUMB_WIDTH / width
    size = THUMB_WIDTH, min(4 * THUMB_WIDTH, max(1, round(height * scale)))
    thumb: Any = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
    for row in rows:
        x1, x2 = round(row["x1"] * scale), round(row["x2"] * scale)
        y1, y2 = round(row["y1"] * size[1] / height), round(row["y2"] * size[1] / height)
        cv2.rectangle(thumb, (x1, y1), (x2, y2), LINE_COLOUR, 1)
    time = f"{frame.seconds:,.2f} s"
    said = [f"{row['label'] or ''} {row['text'] or ''}".strip() for row in rows]
    if len(said) > MOST_CAPTIONS:
        said = [*said[: MOST_CAPTIONS - 1], f"and {len(said) - MOST_CAPTIONS + 1:,} more"]
    captions = [f"{time}  {said[0]}" if said else time, *said[1:]]
    under = np.zeros((CAPTION_HEIGHT * len(captions), THUMB_WIDTH, 3), np.uint8)
    for number, caption in enumerate(captions):
        # OpenCV's own letters are those of ASCII.
        shown = " / ".join(caption.split("\n")).encode("ascii", "replace").decode()
        place = (4, CAPTION_HEIGHT * number + 14)
        cv2.putText(under, shown, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, TEXT_COLOUR, 1, cv2.LINE_AA)
    return np.concatenate([thumb, under])
