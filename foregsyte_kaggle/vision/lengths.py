"""How long a video is: by its headers, by its last packets, or by all of them."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["count_packets", "end_seconds", "said_seconds"]

#: Frames may be stored up to so many places from where they are shown.
MOST_REORDERED = 16


def said_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Return how long the headers say a video track is, or else its file; 0.0 if they say nothing."""
    return _in_seconds(stream, stream.duration or 0) or (container.duration or 0) / 1_000_000


def end_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Return how long a video track is by its last packets, since a header may say anything."""
    said = said_seconds(container, stream)
    if not said:
        return count_packets(container, stream)[1]
    # To any packet near the end, which is cheap also where few frames can be decoded by themselves.
    margin = 1.0 + MOST_REORDERED * _step(stream)
    end = _end_from(container, stream, said - margin, any_frame=True)
    if end is None or end < said - _step(stream):
        found = _end_from(container, stream, said, any_frame=False)
        end = max(end or 0.0, found or 0.0)
    return end or said


def count_packets(container: InputContainer, stream: VideoStream) -> tuple[int, float]:
    """Return how many frames there are and how many seconds they take, by reading the whole file."""
    count, start, end = 0, math.inf, 0.0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        count += 1
        shown = packet.dts if packet.pts is None else packet.pts
        if shown is not None:
            start, end = min(start, shown), max(end, shown + _ticks(packet.duration, stream))
    return count, _in_seconds(stream, end - start) if end > start else 0.0


def _end_from(
    container: InputContainer, stream: VideoStream, seconds: float, *, any_frame: bool
) -> float | None:
    """Return when the last of the packets from a time on ends; None if there are none."""
    import av

    start = stream.start_time or 0
    place = start + int(max(0.0, seconds) / float(stream.time_base or 1))
    with contextlib.suppress(av.FFmpegError):  # not every format can seek
        container.seek(place, stream=stream, any_frame=any_frame)
    end = None
    for packet in container.demux(stream):
        shown = packet.dts if packet.pts is None else packet.pts
        if packet.size and shown is not None:
            until = _in_seconds(stream, shown + _ticks(packet.duration, stream) - start)
            end = until if end is None else max(end, until)
    return end


def _ticks(duration: int | None, stream: VideoStream) -> float:
    """Return how long a packet's frame is shown."""
    return duration or _step(stream) / float(stream.time_base or 1)


def _step(stream: VideoStream) -> float:
    """Return how many seconds a frame is shown on average."""
    rate = stream.average_rate or stream.guessed_rate
    return 1 / float(rate) if rate else 1.0


def _in_seconds(stream: VideoStream, ticks: float) -> float:
    unit = stream.time_base
    return ticks * unit.numerator / unit.denominator if unit else 0.0
