"""A video's middle frame, with PyAV."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.previews.preview import MOST_PIXELS, Preview, TimedFile, as_data_uri
from foregsyte_kaggle.vision.thumbnails import frame_as_jpeg

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["preview_video", "video_format"]

#: How long it may go on to the middle, in seconds; then the frame that it came to is shown.
DECODING_SECONDS = 2.0

#: FFmpeg's names of formats by the first bytes, so that it neither guesses nor follows a playlist.
MAGIC = {
    b"\x1aE\xdf\xa3": "matroska",
    b"FLV\x01": "flv",
    b"\x00\x00\x01\xba": "mpeg",
    b"0&\xb2u\x8ef\xcf\x11": "asf",
}
STILL_BRANDS = {b"avif", b"heic", b"heix", b"mif1", b"M4A "}


def video_format(head: bytes) -> str | None:
    """Return FFmpeg's name of a video's format by its first bytes; None if it is none."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide"} and head[8:12] not in STILL_BRANDS:
        return "mov"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head[:1] == head[188:189] == head[376:377] == b"G":  # packets of 188 bytes
        return "mpegts"
    return None


def preview_video(path: Path, form: str, side: int) -> Preview:
    """Return the middle frame; may raise what PyAV raises for a damaged file, or if it is missing."""
    import av

    # Nothing in the data may open a connection or another file.
    settings: dict[str, Any] = {"options": {"protocol_whitelist": "file"}}
    if int(av.__version__.partition(".")[0]) < 19:
        settings["metadata_errors"] = "replace"  # a title that is not UTF-8
    with TimedFile(path) as file, av.open(file, "r", format=form, **settings) as container:
        videos = container.streams.video
        if not videos or videos[0].codec_context is None:
            return Preview(note="There is no video in the file that PyAV can read.")
        stream = videos[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        said = f"{width:,} by {height:,} pixels"
        if width * height > MOST_PIXELS:
            return Preview(note=f"The video has too many pixels for a preview: {said}.")
        frame, seconds = _middle_frame(container, stream)
        if frame is None:
            return Preview(note="The video has no frame that can be decoded.")
        data = frame_as_jpeg(frame, float(stream.sample_aspect_ratio or 1), side)
    where = "" if seconds is None else f", at {seconds:,.1f} s"
    return Preview(
        kind="image", data_uri=as_data_uri("image/jpeg", data), note=f"A frame of {said}{where}."
    )


def _middle_frame(
    container: InputContainer, stream: VideoStream
) -> tuple[VideoFrame | None, float | None]:
    """Return a frame near the middle, and at how many seconds it is."""
    import av

    unit, start = stream.time_base, stream.start_time or 0
    length = stream.duration or 0
    if not length and container.duration and unit:
        length = int(container.duration / av.time_base / unit)
    middle = start + length // 2
    found = None
    # Some formats find no picture there that stands for itself, and are read from their start; from a
    # second before it, since frames are decoded in another order than they are shown.
    for place in (middle, start - int(1 / unit) if unit else start):
        with contextlib.suppress(av.FFmpegError):  # not every format can seek
            container.seek(place, stream=stream)
        found = _last_frame(container, stream, middle)
        if found is not None:
            break
    if found is None or found.pts is None or not unit:
        return found, None
    return found, float((found.pts - start) * unit)


def _last_frame(container: InputContainer, stream: VideoStream, until: int) -> VideoFrame | None:
    """Return the last frame that is shown up to a time, or else the first after it."""
    import av

    found = None
    with contextlib.suppress(av.FFmpegError):
        for frame in _frames(container, stream):
            if found is None or (frame.pts is not None and frame.pts <= until):
                found = frame
            if frame.pts is None or frame.pts >= until:
                break
    return found


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield what can be decoded from here on, for as long as decoding may take."""
    import av

    until = time.monotonic() + DECODING_SECONDS
    for packet in container.demux(stream):
        with contextlib.suppress(av.FFmpegError):  # what is damaged is passed over
            yield from packet.decode()
        if time.monotonic() > until:
            break
    else:
        return
    with contextlib.suppress(av.FFmpegError):
        yield from stream.decode(None)  # what the decoder still holds
