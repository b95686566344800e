"""The built-in pipelines, on real files and on the broken ones that a data set holds."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import sys
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.registry.builtin import file_info, video_info
from foregsyte_kaggle.vision import lengths, thumbnails
from foregsyte_kaggle.vision.opening import UnreadableVideoError
from foregsyte_kaggle.worker import JobContext
from tests.fixtures import make_tiny_mp4 as maker
from tests.fixtures.wrong_headers import multiply_length

pytestmark = pytest.mark.unit

AWKWARD_NAMES = [
    "two words.mp4",
    'it\'s "quoted".mp4',
    "игра — 試合 ⚽.mp4",
    "http:half?time#1.mp4",
    "%d 100%.mp4",
    "<b>&amp;.mp4",
    "two\nlines.mp4",
    os.fsdecode(b"latin \xe9.mp4"),
]

# The first bytes of a file without a suffix, and the type that they mean.
CONTENTS = {
    "mp4": (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "video/mp4"),
    "mov": (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00", "video/quicktime"),
    "old mov": (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat", "video/quicktime"),
    "m4a": (b"\x00\x00\x00\x20ftypM4A \x00\x00\x02\x00", "audio/mp4"),
    "avif": (b"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00", "image/avif"),
    "mkv": (b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska", "video/matroska"),
    "webm": (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image/jpeg"),
    "gif": (b"GIF89a\x01\x00\x01\x00", "image/gif"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
    "zip": (b"PK\x03\x04\x14\x00", "application/zip"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "application/zip"),
    "gzip": (gzip.compress(b"x"), "application/gzip"),
    "parquet": (b"PAR1\x15\x04", "application/vnd.apache.parquet"),
    "text": ("name,goals\r\n\tZoë,3\n".encode(), "text/plain"),
    "long text": (b"x" + "é".encode() * 3000, "text/plain"),
    "latin text": ("Müller,3\n".encode("latin-1"), "application/octet-stream"),
    "text with a zero": (b"name\x00goals", "application/octet-stream"),
    "bytes": (bytes(range(256)), "application/octet-stream"),
    "nothing": (b"", "application/octet-stream"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder for clips; skip where nothing can write or read one."""
    for package in ("av", "PIL"):
        pytest.importorskip(package, reason=f"clips need {package}: pip install av pillow")
    return tmp_path


def reason_for_refusing(path: Path) -> str:
    """Return what `video_info` says about a file that it refuses, after its name."""
    with pytest.raises(UnreadableVideoError) as caught:
        video_info(path)
    start, _, reason = str(caught.value).partition(": not a readable video: ")
    assert start == path.name
    assert "\n" not in reason
    return reason


def cut(path: Path, fraction: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


def write_plain_clip(path: Path, muxer_options: dict[str, str]) -> None:
    """Write ten frames in an unusual layout of the container."""
    import av
    import numpy as np

    with av.open(str(path), "w", options=muxer_options) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"g": "4"}
        for shade in range(0, 200, 20):
            picture = np.full((48, 64, 3), shade, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_wav(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))


def write_png(path: Path) -> None:
    maker.draw_frame(0.0, "PHOTO", 160, 120).save(path, format="PNG")


def write_avif_head(path: Path) -> None:
    path.write_bytes(b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf" + bytes(100))


def write_song_with_cover(path: Path) -> None:
    """Write an MP3 with a picture in its tag, which FFmpeg shows as a video track."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=maker.SAMPLE_RATE, layout="mono")
        for frame in maker._tone_frames(440.0, 0.5):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_png(path.with_suffix(".png"))
    picture = b"\x00image/png\x00\x03\x00" + path.with_suffix(".png").read_bytes()
    tag = b"APIC" + len(picture).to_bytes(4, "big") + bytes(2) + picture
    size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\x00\x00" + size + tag + path.read_bytes())


def test_file_info_of_a_clip() -> None:
    content = maker.TINY_MP4.read_bytes()

    assert file_info(maker.TINY_MP4) == {
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "mime_type": "video/mp4",
    }


def test_file_info_of_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "nothing").touch()

    assert file_info(tmp_path / "nothing") == {
        "size_bytes": 0,
        "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "mime_type": "application/octet-stream",
    }


def test_file_info_hashes_what_does_not_fit_into_one_read(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8000
    (tmp_path / "large.bin").write_bytes(content)

    row = file_info(tmp_path / "large.bin")

    assert (row["size_bytes"], row["sha256"]) == (2_048_000, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    ("name", "mime_type"),
    [
        ("match.mp4", "video/mp4"),
        ("MATCH.MP4", "video/mp4"),
        ("match.final.webm", "video/webm"),
        ("photo.JPG", "image/jpeg"),
        ("scan.webp", "image/webp"),
        ("sound.mp3", "audio/mpeg"),
        ("table.csv", "text/csv"),
        ("table.csv.gz", "application/gzip"),
        ("data.tar.xz", "application/x-xz"),
        ("data:text,.png", "image/png"),
    ],
)
def test_mime_type_goes_by_the_name(tmp_path: Path, name: str, mime_type: str) -> None:
    (tmp_path / name).write_bytes(b"whatever is in it")

    assert file_info(tmp_path / name)["mime_type"] == mime_type


@pytest.mark.parametrize("suffix", ["", ".unheard-of"], ids=["no suffix", "unknown suffix"])
@pytest.mark.parametrize(("content", "mime_type"), CONTENTS.values(), ids=CONTENTS)
def test_mime_type_goes_by_the_content_where_the_name_says_nothing(
    tmp_path: Path, content: bytes, mime_type: str, suffix: str
) -> None:
    path = tmp_path / f"input{suffix}"
    path.write_bytes(content)

    assert file_info(path)["mime_type"] == mime_type


@pytest.mark.parametrize("name", AWKWARD_NAMES, ids=ascii)
def test_file_info_takes_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"text")

    assert file_info(tmp_path / name)["mime_type"] == "video/mp4"


@pytest.mark.parametrize("pipeline", [file_info, video_info])
def test_folder_is_refused_with_what_to_do(
    folder: Path, pipeline: Callable[[Path], object]
) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        pipeline(folder)

    assert str(caught.value) == (
        f"{folder} is a folder and {pipeline.__name__} takes one file: register with unit='file'"
    )


@pytest.mark.parametrize("pipeline", [file_info, video_info])
def test_missing_file_stays_a_missing_file(
    folder: Path, pipeline: Callable[[Path], object]
) -> None:
    with pytest.raises(FileNotFoundError):
        pipeline(folder / "gone.mp4")


def test_video_info_of_the_stored_clip() -> None:
    pytest.importorskip("av", reason="video_info needs PyAV: pip install av")

    assert video_info(maker.TINY_MP4) == {
        "container": "mp4",
        "codec": "h264",
        "width": 160,
        "height": 120,
        "fps": 10.0,
        "frames": 20,
        "duration_seconds": 2.0,
        "audio_streams": 0,
    }


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
def test_video_info_of_each_container(folder: Path, suffix: str) -> None:
    path = folder / f"clip.{suffix}"
    maker.write_clip(path, width=64, height=48, seconds=1.0)

    row = video_info(path)

    assert row == {
        "container": suffix,
        "codec": "h264",
        "width": 64,
        "height": 48,
        "fps": 10.0,
        "frames": 10,
        "duration_seconds": pytest.approx(1.0),
        "audio_streams": 0,
    }
    assert {type(value) for value in row.values()} == {str, int, float}


@pytest.mark.parametrize(
    ("suffix", "name", "container"),
    [("mp4", "clip", "mp4"), ("mp4", "clip.mkv", "mp4"), ("mkv", "clip.mp4", "mkv")],
)
def test_container_goes_by_the_content(
    folder: Path, suffix: str, name: str, container: str
) -> None:
    maker.write_clip(folder / f"first.{suffix}", seconds=0.5)
    (folder / f"first.{suffix}").rename(folder / name)

    assert video_info(folder / name)["container"] == container


def test_audio_track_is_counted(folder: Path) -> None:
    maker.write_clip(folder / "clip.mp4", seconds=1.0, tone_hz=440.0)

    row = video_info(folder / "clip.mp4")

    assert (row["audio_streams"], row["frames"], row["duration_seconds"]) == (1, 10, 1.0)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_ntsc_rate_is_a_plain_float(folder: Path, suffix: str) -> None:
    path = folder / f"clip.{suffix}"
    maker.write_clip(path, fps=Fraction(30000, 1001), seconds=1.0)

    row = video_info(path)

    assert row["fps"] == pytest.approx(29.97003)
    assert row["frames"] == 30
    assert row["duration_seconds"] == pytest.approx(1.001, abs=0.001)


def test_frames_are_counted_where_the_header_does_not_say(folder: Path) -> None:
    write_plain_clip(folder / "clip.mp4", {"movflags": "frag_keyframe+empty_moov"})

    row = video_info(folder / "clip.mp4")

    assert (row["container"], row["frames"]) == ("mp4", 10)
    assert row["duration_seconds"] == pytest.approx(1.0)


def test_duration_is_the_last_frames_end_where_no_header_says(folder: Path) -> None:
    write_plain_clip(folder / "recording.mkv", {"live": "1"})

    row = video_info(folder / "recording.mkv")

    assert (row["frames"], row["fps"]) == (10, 10.0)
    assert row["duration_seconds"] == pytest.approx(1.0)


def test_title_in_another_encoding_is_no_obstacle(folder: Path) -> None:
    import av
    import numpy as np

    path = folder / "clip.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Muller"
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), dtype=np.uint8), format="rgb24")
        container.mux(stream.encode(black))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"Muller", b"M\xfcller"))

    assert video_info(path)["frames"] == 1


@pytest.mark.parametrize("name", AWKWARD_NAMES, ids=ascii)
def test_video_info_takes_any_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    Path(name).write_bytes(maker.TINY_MP4.read_bytes())

    assert video_info(Path(name))["frames"] == 20
    assert video_info(folder / name)["frames"] == 20


def test_empty_file_says_so(folder: Path) -> None:
    (folder / "clip.mp4").touch()

    assert reason_for_refusing(folder / "clip.mp4") == "the file is empty (0 bytes)"


def test_clip_without_its_end_says_so_and_keeps_the_cause(folder: Path) -> None:
    import av

    maker.write_truncated(folder / "clip.mp4")

    with pytest.raises(UnreadableVideoError) as caught:
        video_info(folder / "clip.mp4")

    assert str(caught.value) == (
        "clip.mp4: not a readable video: moov atom not found "
        "(the file is truncated or was not uploaded completely)"
    )
    assert isinstance(caught.value.__cause__, av.FFmpegError)


@pytest.mark.parametrize(
    ("name", "muxer_options"),
    [
        pytest.param("clip.mp4", {"movflags": "faststart"}, id="index first"),
        pytest.param("clip.mp4", {"movflags": "frag_keyframe+empty_moov"}, id="fragments"),
        pytest.param("clip.mkv", {}, id="mkv"),
    ],
)
def test_cut_clip_that_still_opens_is_refused(
    folder: Path, name: str, muxer_options: dict[str, str]
) -> None:
    path = folder / name
    write_plain_clip(path, muxer_options)
    cut(path, 0.9)

    reason = reason_for_refusing(path)

    start = "the file is truncated or was not uploaded completely (it has "
    assert reason.startswith(f"{start}{path.stat().st_size} of its ")


def test_bytes_after_the_end_are_no_obstacle(folder: Path) -> None:
    path = folder / "clip.mp4"
    path.write_bytes(maker.TINY_MP4.read_bytes() + b"\x00\x0f\xff\xffjunk of a tool")

    assert video_info(path)["frames"] == 20


@pytest.mark.parametrize("name", ["clip.mp4", "notes.txt"])
def test_text_says_so_and_shows_its_start(folder: Path, name: str) -> None:
    maker.write_not_a_video(folder / name)

    assert reason_for_refusing(folder / name) == (
        "the file holds text, starting with "
        "'This is a text file which somebody gave the name of a video.'"
    )


def test_text_in_another_encoding_is_told_as_well(folder: Path) -> None:
    (folder / "match.nfo").write_bytes("░▒▓ the match of the day\n".encode("cp437") * 50)

    assert reason_for_refusing(folder / "match.nfo") == "the file holds text"


def test_web_page_in_place_of_a_video_can_be_told(folder: Path) -> None:
    (folder / "clip.mp4").write_text("<!DOCTYPE html>\n<title>403 Forbidden</title>\n")

    assert reason_for_refusing(folder / "clip.mp4") == (
        "the file holds text, starting with '<!DOCTYPE html>'"
    )


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("tone.mp4", maker.write_audio_only, "there is no video track in it, only audio"),
        ("tone.wav", write_wav, "there is no video track in it, only audio"),
        ("song.mp3", write_song_with_cover, "there is no video track in it, only audio"),
        ("photo.mp4", write_png, "the file is a still image"),
        ("photo.png", write_png, "the file is a still image"),
        ("photo.avif", write_avif_head, "the file is a still image (image/avif)"),
    ],
)
def test_file_without_a_video_track_says_what_it_is(
    folder: Path, name: str, write: Callable[[Path], None], reason: str
) -> None:
    write(folder / name)

    assert reason_for_refusing(folder / name) == reason


def test_archive_named_as_a_video_says_so(folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(b"PK\x03\x04" + bytes(500))

    assert reason_for_refusing(folder / "clip.mp4") == "the file holds application/zip"


def test_random_bytes_get_the_words_of_pyav(folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(hashlib.shake_128(b"seed").digest(5000))

    assert reason_for_refusing(folder / "clip.mp4") == (
        "PyAV says: Invalid data found when processing input"
    )


def test_unknown_codec_says_so(folder: Path) -> None:
    path = folder / "clip.mp4"
    path.write_bytes(maker.TINY_MP4.read_bytes().replace(b"avc1", b"zzzz"))

    assert reason_for_refusing(path) == "PyAV knows no decoder for its video codec"


def test_playlist_without_an_end_is_not_waited_for(folder: Path) -> None:
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"
    (folder / "list.m3u8").write_text(playlist)

    assert reason_for_refusing(folder / "list.m3u8") == (
        "the file holds text, starting with '#EXTM3U'"
    )


def test_awkward_name_is_escaped_in_the_message(folder: Path) -> None:
    path = folder / os.fsdecode(b"two\nlines \xe9.mp4")
    path.touch()

    with pytest.raises(UnreadableVideoError) as caught:
        video_info(path)

    assert str(caught.value) == (
        r"'two\nlines \udce9.mp4': not a readable video: the file is empty (0 bytes)"
    )


def test_error_travels_from_a_worker() -> None:
    error = UnreadableVideoError("clip.mp4: not a readable video: the file is empty (0 bytes)")

    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, UnreadableVideoError)
    assert isinstance(copy, ValueError)
    assert str(copy) == str(error)


def test_missing_pyav_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(ImportError) as caught:
        video_info(maker.TINY_MP4)

    assert str(caught.value) == "video_info needs PyAV: pip install 'foregsyte-kaggle[vision]'"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


# --- odd and wrong videos -----------------------------------------------------------------------------


def write_video(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    count: int = 10,
    aspect: Fraction | None = None,
    empty_until: int = 0,
    muxer_options: dict[str, str] | None = None,
) -> Path:
    """Write a clip at 10 frames a second, red on the left and blue on the right, black at first."""
    import av
    import numpy as np

    with av.open(str(path), "w", options=muxer_options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if codec == "libx264":
            stream.options = {"qp": "8"}
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        picture[:, : size[0] // 2] = (200, 20, 20)
        picture[:, size[0] // 2 :] = (20, 20, 200)
        container.start_encoding()
        for number in range(count):
            shown = picture * (number >= empty_until)
            frame = av.VideoFrame.from_ndarray(shown.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("factor", [0.3, 50], ids=["too short", "too long"])
@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv"])
def test_wrong_duration_in_the_header_is_put_right(
    folder: Path, suffix: str, factor: float
) -> None:
    path = write_video(folder / f"a.{suffix}", count=30)
    honest = video_info(path)
    multiply_length(path, factor)

    row = video_info(path)

    assert honest["duration_seconds"] == pytest.approx(3.0, abs=0.11)
    assert row["duration_seconds"] == pytest.approx(3.0, abs=0.11)
    assert row == {**honest, "duration_seconds": row["duration_seconds"]}


def test_right_headers_are_believed_after_a_look_at_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only the first frame stands for itself."""
    path = folder / "long.mp4"
    maker.write_clip(path, width=16, height=16, seconds=20.0)
    read = 0

    def count(duration: int | None, stream: object) -> float:
        nonlocal read
        read += 1
        return float(duration or 0)

    monkeypatch.setattr(lengths, "_ticks", count)

    assert (video_info(path)["duration_seconds"], video_info(path)["frames"]) == (20.0, 200)
    assert 0 < read < 60


def test_longer_sound_does_not_lengthen_the_video(folder: Path) -> None:
    import av
    import numpy as np

    with av.open(str(folder / "song.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tone = maker._add_tone_stream(container)
        black = np.zeros((48, 64, 3), dtype=np.uint8)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        container.mux(stream.encode(None))
        maker._write_tone(container, tone, 440.0, 4.0)

    assert video_info(folder / "song.mkv")["duration_seconds"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.avi", {}, "its video track holds no frames"),
        ("a.mp4", {"movflags": "empty_moov"}, "its video track holds no frames"),
        ("b.mp4", {}, "there is no video track in it, and no audio either"),
        ("a.mkv", {}, "the file ends before the first frame"),
    ],
)
def test_video_without_frames_says_so(
    folder: Path, name: str, options: dict[str, str], reason: str
) -> None:
    path = write_video(folder / name, "mpeg4", count=0, muxer_options=options)

    assert reason_for_refusing(path) == reason


def test_cut_avi_is_refused(folder: Path) -> None:
    path = write_video(folder / "a.avi", "mpeg4")
    cut(path, 0.6)

    start = "the file is truncated or was not uploaded completely (it has "
    assert reason_for_refusing(path).startswith(f"{start}{path.stat().st_size} of its ")


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_avi_whose_recorder_never_wrote_its_length_is_read(folder: Path, length: int) -> None:
    path = write_video(folder / "a.avi", "mpeg4")
    content = bytearray(path.read_bytes())
    content[4:8] = length.to_bytes(4, "little")
    path.write_bytes(content)

    assert video_info(path)["frames"] == 10


ODD_PICTURES = {
    "odd sides": ("a.mkv", "ffv1", "yuv444p", (33, 17)),
    "odd sides in mp4": ("a.mp4", "libx264", "yuv444p", (33, 17)),
    "10 bits": ("a.mp4", "libx264", "yuv420p10le", (64, 48)),
    "alpha in webm": ("a.webm", "libvpx-vp9", "yuva420p", (64, 48)),
    "alpha in mov": ("a.mov", "qtrle", "argb", (64, 48)),
    "palette": ("a.gif", "gif", "rgb8", (64, 48)),
}


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "size"), ODD_PICTURES.values(), ids=ODD_PICTURES
)
def test_odd_pictures_are_told_and_drawn(
    folder: Path, job: JobContext, name: str, codec: str, pixels: str, size: tuple[int, int]
) -> None:
    path = write_video(folder / name, codec, pixels, size)

    row = video_info(path, job, thumbnail=True)

    assert (row["width"], row["height"], row["frames"]) == (*size, 10)
    assert (row["fps"], row["duration_seconds"]) == (10.0, pytest.approx(1.0, abs=0.11))
    image = picture(job)
    assert image.size == size
    assert_red_and_blue(image)


# --- thumbnails ---------------------------------------------------------------------------------------


@pytest.fixture
def job(folder: Path) -> JobContext:
    return JobContext("7", "x", {}, 1, folder / "outputs", lambda _: None)


def picture(job: JobContext) -> Any:
    """Return the one file that a job wrote, decoded."""
    from PIL import Image

    job.keep_outputs()
    (path,) = (path for path in job._folder.iterdir() if path.is_file())
    assert path.name == "7-thumbnail.jpg"
    image = Image.open(io.BytesIO(path.read_bytes()))
    assert image.format == "JPEG"
    return image.convert("RGB")


def assert_red_and_blue(image: Any) -> None:
    (red, _, little), (also_little, _, blue) = (
        image.getpixel((round(place * image.width), image.height // 2)) for place in (0.2, 0.8)
    )
    assert red > 150 > little
    assert blue > 150 > also_little


def test_without_being_asked_no_thumbnail_is_written(folder: Path, job: JobContext) -> None:
    assert video_info(maker.TINY_MP4, job) == video_info(maker.TINY_MP4)
    assert job.keep_outputs() is None


def test_thumbnail_shows_a_tenth_of_the_length(folder: Path, job: JobContext) -> None:
    from PIL import ImageChops, ImageStat

    maker.write_clip(folder / "a.mp4", "", seconds=2.0, width=640, height=480)

    row = video_info(folder / "a.mp4", job, thumbnail=True)

    assert row == video_info(folder / "a.mp4")
    shown = picture(job)
    assert shown.size == (320, 240)
    drawn = maker.draw_frame(0.2, "", 640, 480).resize((320, 240))
    assert max(ImageStat.Stat(ImageChops.difference(shown, drawn)).mean) < 8


def test_thumbnail_passes_over_a_black_beginning(folder: Path, job: JobContext) -> None:
    path = write_video(folder / "a.mp4", count=20, empty_until=5)

    video_info(path, job, thumbnail=True)

    assert_red_and_blue(picture(job))


def test_thumbnail_decodes_few_frames_where_only_the_first_stands_for_itself(
    folder: Path, job: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "MOST_DECODED", 3)
    path = write_video(folder / "a.mp4", count=60, empty_until=4)

    video_info(path, job, thumbnail=True)

    # So it never comes to a frame that is not black.
    assert max(high for _, high in picture(job).getextrema()) < 20


def test_thumbnail_of_a_black_video_is_black(folder: Path, job: JobContext) -> None:
    path = write_video(folder / "a.mp4", empty_until=10)

    video_info(path, job, thumbnail=True)

    assert max(high for _, high in picture(job).getextrema()) < 20


def test_thumbnail_of_one_frame_is_that_frame(folder: Path, job: JobContext) -> None:
    video_info(write_video(folder / "a.mp4", count=1), job, thumbnail=True)

    assert_red_and_blue(picture(job))


def test_thumbnail_has_pixels_as_wide_as_high(folder: Path, job: JobContext) -> None:
    path = write_video(folder / "a.mp4", size=(360, 288), aspect=Fraction(16, 15))

    assert video_info(path, job, thumbnail=True)["width"] == 360

    assert picture(job).size == (320, 240)


def test_thumbnail_of_a_turned_video_is_upright(folder: Path, job: JobContext) -> None:
    import av

    if not hasattr(av.VideoFrame, "rotation"):
        pytest.skip("this PyAV does not tell how a frame is turned")
    data = bytearray(maker.TINY_MP4.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    (folder / "turned.mp4").write_bytes(data)

    row = video_info(folder / "turned.mp4", job, thumbnail=True)

    assert (row["width"], row["height"]) == (160, 120)
    image = picture(job)
    assert image.size == (120, 160)
    # A quarter turn to the right brings the black band with the caption there.
    assert max(image.getpixel((118, 3))) < 40 < min(image.getpixel((5, 5))[1:2])


def test_thumbnail_of_what_cannot_be_decoded_says_so(folder: Path, job: JobContext) -> None:
    path = write_video(folder / "a.avi", "mpeg4", count=3)
    content = bytearray(path.read_bytes())
    start = content.index(b"movi") + 4
    for _ in range(3):
        length = int.from_bytes(content[start + 4 : start + 8], "little")
        content[start + 8 : start + 8 + length] = b"\x55" * length
        start += 8 + length + length % 2
    path.write_bytes(content)

    with pytest.raises(UnreadableVideoError) as caught:
        video_info(path, job, thumbnail=True)

    assert str(caught.value) == "a.avi: not a readable video: no frame of it can be decoded"


def test_ill_typed_thumbnail_is_refused_before_the_file_is_opened(
    tmp_path: Path, job: JobContext
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        video_info(tmp_path / "gone.mp4", job, thumbnail="yes")  # type: ignore[arg-type]
    assert str(caught.value) == "video_info: thumbnail='yes'; expected True or False"
    with pytest.raises(InvalidArgumentError, match="expected to be called by run_jobs"):
        video_info(maker.TINY_MP4, thumbnail=True)
