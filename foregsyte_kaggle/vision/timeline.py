"""A video by time: the frame that is shown at a moment, by decoding up to it or by jumping near it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["Timeline"]


class Timeline:
    """The frames of a video track, by seconds from its first one; asked for in order of time.

    It holds two frames: the one that was asked for, and the next. Whether a jump skips anything depends
    on how far apart the frames are that can be decoded by themselves, which no header says: so a jump
    is tried, and one that brought too little is tried again only over more than twice the distance.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        unit, rate = stream.time_base, stream.average_rate or stream.guessed_rate
        self._unit = float(unit) if unit else 1.0
        self._step = 1 / float(rate) / self._unit if rate else 1.0
        self._goes_by_dts = container.format.name == "avi"
        # Without times of its own a file says no place to go to; in AVI files a jump may land beside it.
        can_jump = stream.start_time is not None and not self._goes_by_dts
        self._jumps_from: float | None = 0.0 if can_jump else None
        self._frames = self._decode()
        self._current: VideoFrame | None = None
        self._next = next(self._frames, None)
        self._start = 0 if self._next is None else self._next.pts or 0

    @property
    def next_seconds(self) -> float | None:
        """When the frame behind the one that was asked for is shown; None at the end."""
        return None if self._next is None else self.seconds(self._next)

    def seconds(self, frame: VideoFrame) -> float:
        """Return when a frame is shown."""
        return ((frame.pts or 0) - self._start) * self._unit

    def at(self, seconds: float) -> VideoFrame | None:
        """Return the frame shown at a time, or the first if none is yet; None from the end on."""
        # A little more, since files round times to their ticks, up or down.
        ticks = self._start + seconds / self._unit + min(0.5, 0.0005 / self._unit)
        self._jump(ticks)
        while self._next is not None and (self._current is None or _shown(self._next) <= ticks):
            self._current, self._next = self._next, next(self._frames, None)
        current = self._current
        if current is None or self._next is not None:
            return current
        length = getattr(current, "duration", 0) or self._step
        return current if ticks < _shown(current) + length else None

    def _jump(self, ticks: float) -> None:
        """Go to the last place before a time from which can be decoded, if that is nearer."""
        if self._current is None or self._next is None or self._jumps_from is None:
            return
        here = _shown(self._next)
        distance = ticks - here
        if distance <= max(self._jumps_from, self._step):
            return
        found = self._decode_from(int(ticks))
        if found is None or _shown(found) > ticks:
            # This file has no such places, or lies about them: from its start, and no jump any more.
            self._jumps_from = None
            found = self._decode_from(self._start - int(1 / self._unit))
        elif _shown(found) - here < distance / 2:
            self._jumps_from = 2 * distance
        self._current, self._next = None, found

    def _decode_from(self, ticks: int) -> VideoFrame | None:
        import av

        with contextlib.suppress(av.FFmpegError):  # not every format can seek
            self._container.seek(ticks, stream=self._stream)
        self._frames = self._decode()
        return next(self._frames, None)

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield the frames from here on, each with a time; what is damaged is passed over."""
        import av

        last: VideoFrame | None = None
        shift = 0
        for packet in self._container.demux(self._stream):
            with contextlib.suppress(av.FFmpegError):
                for frame in packet.decode():
                    # An AVI file says in which order frames are decoded; how long each is shown is right.
                    if self._goes_by_dts and last is not None and frame.dts is not None:
                        frame.pts = frame.dts + shift
                    elif frame.pts is None or (self._goes_by_dts and last is not None):
                        frame.pts = 0 if last is None else round(_shown(last) + self._step)
                    if last is None:
                        shift = (frame.pts or 0) - (frame.dts or 0)
                    last = frame
                    yield frame


def _shown(frame: VideoFrame) -> float:
    return float(frame.pts or 0)
