"""Opening a video: its first video track, or the reason why there is none to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from foregsyte_kaggle.vision.wholeness import read_layout

if TYPE_CHECKING:
    from av import FFmpegError
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["UnreadableVideoError", "open_video", "unreadable"]


class UnreadableVideoError(ValueError):
    """A file in which there is no video that can be read; the message says why."""


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

    layout = read_layout(path)
    if layout.fault is not None:
        raise unreadable(path, layout.fault)
    try:
        with _open_container(path) as container:
            yield container, _first_video(container, path)
    except av.FFmpegError as error:
        raise unreadable(path, layout.nature or _words(error)) from error


def _words(error: FFmpegError) -> str:
    if isinstance(error, EOFError):
        return "the file ends before the first frame"
    return f"PyAV says: {error.strerror}"


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


def _first_video(container: InputContainer, path: Path) -> VideoStream:
    """Return the first video track; FFmpeg also takes text, photos and a song's cover for one."""
    from av.stream import Disposition

    form = container.format.name
    if form == "tty":
        raise unreadable(path, "the file holds text")
    if form == "image2" or form.endswith("_pipe"):
        raise unreadable(path, "the file is a still image")
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            # PyAV's types leave out that an unknown codec has no context.
            if cast("object", stream.codec_context) is None:
                raise unreadable(path, "PyAV knows no decoder for its video codec")
            return stream
    what_else = "only audio" if container.streams.audio else "and no audio either"
    raise unreadable(path, f"there is no video track in it, {what_else}")


def unreadable(path: Path, reason: str) -> UnreadableVideoError:
    """Return the error that names a file and says what is wrong with it."""
    # A name may hold line breaks or undecodable bytes; a message is one line that can be stored.
    name = path.name if path.name.isprintable() else ascii(path.name)
    return UnreadableVideoError(f"{name}: not a readable video: {reason}")
