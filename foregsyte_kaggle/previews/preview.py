"""What a preview is, and the words and limits that all kinds of it share."""

from __future__ import annotations

import base64
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foregsyte_kaggle.quantities import in_bytes

__all__ = [
    "CELL_CHARACTERS",
    "MOST_PIXELS",
    "SIDE",
    "Preview",
    "TimedFile",
    "as_data_uri",
    "cut_cell",
    "in_bytes",
]

#: Pixels of the longer side of a picture.
SIDE = 320

#: Larger pictures are not decoded: each pixel takes up to 4 bytes of memory.
MOST_PIXELS = 50_000_000

#: How long a file may be read, in seconds: it may be far away, or made to take long.
SECONDS = 5.0

#: Characters of a cell of a table.
CELL_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A file as it can be shown.

    Attributes
    ----------
    kind : str
        ``"image"``, ``"text"``, ``"table"``, or ``"none"`` where only the note says something.
    data_uri : str
        The picture: JPEG, PNG, GIF or WebP in base 64.
    text : str
        The first lines, as they are in the file.
    header : tuple of str
        Names of a table's first columns.
    rows : tuple of tuple of (str or None)
        Its first rows; None is a missing value.
    note : str
        A sentence: what is shown of how much, or why nothing is.
    """

    kind: Literal["image", "text", "table", "none"] = "none"
    data_uri: str = ""
    text: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    note: str = ""


class TimedFile(io.FileIO):
    """A file to read that seems to end once its time is over, whoever reads it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._until = time.monotonic() + SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, as any file does."""
        if time.monotonic() > self._until:
            return b""
        return super().read(-1 if size is None else size) or b""


def as_data_uri(mime_type: str, data: bytes) -> str:
    """Return bytes as an address that holds them."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def cut_cell(text: str) -> str:
    """Return the beginning of a cell's text."""
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"
