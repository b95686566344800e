"""Frames by time and by number, of constant and variable rates, turned, damaged and odd videos."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="needs PyAV: pip install 'foregsyte-kaggle[vision]'")
pytest.importorskip("cv2", reason="needs OpenCV: pip install 'foregsyte-kaggle[vision]'")

import av
import cv2

from foregsyte_kaggle.vision.frames import sample_frames
from foregsyte_kaggle.vision.lengths import end_seconds
from foregsyte_kaggle.vision.opening import UnreadableVideoError, open_video
from foregsyte_kaggle.vision.timeline import Timeline
from tests.fixtures import make_tiny_mp4 as maker
from tests.fixtures.wrong_headers import multiply_length

pytestmark = pytest.mark.unit

MILLISECOND = Fraction(1, 1000)


def write_marked(
    path: Path,
    times_ms: Iterable[int],
    *,
    keyframes: int = 12,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    **options: str,
) -> Path:
    """Write a video in which the frame number ``n`` is as grey as ``mark(n)``, at these times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1000)
        stream.width, stream.height = size
        stream.pix_fmt, stream.time_base = pixels, MILLISECOND
        stream.codec_context.time_base = MILLISECOND
        stream.gop_size = keyframes
        stream.options = {"sc_threshold": "0", "qp": "8", **options} if codec == "libx264" else {}
        for number, time in enumerate(times_ms):
            image = np.full((size[1], size[0], 3), mark(number), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def mark(number: int) -> int:
    return 20 + (number * 7) % 210


def grey(image: Any) -> float:
    return float(image[8:-8, 8:-8].mean())


def sampled(path: Path, *arguments: Any) -> list[tuple[float, float]]:
    return [(round(one.seconds, 3), grey(one.image)) for one in sample_frames(path, *arguments)]


def every(number: int, step_ms: int) -> list[int]:
    return [n * step_ms for n in range(number)]


def expected(times_ms: list[int], seconds: Iterable[float]) -> list[int]:
    """Return the number of the frame that is shown at each time, each once."""
    numbers = [max(n for n, ms in enumerate(times_ms) if ms <= s * 1000 + 0.5) for s in seconds]
    return list(dict.fromkeys(numbers))


def assert_are(found: list[tuple[float, float]], numbers: list[int], times_ms: list[int]) -> None:
    assert [time for time, _ in found] == [times_ms[n] / 1000 for n in numbers]
    for (_, shade), number in zip(found, numbers, strict=True):
        assert shade == pytest.approx(mark(number), abs=3), number


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
@pytest.mark.parametrize("keyframes", [1, 5, 250])
def test_frames_are_those_shown_at_each_time(tmp_path: Path, suffix: str, keyframes: int) -> None:
    path = tmp_path / f"clip{suffix}"
    if suffix == ".avi":  # which has one rate for all
        maker.write_clip(path, width=64, height=48, fps=25, seconds=4)
        times = [time for time, _ in sampled(path, 0.5)]
        assert times == [0.0, 0.48, 1.0, 1.48, 2.0, 2.48, 3.0, 3.48]
        return
    times_ms = every(100, 40)
    write_marked(path, times_ms, keyframes=keyframes)
    found = sampled(path, 0.5)
    assert_are(found, expected(times_ms, [0.5 * n for n in range(8)]), times_ms)


def test_file_without_times_is_sampled_by_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.h264"
    maker.write_clip(path, width=64, height=48, fps=25, seconds=4)
    assert [time for time, _ in sampled(path, 1.0)] == pytest.approx([0, 1, 2, 3], abs=0.05)


def test_variable_rates_are_gone_by_time_and_a_long_shown_frame_is_taken_once(
    tmp_path: Path,
) -> None:
    times_ms = [0, 40, 900, 950, 1000, 1040, 5000, 5040, 7320]
    path = write_marked(tmp_path / "screen.mkv", times_ms)
    assert_are(sampled(path, 1.0), [0, 4, 5, 6, 7], times_ms[:8])
    found = sampled(path, 0.04)
    assert_are(found, list(range(9)), times_ms)


def test_by_count_frames_come_from_the_middles_of_equal_parts(tmp_path: Path) -> None:
    times_ms = every(100, 40)
    path = write_marked(tmp_path / "clip.mp4", times_ms, keyframes=10)
    with open_video(path) as (container, stream):
        # What the last frame's length is, depends on the version of PyAV that wrote it.
        length = end_seconds(container, stream)
    assert length == pytest.approx(4.0, abs=0.045)
    for count in (4, 8, 16):  # none of whose middles is where a frame begins
        middles = [length * (n + 0.5) / count for n in range(count)]
        assert_are(sampled(path, 1.0, count), expected(times_ms, middles), times_ms)


def test_more_frames_than_there_are_are_all_of_them(tmp_path: Path) -> None:
    times_ms = every(5, 100)
    path = write_marked(tmp_path / "clip.mp4", times_ms)
    assert_are(sampled(path, 1.0, 2000), [0, 1, 2, 3, 4], times_ms)


def test_the_way_to_a_time_does_not_change_the_frame(tmp_path: Path) -> None:
    times_ms = every(200, 40)
    path = write_marked(tmp_path / "clip.mp4", times_ms, keyframes=25)
    for distance in (0.12, 0.7, 1.0, 2.5, 3.9):
        steps = [distance * n for n in range(100) if distance * n < 7.96]
        assert_are(sampled(path, distance), expected(times_ms, steps), times_ms)


def decoded(path: Path, distance: float, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Return how many frames are decoded, and how many there are."""
    counted = 0
    decode = Timeline._decode

    def count(timeline: Timeline) -> Any:
        nonlocal counted
        for frame in decode(timeline):
            counted += 1
            yield frame

    monkeypatch.setattr(Timeline, "_decode", count)
    list(sample_frames(path, distance))
    monkeypatch.undo()
    with open_video(path) as (container, stream):
        return counted, sum(1 for _ in container.decode(stream))


def test_jumps_are_made_where_they_save_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_marked(tmp_path / "clip.mp4", every(300, 40), keyframes=5)
    counted, total = decoded(path, 1.0, monkeypatch)
    assert counted < 0.4 * total


def test_jumps_that_save_nothing_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_marked(tmp_path / "clip.mp4", every(300, 40), keyframes=300)
    counted, total = decoded(path, 0.2, monkeypatch)
    assert total <= counted <= 1.1 * total


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    maker.write_clip(path, width=160, height=120, seconds=0.5)
    content = bytearray(path.read_bytes())
    # The matrix of the track's header: a quarter to the right.
    unit = (1 << 16).to_bytes(4, "big")
    whole = b"".join([unit, bytes(12), unit, bytes(12), (1 << 30).to_bytes(4, "big")])
    turned = b"".join(
        [bytes(4), unit, bytes(4), (-(1 << 16)).to_bytes(4, "big", signed=True), bytes(16)]
    ) + (1 << 30).to_bytes(4, "big")
    place = content.index(whole, content.index(b"tkhd"))
    content[place : place + 36] = turned
    path.write_bytes(content)

    (frame,) = sample_frames(path)

    upright = np.rot90(np.asarray(maker.draw_frame(0.0, maker.DEFAULT_CAPTION, 160, 120)), -1)
    assert frame.image.shape == (160, 120, 3)
    assert np.abs(frame.image.astype(int) - upright).mean() < 8


@pytest.mark.parametrize(
    ("codec", "pixels", "size", "suffix"),
    [
        pytest.param("libx264", "yuv420p10le", (64, 48), ".mp4", id="10 bits"),
        pytest.param("ffv1", "yuv444p", (63, 47), ".mkv", id="odd sides"),
        pytest.param("libvpx-vp9", "yuv420p", (33, 17), ".webm", id="odd sides, halved colours"),
        pytest.param("png", "rgba", (64, 48), ".mov", id="alpha"),
        pytest.param("qtrle", "argb", (64, 48), ".mov", id="alpha first"),
        pytest.param("libvpx-vp9", "yuva420p", (64, 48), ".webm", id="alpha in a second picture"),
    ],
)
def test_odd_pictures_are_right(
    tmp_path: Path, codec: str, pixels: str, size: tuple[int, int], suffix: str
) -> None:
    times_ms = every(10, 100)
    path = write_marked(tmp_path / f"odd{suffix}", times_ms, codec=codec, pixels=pixels, size=size)
    frames = list(sample_frames(path, 0.5))
    assert [frame.image.shape for frame in frames] == [(size[1], size[0], 3)] * 2
    assert {frame.image.dtype for frame in frames} == {np.dtype(np.uint8)}
    assert [grey(frame.image) for frame in frames] == pytest.approx([mark(0), mark(5)], abs=3)


@pytest.mark.parametrize("factor", [0.3, 50], ids=["too short", "too long"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_wrong_duration_in_the_header_misleads_nobody(
    tmp_path: Path, suffix: str, factor: float
) -> None:
    times_ms = every(50, 40)
    path = write_marked(tmp_path / f"clip{suffix}", times_ms)
    multiply_length(path, factor)
    with open_video(path) as (container, stream):
        assert end_seconds(container, stream) == pytest.approx(2.0, abs=0.05)
    assert_are(sampled(path, 1.0), [0, 25], times_ms)
    assert len(sampled(path, 1.0, 4)) == 4


@pytest.mark.parametrize("factor", [0.3, 50], ids=["too short", "too long"])
def test_a_wrong_number_of_frames_in_the_header_misleads_nobody(
    tmp_path: Path, factor: float
) -> None:
    maker.write_clip(tmp_path / "clip.avi", width=64, height=48, seconds=3.0)
    multiply_length(tmp_path / "clip.avi", factor)
    assert [time for time, _ in sampled(tmp_path / "clip.avi", 1.0)] == [0.0, 1.0, 2.0]
    assert [time for time, _ in sampled(tmp_path / "clip.avi", 1.0, 3)] == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_video_without_frames_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w", options={"movflags": "empty_moov"}) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(UnreadableVideoError, match="frame"):
        list(sample_frames(path))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_video_that_is_cut_in_its_middle_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    maker.write_clip(path, width=64, height=48)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableVideoError, match="the file is truncated"):
        list(sample_frames(path))


def test_progress_grows_to_the_whole(tmp_path: Path) -> None:
    path = write_marked(tmp_path / "clip.mp4", every(50, 40))
    for arguments in ((0.3,), (1.0, 5)):
        fractions = [frame.fraction for frame in sample_frames(path, *arguments)]
        assert fractions == sorted(set(fractions))
        assert fractions[-1] == pytest.approx(1.0, abs=0.1)


def test_damaged_parts_are_passed_over(tmp_path: Path) -> None:
    path = write_marked(tmp_path / "clip.ts", every(100, 40), keyframes=10)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = bytes(600)
    path.write_bytes(content)
    times = [time for time, _ in sampled(path, 0.5)]
    assert times[0] == 0.0
    assert times[-1] >= 3.0


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (maker.write_truncated, "truncated"),
        (maker.write_not_a_video, "the file holds text"),
        (maker.write_audio_only, "there is no video track in it, only audio"),
        (Path.touch, "the file is empty"),
    ],
    ids=["truncated", "text", "audio", "empty"],
)
def test_what_is_no_video_says_why(tmp_path: Path, write: Any, reason: str) -> None:
    write(tmp_path / "clip.mp4")
    with pytest.raises(UnreadableVideoError, match=reason):
        list(sample_frames(tmp_path / "clip.mp4"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_an_image_is_one_frame(tmp_path: Path, suffix: str) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = (200, 100, 50)
    (tmp_path / "odd \udcff name").write_bytes(
        cv2.imencode(suffix, np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()
    )
    (frame,) = sample_frames(tmp_path / "odd \udcff name", 0.1, 7)
    assert frame[:3] == (0, 0.0, 1.0)
    assert np.abs(frame.image[5:-5, 5:25].astype(int) - (200, 100, 50)).max() < 12


def test_a_photo_is_turned_as_its_camera_was(tmp_path: Path) -> None:
    from PIL import Image

    photo = Image.new("RGB", (60, 40))
    facts = photo.getexif()
    facts[0x0112] = 6
    photo.save(tmp_path / "photo.jpg", exif=facts)
    (frame,) = sample_frames(tmp_path / "photo.jpg")
    assert frame.image.shape == (60, 40, 3)


def test_a_broken_image_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"no more of it")
    with pytest.raises(ValueError, match=r"^a\.png: not a readable image: "):
        list(sample_frames(tmp_path / "a.png"))
    with pytest.raises(IsADirectoryError, match="expected a video or an image"):
        list(sample_frames(tmp_path))
