"""A frame as a small JPEG, as it is shown: turned, and with pixels as wide as high.

PyAV encodes it, so that a thumbnail needs no other library than the one that decoded the frame.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.surroundings import threads_per_worker
from foregsyte_kaggle.vision.opening import open_video, unreadable
from foregsyte_kaggle.vision.timeline import Timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["SIDE", "frame_as_jpeg", "video_thumbnail"]

#: Pixels of the longer side, at most.
SIDE = 320

#: Parts of the length at which a frame is looked for that shows something.
PLACES = (0.1, 0.3, 0.5)

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
        timeline = Timeline(container, stream)
        # The first one comes first, since only from a frame on does the timeline jump.
        chosen = timeline.at(0.0)
        if chosen is None:
            raise unreadable(path, "no frame of it can be decoded")
        for place in PLACES:
            frame = timeline.at(place * length)
            if frame is not None and _shows_something(frame):
                chosen = frame
                break
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


def _shows_something(frame: VideoFrame) -> bool:
    tiny: Any = frame.reformat(32, 32, "gray").to_ndarray()
    return bool(tiny.std() >= LEAST_CONTRAST)
