"""Whether a file is a whole video, by its first bytes and the sizes that are written in it.

FFmpeg says no more than "Invalid data" to most files that are none, and opens one without its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from foregsyte_kaggle.file_types import HEAD_BYTES, MATROSKA_MAGIC, type_by_content

__all__ = ["Layout", "read_layout"]

MATROSKA_SEGMENT = b"\x18S\x80g"


class Layout(NamedTuple):
    """What the first bytes of a file, and the sizes written in it, tell about it."""

    fault: str | None = None
    """Why it is no whole video, whatever PyAV makes of it."""
    nature: str | None = None
    """Why it is no video in case that PyAV cannot open it."""


def read_layout(path: Path) -> Layout:
    """Look at the first bytes of a file, and at where its parts end."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, os.SEEK_END)
        kind = type_by_content(head)
        if kind in {"video/mp4", "video/quicktime"}:
            return _mp4_layout(file, size)
        if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
            return Layout(fault=_cut_short(_avi_end(file, size), size))
    if not head:
        return Layout(nature="the file is empty (0 bytes)")
    if head.startswith(MATROSKA_MAGIC):
        return Layout(fault=_cut_short(_matroska_end(head), size))
    if kind in {"image/avif", "image/heic"}:
        return Layout(fault=f"the file is a still image ({kind})")
    if kind == "text/plain":
        # Not for PyAV to see: given a playlist, FFmpeg waits for ever for what is listed.
        first_line = head.decode(errors="ignore").strip().partition("\n")[0]
        return Layout(fault=f"the file holds text, starting with {first_line[:60].strip()!r}")
    return Layout(nature=f"the file holds {kind}" if kind else None)


def _mp4_layout(file: BinaryIO, size: int) -> Layout:
    ends = dict(_mp4_atoms(file, size))
    if b"moov" not in ends:
        reason = "moov atom not found (the file is truncated or was not uploaded completely)"
        return Layout(nature=reason)
    # Other atoms than these may be anything that a tool left at the end.
    end = max(ends.get(kind, 0) for kind in (b"moov", b"moof", b"mdat"))
    return Layout(fault=_cut_short(end, size))


def _mp4_atoms(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the end of each outermost atom, as its header has it."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        end = start + length if length else size
        yield header[4:8], end
        if end < start + 8:
            return
        start = end


def _avi_end(file: BinaryIO, size: int) -> int:
    """Return where the file ends by its header, 0 when that does not say, as in a recording."""
    start = end = 0
    while start + 8 <= size:  # a large file has several parts
        file.seek(start)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        start = end = start + 8 + length
    return end


def _matroska_end(head: bytes) -> int:
    """Return where the file ends by its header, 0 when that does not say, as in a recording."""
    length, start = _matroska_length(head, len(MATROSKA_MAGIC))
    segment = start + length
    if not head.startswith(MATROSKA_SEGMENT, segment):
        return 0
    length, start = _matroska_length(head, segment + len(MATROSKA_SEGMENT))
    return start + length if length else 0


def _matroska_length(head: bytes, start: int) -> tuple[int, int]:
    """Return an element's length, 0 when it is left open, and where its content starts."""
    width = 9 - int.from_bytes(head[start : start + 1], "big").bit_length()
    mask = (1 << 7 * width) - 1
    length = int.from_bytes(head[start : start + width], "big") & mask
    return 0 if length == mask else length, start + width


def _cut_short(expected_bytes: int, size: int) -> str | None:
    if expected_bytes <= size:
        return None
    has = f"it has {size} of its {expected_bytes} bytes"
    return f"the file is truncated or was not uploaded completely ({has})"
