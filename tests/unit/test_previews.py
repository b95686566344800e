"""What an input looks like: each kind of file, and files that are broken, hostile or not there."""

from __future__ import annotations

import base64
import builtins
import io
import os
import re
import socket
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foregsyte_kaggle.previews import Preview, in_bytes, preview_input, tables, videos
from foregsyte_kaggle.previews import preview as shared
from foregsyte_kaggle.previews.images import PLAIN_BYTES

pytestmark = pytest.mark.unit

TINY_MP4 = Path(__file__).parents[1] / "fixtures" / "tiny.mp4"

#: The Pillow module, or a skip by name.
Pil = Any


@pytest.fixture
def pil() -> Pil:
    return pytest.importorskip("PIL.Image", reason="needs Pillow: pip install pillow")


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av", reason="needs PyAV: pip install 'foregsyte-kaggle[vision]'")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the import of a library fail."""

    def hide(hidden: str) -> None:
        real = builtins.__import__

        def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.partition(".")[0] == hidden:
                raise ImportError(f"No module named {hidden!r}", name=hidden)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)

    return hide


def picture_in(preview: Preview, pil: Pil) -> Any:
    """Decode the picture of a preview."""
    assert preview.kind == "image", preview.note
    data = base64.b64decode(preview.data_uri.partition(",")[2], validate=True)
    image = pil.open(io.BytesIO(data))
    image.load()
    return image


def colour_at(image: Any, x: float, y: float) -> str:
    """Name the strongest colour at a place, given as parts of width and height."""
    pixel = image.convert("RGB").getpixel((int(x * image.width), int(y * image.height)))
    return ("red", "green", "blue")[int(np.argmax(pixel))]


def two_colours(pil: Pil, size: tuple[int, int] = (800, 400)) -> Any:
    """Return a picture that is red on the left and blue on the right."""
    image = pil.new("RGB", size, (200, 0, 0))
    image.paste((0, 0, 200), (size[0] // 2, 0, *size))
    return image


def whole_png(width: int, height: int) -> bytes:
    """Return a whole PNG file of a given size whose pixels are zeros, compressed very well."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# --- pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("JPEG", "jpeg"),
        ("PNG", "jpeg"),
        ("GIF", "jpeg"),
        ("WEBP", "jpeg"),
        ("BMP", "jpeg"),
        ("TIFF", "jpeg"),
    ],
)
def test_picture_becomes_a_small_one_whatever_its_name(
    tmp_path: Path, pil: Pil, form: str, kind: str
) -> None:
    two_colours(pil).save(tmp_path / "picture.txt", form)
    preview = preview_input(tmp_path / "picture.txt")
    image = picture_in(preview, pil)
    assert preview.data_uri.startswith(f"data:image/{kind};base64,")
    assert image.size == (320, 160)
    assert (colour_at(image, 0.1, 0.5), colour_at(image, 0.9, 0.5)) == ("red", "blue")
    assert preview.note.startswith("800 by 400 pixels, ")


def test_small_picture_is_not_made_larger(tmp_path: Path, pil: Pil) -> None:
    two_colours(pil, (40, 20)).save(tmp_path / "a.png")
    assert picture_in(preview_input(tmp_path / "a.png"), pil).size == (40, 20)


def test_picture_is_turned_as_its_camera_says(tmp_path: Path, pil: Pil) -> None:
    exif = pil.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    two_colours(pil).save(tmp_path / "a.jpg", exif=exif)
    image = picture_in(preview_input(tmp_path / "a.jpg"), pil)
    assert image.size == (160, 320)
    assert (colour_at(image, 0.5, 0.1), colour_at(image, 0.5, 0.9)) == ("red", "blue")


def test_thumbnail_holds_nothing_but_its_pixels(tmp_path: Path, pil: Pil) -> None:
    exif = pil.Exif()
    exif[0x010E] = "where I live"
    two_colours(pil).save(
        tmp_path / "a.jpg", exif=exif, icc_profile=b"profile" * 10_000, comment=b"secret"
    )
    preview = preview_input(tmp_path / "a.jpg")
    data = base64.b64decode(preview.data_uri.partition(",")[2])
    assert len(data) < 10_000
    assert not [word for word in (b"live", b"profile", b"secret") if word in data]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_picture_stays_transparent(tmp_path: Path, pil: Pil, mode: str) -> None:
    image = pil.new("RGBA", (50, 50), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 25, 50))
    options = {"transparency": 0} if mode == "P" else {}
    (pil.new("P", (50, 50)) if mode == "P" else image.convert(mode)).save(
        tmp_path / "a.png", **options
    )
    shown = picture_in(preview_input(tmp_path / "a.png"), pil)
    assert shown.format == "PNG"
    assert shown.convert("RGBA").getpixel((40, 10))[3] == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16", "I", "F"])
def test_picture_of_every_mode_is_shown(tmp_path: Path, pil: Pil, mode: str) -> None:
    shades = np.tile(np.arange(64, dtype=np.uint16) * 40, (64, 1))
    image = pil.fromarray(shades)
    if mode != "I;16":
        deep = pil.fromarray(shades.astype(np.float32))
        image = (
            deep.convert(mode)
            if mode in ("I", "F")
            else deep.point(lambda v: v / 10).convert("L").convert(mode)
        )
    image.save(tmp_path / "a.tiff")
    shown = picture_in(preview_input(tmp_path / "a.tiff"), pil).convert("L")
    assert abs(shown.getpixel((1, 30)) - shown.getpixel((62, 30))) > 100, "dark and bright differ"


def test_bomb_is_not_decoded(tmp_path: Path, pil: Pil) -> None:
    for name, side in (("large.png", 8_000), ("warned.png", 10_000), ("refused.png", 60_000)):
        (tmp_path / name).write_bytes(whole_png(side, side))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            preview = preview_input(tmp_path / name)
        assert preview.kind == "none"
        assert "too many pixels for a preview" in preview.note


def test_bomb_is_told_though_somebody_took_the_guard_away(
    tmp_path: Path, pil: Pil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pil, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "bomb.png").write_bytes(whole_png(60_000, 60_000))
    assert "60,000 by 60,000 pixels" in preview_input(tmp_path / "bomb.png").note


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
def test_truncated_picture_says_so(tmp_path: Path, pil: Pil, form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    pil.fromarray(noise).save(tmp_path / "a", form)
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    preview = preview_input(tmp_path / "a")
    assert preview.kind == "none"
    assert preview.note.startswith("The image (")
    assert " cannot be shown: " in preview.note


def test_postscript_starts_no_program(tmp_path: Path, pil: Pil) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert preview_input(tmp_path / "a.png").kind == "text"


def test_picture_without_pillow_is_shown_as_it_is(
    tmp_path: Path, pil: Pil, without: Callable[[str], None]
) -> None:
    two_colours(pil).save(tmp_path / "a.png")
    (tmp_path / "a.bmp").write_bytes(b"")
    two_colours(pil).save(tmp_path / "a.bmp")
    large = (tmp_path / "a.png").read_bytes() + bytes(PLAIN_BYTES)
    (tmp_path / "large.png").write_bytes(large)
    without("PIL")
    preview = preview_input(tmp_path / "a.png")
    assert base64.b64decode(preview.data_uri.partition(",")[2]) == (tmp_path / "a.png").read_bytes()
    assert preview.data_uri.startswith("data:image/png;base64,")
    for name in ("large.png", "a.bmp"):
        preview = preview_input(tmp_path / name)
        assert preview.kind == "none"
        assert "needs Pillow for a preview: pip install pillow" in preview.note


# --- videos ----------------------------------------------------------------------------------------


def test_video_shows_its_middle_frame(av: Any, pil: Pil) -> None:
    from tests.fixtures import make_tiny_mp4 as maker

    preview = preview_input(TINY_MP4)
    image = picture_in(preview, pil)
    assert image.format == "JPEG"
    assert image.size == (160, 120)
    assert preview.note == "A frame of 160 by 120 pixels, at 1.0 s."
    rectangle, circle = maker.shapes_at(1.0)
    for box, colour in ((rectangle, "red"), (circle, "blue")):
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        assert colour_at(image, x / 160, y / 120) == colour


def test_large_video_is_scaled(tmp_path: Path, av: Any, pil: Pil) -> None:
    from tests.fixtures import make_tiny_mp4 as maker

    maker.write_clip(tmp_path / "large.mp4", width=1280, height=720, seconds=0.3)
    assert picture_in(preview_input(tmp_path / "large.mp4"), pil).size == (320, 180)


def test_video_is_turned_as_it_is_shown(tmp_path: Path, av: Any, pil: Pil) -> None:
    data = bytearray(TINY_MP4.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 0x10000
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 0x40000000)
    (tmp_path / "turned.mp4").write_bytes(data)
    image = picture_in(preview_input(tmp_path / "turned.mp4"), pil)
    if not hasattr(av.VideoFrame, "rotation"):
        pytest.skip("this PyAV does not tell how a frame is turned")
    assert image.size == (120, 160)
    # The black band with the caption was on top, and a quarter turn clockwise brings it to the right.
    assert max(image.getpixel((118, 3))) < 40
    assert colour_at(image, 0.05, 0.05) == "green"


def test_truncated_mp4_says_so(tmp_path: Path, av: Any) -> None:
    data = TINY_MP4.read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 4])
    preview = preview_input(tmp_path / "a.mp4")
    assert preview.kind == "none"
    assert " cannot be shown: Invalid data found" in preview.note
    assert str(tmp_path) not in preview.note


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".ts", ".mov"])
def test_video_of_each_container_that_is_cut_or_damaged_shows_a_frame(
    tmp_path: Path, av: Any, pil: Pil, suffix: str
) -> None:
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264")
    with av.open(str(tmp_path / f"a{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(40):
            shade = np.full((120, 160, 3), number * 6, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(stream.encode(None))
    whole = preview_input(tmp_path / f"a{suffix}")
    assert abs(picture_in(whole, pil).convert("L").getpixel((80, 60)) - 120) < 15, "the middle one"
    data = bytearray((tmp_path / f"a{suffix}").read_bytes())
    if suffix != ".mov":  # its table of contents is at its end
        (tmp_path / "cut").write_bytes(data[: len(data) * 9 // 10])
        assert preview_input(tmp_path / "cut").kind == "image"
    data[len(data) // 2 : len(data) // 2 + 100] = bytes(100)
    (tmp_path / "damaged").write_bytes(data)
    assert preview_input(tmp_path / "damaged").note.startswith(("A frame of ", "The video"))


def test_head_of_a_video_alone_is_a_note(tmp_path: Path, av: Any) -> None:
    (tmp_path / "a.mp4").write_bytes(TINY_MP4.read_bytes()[:40])
    preview = preview_input(tmp_path / "a.mp4")
    assert preview.kind == "none"
    assert preview.note.startswith("The video (40 bytes) cannot be shown: ")


def test_video_of_too_many_pixels_is_not_decoded(
    tmp_path: Path, av: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "MOST_PIXELS", 160 * 120 - 1)
    preview = preview_input(TINY_MP4)
    assert preview.kind == "none"
    assert preview.note == "The video has too many pixels for a preview: 160 by 120 pixels."


def test_video_that_takes_long_shows_the_frame_it_came_to(
    av: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "DECODING_SECONDS", -1)
    assert preview_input(TINY_MP4).note == "A frame of 160 by 120 pixels, at 0.0 s."


def test_reading_ends_when_its_time_is_over(
    tmp_path: Path, av: Any, pil: Pil, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_colours(pil).save(tmp_path / "a.jpg")
    pd.DataFrame({"id": [1]}).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(shared, "SECONDS", -1)
    for path in (TINY_MP4, tmp_path / "a.jpg", tmp_path / "a.parquet"):
        preview = preview_input(path)
        assert preview.kind == "none"
        assert " cannot be shown: " in preview.note


def test_song_has_no_picture(tmp_path: Path, av: Any) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    preview = preview_input(tmp_path / "song.mp4")
    assert preview == Preview(note="There is no video in the file that PyAV can read.")


def test_playlist_named_as_a_video_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    assert preview_input(tmp_path / "a.mp4").kind == "text"


def test_missing_pyav_says_what_to_install(without: Callable[[str], None]) -> None:
    without("av")
    preview = preview_input(TINY_MP4)
    assert preview.kind == "none"
    assert preview.note.endswith("needs PyAV (pip install av) for a preview.")


# --- text ------------------------------------------------------------------------------------------


def test_text_shows_its_first_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(
        "".join(f"line {number}\r\n" for number in range(100)), newline=""
    )
    preview = preview_input(tmp_path / "a.log")
    assert preview.text == "\n".join(f"line {number}" for number in range(20))
    assert preview.note == "The first 20 lines of 890 bytes."


def test_short_text_is_shown_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\nna\xefve\n")
    preview = preview_input(tmp_path / "a")
    assert preview.text == "café\nna�ve"
    assert preview.note == "All of it, 15 bytes."


def test_text_of_one_long_line_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("é" * 5_000_000)
    preview = preview_input(tmp_path / "a.json")
    assert preview.text == "é" * 4_000
    assert preview.note == "The first 4,000 characters of 10.0 MB."


def test_text_of_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("naïve\r\nsecond".encode("utf-16"))
    assert preview_input(tmp_path / "a.txt").text == "naïve\nsecond"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}"),
        ("a.bin", bytes(range(128, 256)) * 8),
        ("a.pdf", b"%PDF-1.4\n1 0 obj\n"),
        ("a.zip", b"PK\x03\x04\x14\x00\x00\x00"),
    ],
)
def test_other_files_have_a_note_with_their_size(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    suffix = Path(name).suffix
    expected = f"There is no preview of this {suffix} file ({in_bytes(len(data))})."
    assert preview_input(tmp_path / name) == Preview(note=expected)


# --- tables ----------------------------------------------------------------------------------------


def test_csv_shows_its_first_rows_and_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({f"c{number}": range(50) for number in range(12)})
    frame.to_csv(tmp_path / "a.CSV", index=False)
    preview = preview_input(tmp_path / "a.CSV")
    assert preview.kind == "table"
    assert preview.header == tuple(f"c{number}" for number in range(8))
    assert preview.rows == tuple((str(row),) * 8 for row in range(8))
    assert preview.note == "The first 8 rows, 8 of 12 columns."


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.csv", 'name,said\na,"one, ""two"" and\nthree"\n', (("a", 'one, "two" and\nthree'),)),
        ("a.csv", 'name,said\na,"never closed\nb,c\n', (("a", "never closed\nb,c\n"),)),
        ("a.csv", "name;said\n1,5;x\n", (("1,5", "x"),)),
        ("a.tsv", "name\tsaid\na,b\tc\n", (("a,b", "c"),)),
        ("a.csv", "name,said\na\n\nb,c,d\n", (("a", "", ""), ("b", "c", "d"))),
        ("a.csv", "\ufeffname,said\r\na,b\r\n", (("a", "b"),)),
    ],
    ids=["quotes", "open quote", "semicolons", "tabs", "ragged", "BOM and CRLF"],
)
def test_csv_of_every_habit_is_read(
    tmp_path: Path, name: str, text: str, rows: tuple[tuple[str, ...], ...]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    preview = preview_input(tmp_path / name)
    assert preview.header[:2] == ("name", "said")
    assert preview.rows == rows


def test_csv_reads_no_more_than_its_beginning(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w") as file:
        file.write("name,said\n" + f"a,{'x' * 5_000}\n" * 3 + '"' + "y" * 5_000_000)
    preview = preview_input(tmp_path / "a.csv")
    assert preview.rows == (("a", "x" * 199 + "…"),) * 3
    assert preview.note == "The first 3 rows."


def test_csv_that_python_refuses_is_shown_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables.csv.field_size_limit(10)
    try:
        (tmp_path / "a.csv").write_text("name\n" + "x" * 50)
        assert preview_input(tmp_path / "a.csv").kind == "text"
    finally:
        tables.csv.field_size_limit(before)


def test_parquet_shows_types_and_first_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": range(1_000),
            "name": ["a" * 500, None, *["c"] * 998],
            "scores": [[0.5] * 100] * 1_000,
            "data": [b"\x00" * 1_234] * 1_000,
            "when": pd.Timestamp("2026-01-02T03:04:05Z"),
            **{f"more{number}": 0 for number in range(8)},
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    preview = preview_input(tmp_path / "a.parquet")
    assert preview.kind == "table", preview.note
    assert preview.header[0] == "id (int64)"
    assert preview.note == "The first 8 rows of 1,000, 8 of 13 columns."
    first, second = preview.rows[:2]
    assert first[0] == "0"
    assert first[1] == "a" * 199 + "…"
    assert first[2] == "[" + "0.5, " * 20 + "…]"
    assert first[3] == "1.2 kB"
    assert str(first[4]).startswith("2026-01-02 03:04:05")
    assert second[1] is None
    assert len(preview.rows) == 8


def test_parquet_without_rows_shows_its_columns(tmp_path: Path) -> None:
    pd.DataFrame({"id": [1], "name": ["a"]}).head(0).to_parquet(tmp_path / "a.parquet")
    preview = preview_input(tmp_path / "a.parquet")
    assert preview.header[0] == "id (int64)"
    assert preview.rows == ()
    assert preview.note == "0 rows."


@pytest.mark.parametrize("part", ["end", "middle", "footer"])
def test_broken_parquet_says_so(tmp_path: Path, part: str) -> None:
    pd.DataFrame({"id": range(1_000)}).to_parquet(tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    broken = {
        "end": data[:-9],
        "middle": data[:4] + bytes(len(data) - 12) + data[-8:],
        "footer": data[:-8] + b"\xff\xff\xff\x7fPAR1",
    }
    (tmp_path / "a.parquet").write_bytes(broken[part])
    preview = preview_input(tmp_path / "a.parquet")
    assert preview.kind == "none"
    assert preview.note.startswith("The Parquet file (")


# --- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["gone.mp4", "a.txt/below", "https://example.org/a.png", "a\0b"])
def test_what_is_not_there_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a")
    preview = preview_input(path)
    assert preview.kind == "none"
    if "\0" in path:  # in the words of Python, which 3.13 changed
        assert re.fullmatch(r"It cannot be shown: .*embedded null .*\.", preview.note)
    else:
        assert preview.note == "There is no such file now."


def test_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert preview_input(tmp_path / "a.png").note == "The file is empty (0 bytes)."


def test_folder_counts_what_is_in_it(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    assert preview_input(tmp_path).note == "A folder with 3 files and 1 folder."
    assert preview_input(tmp_path / "inner").note == "A folder with 0 files."


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        for name in ("pipe.mp4", "link", "socket"):
            preview = preview_input(tmp_path / name)
            assert preview.kind == "none"
            assert preview.note.startswith("It is no regular file")


def test_file_that_may_not_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr(Path, "open", refuse)
    assert preview_input(tmp_path / "a.txt").note == "It cannot be read: Permission denied."


def test_name_that_is_not_unicode_is_opened(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9:x.txt")
    path.write_text("inside")
    assert preview_input(path).text == "inside"


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_250, "1.2 kB"),
        (12_500, "12 kB"),
        (1_300_000, "1.3 MB"),
        (2_000_000_000, "2.0 GB"),
    ],
)
def test_size_is_told_in_the_unit_that_fits(size: int, said: str) -> None:
    assert in_bytes(size) == said
