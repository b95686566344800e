"""The built-in pipelines, on real files and on the broken ones that a data set holds."""

from __future__ import annotations

import ast
import gzip
import hashlib
import os
import pickle
import sys
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from foregsyte_kaggle.registry import builtin
from foregsyte_kaggle.registry.builtin import UnreadableVideoError, file_info, video_info
from tests.fixtures import make_tiny_mp4 as maker

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


def test_module_imports_only_the_standard_library_at_the_top() -> None:
    tree = ast.parse(Path(builtin.__file__).read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in imports
        for alias in node.names
    }
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


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
    folder: Path, pipeline: Callable[[Path], builtin.Row]
) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        pipeline(folder)

    assert str(caught.value) == (
        f"{folder} is a folder and {pipeline.__name__} takes one file: register with unit='file'"
    )


@pytest.mark.parametrize("pipeline", [file_info, video_info])
def test_missing_file_stays_a_missing_file(
    folder: Path, pipeline: Callable[[Path], builtin.Row]
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
