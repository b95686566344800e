"""The built-in pipelines: facts about a file, facts about a video.

A worker imports this module by name, so everything but the standard library waits until a pipeline
needs it.
"""

from __future__ import annotations

import codecs
import hashlib
import mimetypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Row: TypeAlias = dict[str, int | float | str]

_HEAD_BYTES = 4096
_UNKNOWN_TYPE = "application/octet-stream"
_COMPRESSED_TYPES = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}
_MAGIC_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"PK\x05\x06": "application/zip",
    b"\x1f\x8b": "application/gzip",
    b"PAR1": "application/vnd.apache.parquet",
}
# The brand that follows "ftyp"; every other one is taken for MP4.
_BRAND_TYPES = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"avif": "image/avif",
    b"heic": "image/heic",
}
_MATROSKA_MAGIC = b"\x1aE\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18S\x80g"
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


class UnreadableVideoError(ValueError):
    """A file in which `video_info` finds no video it can read; the message says why."""


def file_info(path: Path) -> Row:
    """Describe any file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        ``size_bytes``; ``sha256`` in hex; ``mime_type``, which goes by the suffix of the name, by
        the first bytes where the suffix says nothing, and else is ``application/octet-stream``.

    Raises
    ------
    IsADirectoryError
        If the path is a folder.
    OSError
        If the file cannot be read.
    """
    _refuse_folder(path, "file_info")
    with path.open("rb") as file:
        mime_type = _type_by_name(path) or _type_by_content(file.read(_HEAD_BYTES)) or _UNKNOWN_TYPE
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = os.fstat(file.fileno()).st_size
    return {"size_bytes": size_bytes, "sha256": sha256, "mime_type": mime_type}


def video_info(path: Path) -> Row:
    """Describe the first video track of a file, without decoding it.

    Parameters
    ----------
    path
        The video.

    Returns
    -------
    dict
        ``container`` (``mp4``, ``mov``, ``mkv``, ``webm``, ``avi``, …); ``codec``; ``width`` and
        ``height`` in pixels as stored, before any rotation; ``fps``, an average, 0.0 when unknown;
        ``frames``, counted where the header does not say; ``duration_seconds``; ``audio_streams``,
        how many there are.

    Raises
    ------
    UnreadableVideoError
        If the file is empty, cut short, no video, or of a codec that PyAV does not know.
    ImportError
        If PyAV is not installed.
    IsADirectoryError
        If the path is a folder.
    OSError
        If the file cannot be read.
    """
    _refuse_folder(path, "video_info")
    try:
        import av  # noqa: F401 - to say what to install
    except ImportError as error:
        msg = "video_info needs PyAV: pip install 'foregsyte-kaggle[vision]'"
        raise ImportError(msg) from error
    with open_video(path) as (container, stream):
        return _describe(container, stream, path)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file with PyAV and find its first video track.

    Raises
    ------
    UnreadableVideoError
        If there is none that can be read; also in place of what FFmpeg raises while it is open.
    OSError
        If the file cannot be read.
    """
    import av

    layout = _read_layout(path)
    if layout.fault is not None:
        raise _unreadable(path, layout.fault)
    try:
        with _open_container(path) as container:
            yield container, _first_video(container, path)
    except av.FFmpegError as error:
        raise _unreadable(path, layout.nature or f"PyAV says: {error.strerror}") from error


def _open_container(path: Path) -> InputContainer:
    import av

    # Nothing in the data may make a worker open a connection.
    settings: dict[str, Any] = {"options": {"protocol_whitelist": "file"}}
    if int(av.__version__.partition(".")[0]) < 19:
        # These refuse a video whose title is not UTF-8, unless told; later ones need no telling.
        settings["metadata_errors"] = "replace"
    # The prefix keeps a colon in a file name from meaning a protocol.
    container: InputContainer = av.open(f"file:{path}", "r", **settings)
    return container


def _describe(container: InputContainer, stream: VideoStream, path: Path) -> Row:
    frames, duration_seconds = _length(container, stream)
    if not frames:
        raise _unreadable(path, "its video track holds no frames")
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return {
        "container": _container_name(container.format.name, path),
        "codec": str(stream.codec_context.codec.canonical_name),
        "width": int(stream.codec_context.width),
        "height": int(stream.codec_context.height),
        "fps": float(rate or 0),
        "frames": frames,
        "duration_seconds": duration_seconds,
        "audio_streams": len(container.streams.audio),
    }


def _first_video(container: InputContainer, path: Path) -> VideoStream:
    """Return the first video track; FFmpeg also takes text, photos and a song's cover for one."""
    from av.stream import Disposition

    form = container.format.name
    if form == "tty":
        raise _unreadable(path, "the file holds text")
    if form == "image2" or form.endswith("_pipe"):
        raise _unreadable(path, "the file is a still image")
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            # PyAV's types leave out that an unknown codec has no context.
            if cast("object", stream.codec_context) is None:
                raise _unreadable(path, "PyAV knows no decoder for its video codec")
            return stream
    what_else = "only audio" if container.streams.audio else "and no audio either"
    raise _unreadable(path, f"there is no video track in it, {what_else}")


def _length(container: InputContainer, stream: VideoStream) -> tuple[int, float]:
    """Return the number of frames and the seconds, from the headers as far as they say."""
    frames = int(stream.frames)
    seconds = _seconds(stream, stream.duration or 0) or (container.duration or 0) / 1_000_000
    if frames and seconds:
        return frames, seconds
    counted, end_seconds = _count_packets(container, stream)
    return frames or counted, seconds or end_seconds


def _count_packets(container: InputContainer, stream: VideoStream) -> tuple[int, float]:
    """Count the frames by reading the whole file; also return how many seconds they take."""
    count, start, end = 0, None, 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        count += 1
        shown = packet.dts if packet.pts is None else packet.pts
        if shown is not None:
            start = shown if start is None else min(start, shown)
            end = max(end, shown + (packet.duration or 0))
    return count, _seconds(stream, end - (start or 0))


def _seconds(stream: VideoStream, ticks: int) -> float:
    unit = stream.time_base
    return ticks * unit.numerator / unit.denominator if unit else 0.0


def _container_name(form: str, path: Path) -> str:
    """Pick one of the names of a family of containers, such as ``mov,mp4,m4a,3gp,3g2,mj2``."""
    names = form.replace("matroska", "mkv").split(",")
    suffix = path.suffix.lower().removeprefix(".")
    if suffix in names:
        return suffix
    return "mp4" if "mp4" in names else names[0]


class _Layout(NamedTuple):
    """What the first bytes of a file, and the sizes written in it, tell about it."""

    fault: str | None = None
    """Why it is no whole video, whatever PyAV makes of it."""
    nature: str | None = None
    """Why it is no video in case that PyAV cannot open it."""


def _read_layout(path: Path) -> _Layout:
    # FFmpeg says no more than "Invalid data" to most of these, and opens a file without its end.
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        size = file.seek(0, os.SEEK_END)
        kind = _type_by_content(head)
        if kind in {"video/mp4", "video/quicktime"}:
            return _mp4_layout(file, size)
    if not head:
        return _Layout(nature="the file is empty (0 bytes)")
    if head.startswith(_MATROSKA_MAGIC):
        return _Layout(fault=_cut_short(_matroska_end(head), size))
    if kind in {"image/avif", "image/heic"}:
        return _Layout(fault=f"the file is a still image ({kind})")
    if kind == "text/plain":
        # Not for PyAV to see: given a playlist, FFmpeg waits for ever for what is listed.
        first_line = head.decode(errors="ignore").strip().partition("\n")[0]
        return _Layout(fault=f"the file holds text, starting with {first_line[:60].strip()!r}")
    return _Layout(nature=f"the file holds {kind}" if kind else None)


def _mp4_layout(file: BinaryIO, size: int) -> _Layout:
    ends = dict(_mp4_atoms(file, size))
    if b"moov" not in ends:
        reason = "moov atom not found (the file is truncated or was not uploaded completely)"
        return _Layout(nature=reason)
    # Other atoms than these may be anything that a tool left at the end.
    end = max(ends.get(kind, 0) for kind in (b"moov", b"moof", b"mdat"))
    return _Layout(fault=_cut_short(end, size))


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


def _matroska_end(head: bytes) -> int:
    """Return where the file ends by its header, 0 when that does not say, as in a recording."""
    length, start = _matroska_length(head, len(_MATROSKA_MAGIC))
    segment = start + length
    if not head.startswith(_MATROSKA_SEGMENT, segment):
        return 0
    length, start = _matroska_length(head, segment + len(_MATROSKA_SEGMENT))
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


def _unreadable(path: Path, reason: str) -> UnreadableVideoError:
    # A name may hold line breaks or undecodable bytes; a message is one line that can be stored.
    name = path.name if path.name.isprintable() else ascii(path.name)
    return UnreadableVideoError(f"{name}: not a readable video: {reason}")


def _refuse_folder(path: Path | str, pipeline_id: str) -> None:
    if isinstance(path, str):  # as ids and URLs come
        msg = f"{pipeline_id} takes a file, and got the id or URL {path!r}: register paths for it"
        raise TypeError(msg)
    if path.is_dir():
        msg = f"{path} is a folder and {pipeline_id} takes one file: register with unit='file'"
        raise IsADirectoryError(msg)


@cache
def _known_names() -> mimetypes.MimeTypes:
    # Without the system's list, by which a .ts file is a translation on many machines.
    return mimetypes.MimeTypes()


def _type_by_name(path: Path) -> str | None:
    # Only the suffixes, since guess_type reads a name such as "data:x.mp4" as a URL.
    kind, encoding = _known_names().guess_type("name" + "".join(path.suffixes[-2:]), strict=False)
    return kind if encoding is None else _COMPRESSED_TYPES.get(encoding)


def _type_by_content(head: bytes) -> str | None:
    for magic, kind in _MAGIC_TYPES.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return _BRAND_TYPES.get(head[8:12], "video/mp4")
    if head[4:8] in {b"moov", b"mdat", b"wide"}:
        return "video/quicktime"
    if head.startswith(_MATROSKA_MAGIC):
        return "video/webm" if b"webm" in head[:64] else "video/matroska"
    return "text/plain" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    try:
        # Incremental, since the head may end in the middle of a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and not _CONTROL_CHARACTERS.search(text)
