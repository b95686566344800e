"""A frame as a small JPEG, as it is shown: turned, and with pixels as wide as high.

PyAV encodes it, so that a thumbnail needs no other library than the one that decoded the frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.surroundings import threads_per_worker
from foregsyte_kaggle.vision.opening import open_video, unreadable

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["SIDE", "frame_as_jpeg", "video_thumbnail"]

#: Pixels of the longer side, at most.
SIDE = 320

#: Parts of the length at which a frame is looked for that shows something.
PLACES = (0.1, 0.3, 0.5)

#: How many frames are decoded on the way to such a place: in some videos only the first one stands for itself.
MOST_DECODED = 300

#: A frame whose greys differ by less, as standard deviation, is taken for empty, such as a black one.
LEAST_CONTRAST = 4.0


def video_thumbnail(path: Path, length: float) -> bytes:
    """Return a frame from near the beginning of a video that is not of one colour, if there is such.

    Parameters
    ----------
    path
        The video.
    length
        In seconds.

    Raises
    ------
    UnreadableVideoError
        If no frame can be decoded, besides what ``open_video`` raises.
    """
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads_per_worker()
        chosen = None
        for frame in _frames_to_choose_from(container, stream, length):
            if _shows_something(frame):
                chosen = frame
                break
            chosen = chosen or frame
        if chosen is None:
            raise unreadable(path, "no frame of it can be decoded")
        return frame_as_jpeg(chosen, float(stream.sample_aspect_ratio or 1))


def frame_as_jpeg(frame: VideoFrame, aspect: float = 1.0, side: int = SIDE) -> bytes:
    """Return a frame as a small JPEG file.

    Parameters
    ----------
    frame
        As it was decoded.
    aspect
        How many times wider than high a pixel is shown.
    side
        The longer side in pixels, at most; a smaller frame is not made larger.
    """
    import av
    import numpy as np

    width, height = frame.width * aspect, float(frame.height)
    scale = min(1.0, side / max(width, height, 1))
    small = frame.reformat(max(2, round(width * scale)), max(2, round(height * scale)), "rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    if turns:
        turned: Any = np.ascontiguousarray(np.rot90(small.to_ndarray(), turns))
        small = av.VideoFrame.from_ndarray(turned, format="rgb24")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = small.width, small.height
    encoder.pix_fmt = "yuvj420p"  # of the full range of values, as JPEG has them
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "3", "qmax": "3"}
    picture = small.reformat(format="yuvj420p")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def _frames_to_choose_from(
    container: InputContainer, stream: VideoStream, length: float
) -> Iterator[VideoFrame]:
    start, unit = stream.start_time or 0, float(stream.time_base or 1)
    # At last from before the start, since frames are decoded in another order than they are shown.
    for seconds in (*(place * length for place in PLACES), -1.0):
        frame = _frame_near(container, stream, start + int(seconds / unit))
        if frame is not None:
            yield frame


def _frame_near(container: InputContainer, stream: VideoStream, ticks: int) -> VideoFrame | None:
    """Return the first frame from a time on, or the one that decoding comes to before it takes long."""
    import av

    with contextlib.suppress(av.FFmpegError):  # not every format can seek
        container.seek(ticks, stream=stream)
    found, decoded = None, 0
    for packet in container.demux(stream):
        with contextlib.suppress(av.FFmpegError):  # what is damaged is passed over
            for found in packet.decode():
                decoded += 1
                if found.pts is None or found.pts >= ticks or decoded >= MOST_DECODED:
                    return found
    return found


def _shows_something(frame: VideoFrame) -> bool:
    tiny: Any = frame.reformat(32, 32, "gray").to_ndarray()
    return bool(tiny.std() >= LEAST_CONTRAST)
