"""Pictures out of a file, at most a few at a time: of a video by time or by number, of an image itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foregsyte_kaggle.surroundings import threads_per_worker
from foregsyte_kaggle.vision.images import is_image, read_image
from foregsyte_kaggle.vision.lengths import end_seconds
from foregsyte_kaggle.vision.letterbox import Image
from foregsyte_kaggle.vision.opening import open_video, unreadable
from foregsyte_kaggle.vision.timeline import Timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["Frame", "sample_frames"]


class Frame(NamedTuple):
    """A picture out of a file."""

    number: int
    """From 0, of those that were sampled."""
    seconds: float
    """When it begins to be shown; 0.0 for an image."""
    fraction: float
    """How much of the file is done with it, from 0 to 1."""
    image: Image


def sample_frames(
    path: Path, every_seconds: float = 1.0, count: int | None = None
) -> Iterator[Frame]:
    """Yield the frames of a video that are shown at even distances, each once; an image as one frame.

    Parameters
    ----------
    path
        The video or the image.
    every_seconds
        The distance, from the first frame on.
    count
        How many to take instead, from the middles of as many equal parts of the video; all where it has
        fewer.

    Raises
    ------
    ValueError
        If the file is neither, or no picture in it can be decoded.
    OSError
        If the file cannot be read.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a video or an image")
    if is_image(path):
        yield Frame(0, 0.0, 1.0, read_image(path))
        return
    with open_video(path) as (container, stream):
        length = end_seconds(container, stream)
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads_per_worker()
        timeline = Timeline(container, stream)
        chosen = (
            _by_distance(timeline, every_seconds)
            if count is None
            else _by_count(timeline, count, length)
        )
        number = 0
        for number, frame in enumerate(chosen, 1):
            seconds = timeline.seconds(frame)
            done = seconds + every_seconds if count is None else seconds + length / count
            fraction = min(1.0, done / length) if length > 0 else 0.0
            yield Frame(number - 1, seconds, fraction, _picture(frame))
        if number == 0:
            raise unreadable(path, "no frame of it can be decoded")


def _by_distance(timeline: Timeline, every_seconds: float) -> Iterator[VideoFrame]:
    step = 0
    while (frame := timeline.at(step * every_seconds)) is not None:
        yield frame
        following = timeline.next_seconds
        if following is None:
            return
        # A frame that is shown for long is not taken again.
        step = max(step + 1, math.ceil(following / every_seconds - 1e-6))


def _by_count(timeline: Timeline, count: int, length: float) -> Iterator[VideoFrame]:
    last = None
    for number in range(count):
        frame = timeline.at((number + 0.5) * length / count)
        if frame is not None and frame.pts != last:
            last = frame.pts
            yield frame


def _picture(frame: VideoFrame) -> Image:
    """Return a frame in red, green and blue, turned as it is shown."""
    image: Any = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
