"""What the headers of a video say, checked by its last packets, without decoding it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from foregsyte_kaggle.vision.lengths import count_packets, end_seconds, said_seconds
from foregsyte_kaggle.vision.opening import open_video, unreadable

__all__ = ["VideoFacts", "describe_video"]

VideoFacts: TypeAlias = "dict[str, int | float | str]"

#: Headers round, and not all say how long the last frame is shown.
TOLERANCE_SECONDS = 0.25


def describe_video(path: Path) -> VideoFacts:
    """Return what ``video_info`` returns about a file; raises what ``open_video`` does."""
    with open_video(path) as (container, stream):
        fps = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
        facts: VideoFacts = {
            "container": _container_name(container.format.name, path),
            "codec": str(stream.codec_context.codec.canonical_name),
            "width": int(stream.codec_context.width),
            "height": int(stream.codec_context.height),
            "fps": fps,
        }
        audio_streams = len(container.streams.audio)
        frames, said = int(stream.frames), said_seconds(container, stream)
        is_counted = not (frames and said)
        if is_counted:
            counted, end = count_packets(container, stream)
            frames = frames or counted
        else:
            end = end_seconds(container, stream)
    if said and _agree(said, end, fps):
        seconds = said
    elif is_counted:
        seconds = end
    else:
        # What is wrong about its length may be about its frames as well.
        with open_video(path) as (container, stream):
            frames, seconds = count_packets(container, stream)
    if not frames:
        raise unreadable(path, "its video track holds no frames")
    length = {"frames": frames, "duration_seconds": seconds, "audio_streams": audio_streams}
    return facts | length


def _agree(said: float, end: float, fps: float) -> bool:
    two_frames = 2 / fps if fps else 0.0
    return abs(said - end) <= max(TOLERANCE_SECONDS, two_frames, 0.01 * end)


def _container_name(form: str, path: Path) -> str:
    """Pick one of the names of a family of containers, such as ``mov,mp4,m4a,3gp,3g2,mj2``."""
    names = form.replace("matroska", "mkv").split(",")
    suffix = path.suffix.lower().removeprefix(".")
    if suffix in names:
        return suffix
    return "mp4" if "mp4" in names else names[0]
