"""The stored clip is what its script writes, and shows what the script says that it shows."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("av", reason="clips need PyAV: pip install 'foregsyte-kaggle[vision]'")
pytest.importorskip("PIL", reason="clips need Pillow, which draws them: pip install pillow")

import av
import numpy as np

from tests.fixtures import make_tiny_mp4 as maker

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.unit

HOW_TO_RENEW = (
    "If the change was meant, run `python tests/fixtures/make_tiny_mp4.py` and commit the clip."
)


def decode(path: Path, pixel_format: str = "yuv420p") -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format=pixel_format).astype(np.uint8)
            for frame in container.decode(video=0)
        ]


def psnr_db(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    difference = first.astype(np.float64) - second.astype(np.float64)
    mean_square = float(np.mean(difference**2))
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def header(path: Path) -> dict[str, object]:
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        return {
            "codec": stream.codec_context.name,
            "pixels": stream.codec_context.pix_fmt,
            "width": stream.codec_context.width,
            "height": stream.codec_context.height,
            "fps": float(stream.average_rate or 0),
            "frames": stream.frames,
            "audio_streams": len(container.streams.audio),
        }


def colour_of(frame: NDArray[np.uint8], x: int, y: int) -> tuple[int, ...]:
    return tuple(int(value) for value in frame[y, x])


def near(colour: tuple[int, ...], expected: maker.RGB) -> bool:
    return max(abs(a - b) for a, b in zip(colour, expected, strict=True)) <= 24


def test_stored_clip_has_the_size_and_codec_that_tests_count_on() -> None:
    assert header(maker.TINY_MP4) == {
        "codec": "h264",
        "pixels": "yuv420p",
        "width": 160,
        "height": 120,
        "fps": 10.0,
        "frames": 20,
        "audio_streams": 0,
    }
    assert maker.TINY_MP4.stat().st_size < 20_000


def test_stored_clip_is_what_the_script_writes(tmp_path: Path) -> None:
    maker.write_clip(tmp_path / "new.mp4")

    assert header(tmp_path / "new.mp4") == header(maker.TINY_MP4), HOW_TO_RENEW
    stored, new = decode(maker.TINY_MP4), decode(tmp_path / "new.mp4")
    assert len(stored) == len(new) == 20
    worst = min(map(psnr_db, stored, new))
    assert worst >= 35.0, f"a frame differs: {worst:.1f} dB. {HOW_TO_RENEW}"


def test_psnr_tells_a_clip_with_another_caption(tmp_path: Path) -> None:
    maker.write_clip(tmp_path / "other.mp4", "GOAL 2:2")

    assert max(map(psnr_db, decode(maker.TINY_MP4), decode(tmp_path / "other.mp4"))) < 35.0


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        maker.write_clip(tmp_path / name, seconds=0.5, tone_hz=440.0)

    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_shapes_are_where_the_helper_says_in_every_frame() -> None:
    frames = decode(maker.TINY_MP4, "rgb24")

    for index, frame in enumerate(frames):
        rectangle, circle = maker.shapes_at(index / 10)
        for x in (rectangle.left + 3, rectangle.right - 4):
            for y in (rectangle.top + 3, rectangle.bottom - 4):
                assert near(colour_of(frame, x, y), maker.RECTANGLE_RGB), (index, x, y)
        middle = (circle.left + circle.right) // 2, (circle.top + circle.bottom) // 2
        assert near(colour_of(frame, *middle), maker.CIRCLE_RGB), index
        for x, y in ((rectangle.left - 3, rectangle.top), (rectangle.right + 3, rectangle.top)):
            assert near(colour_of(frame, x, y), maker.BACKGROUND_RGB), (index, x, y)


@pytest.mark.parametrize("size", [(160, 120), (64, 48), (640, 360), (360, 640)], ids=str)
def test_shapes_stay_inside_the_frame_and_apart(size: tuple[int, int]) -> None:
    width, height = size
    band = maker.caption_band(width, height)
    for tenth in range(100):
        rectangle, circle = maker.shapes_at(tenth / 10, width, height)
        for box in (rectangle, circle):
            assert 0 <= box.left < box.right <= width
            assert band.bottom <= box.top < box.bottom <= height
        assert rectangle.right <= circle.left


def test_captions_change_at_the_seconds_given(tmp_path: Path) -> None:
    captions = [("FIRST", 0.0, 0.5), ("SECOND", 0.5, 1.0)]
    maker.write_clip(tmp_path / "clip.mp4", captions, seconds=1.5)

    assert [maker.caption_at(captions, seconds) for seconds in (0.4, 0.5, 1.0)] == [
        "FIRST",
        "SECOND",
        "",
    ]
    band = maker.caption_band()
    bright = [
        int((frame[: band.bottom] > 200).sum()) for frame in decode(tmp_path / "clip.mp4", "rgb24")
    ]
    assert all(0 < a < b for a, b in zip(bright[:5], bright[5:10], strict=True))
    assert max(bright[10:]) == 0


def test_long_caption_shrinks_to_the_width() -> None:
    frame = np.asarray(
        maker.draw_frame(0.0, "A caption much too long for a frame of this width", 160, 120)
    )

    assert (frame[:30] > 200).any()
    assert not (frame[:30, :3] > 200).any()
    assert not (frame[:30, -3:] > 200).any()


def test_tone_becomes_an_audio_track_of_the_same_length(tmp_path: Path) -> None:
    maker.write_clip(tmp_path / "clip.mp4", seconds=1.0, tone_hz=440.0)

    with av.open(str(tmp_path / "clip.mp4")) as container:
        (audio,) = container.streams.audio
        assert audio.codec_context.name == "aac"
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio)])
    assert len(wave) / maker.SAMPLE_RATE == pytest.approx(1.0, abs=0.05)
    loudest = int(np.argmax(np.abs(np.fft.rfft(wave[: maker.SAMPLE_RATE]))))
    assert loudest * maker.SAMPLE_RATE / len(wave[: maker.SAMPLE_RATE]) == pytest.approx(
        440.0, abs=3.0
    )


def test_ntsc_rate_is_kept(tmp_path: Path) -> None:
    maker.write_clip(tmp_path / "clip.mp4", fps=Fraction(30000, 1001), seconds=1.0)

    assert header(tmp_path / "clip.mp4")["fps"] == pytest.approx(29.97, abs=0.001)
    assert header(tmp_path / "clip.mp4")["frames"] == 30


def test_odd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^width and height must be even, got 161x120$"):
        maker.write_clip(tmp_path / "clip.mp4", width=161)
    assert list(tmp_path.iterdir()) == []
