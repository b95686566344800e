"""Pictures as thumbnails, with Pillow where it is installed."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.previews.preview import (
    MOST_PIXELS,
    Preview,
    TimedFile,
    as_data_uri,
    in_bytes,
)

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["image_type", "preview_image"]

#: Without Pillow, a picture up to this size is shown as it is.
PLAIN_BYTES = 300_000

#: Some formats are read into memory as a whole, so a larger file is not looked into.
MOST_BYTES = 100_000_000

#: The formats that Pillow is let try; not PostScript, for which it starts a program.
MAGIC = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
BROWSERS_SHOW = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def image_type(head: bytes) -> str | None:
    """Return the type of a picture by its first bytes; None if it is none that can be shown."""
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    # Two letters may begin any text, so the header's size and four empty bytes count too.
    if head.startswith(b"BM") and head[6:10] == bytes(4) and head[14:18] in BITMAP_HEADERS:
        return "image/bmp"
    return None


BITMAP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}


def preview_image(path: Path, kind: str, size: int, side: int) -> Preview:
    """Return a thumbnail; may raise what Pillow raises for a damaged file.

    Parameters
    ----------
    kind
        As ``image_type`` told it.
    size
        In bytes.
    side
        Pixels of the thumbnail's longer side, at most.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        return _as_it_is(path, kind, size)
    if size > MOST_BYTES:
        return Preview(note=f"The image ({in_bytes(size)}) is too large for a preview.")
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        # What is wrong with the file is no concern of who looks at it; whether it is too large is asked
        # below, by a limit that no other code changes.
        warnings.simplefilter("ignore")
        file = stack.enter_context(TimedFile(path))
        try:
            image = stack.enter_context(Image.open(file, formats=[kind.partition("/")[2].upper()]))
        except Image.DecompressionBombError:
            return Preview(note=f"The image ({in_bytes(size)}) has too many pixels for a preview.")
        width, height = image.size
        note = f"{width:,} by {height:,} pixels, {in_bytes(size)}"
        if width * height > MOST_PIXELS:
            return Preview(note=f"The image has too many pixels for a preview: {note}.")
        small = _scalable(image)
        small.thumbnail((side, side))  # which decodes a JPEG at a part of its size
        with contextlib.suppress(Exception):  # damaged EXIF data
            small = ImageOps.exif_transpose(small)
        return Preview(kind="image", data_uri=_encode(small), note=f"{note}.")


def _scalable(image: Image.Image) -> Image.Image:
    """Return an image of a mode that scales smoothly; itself, not decoded yet, for most."""
    if image.mode.startswith(("I", "F")):  # scans of 16 bits and more, of which little is used
        deep = image.convert("F")
        low, high = map(float, deep.getextrema())  # type: ignore[arg-type]
        scale = 255 / ((high - low) or 1)
        return deep.point(lambda value: value * scale - low * scale).convert("L")
    if "transparency" in image.info or image.mode == "PA":
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("1", "P") else image


def _encode(image: Image.Image) -> str:
    has_alpha = image.mode.lower() in ("rgba", "la")
    shown = image.convert("RGBA" if has_alpha else "RGB")
    # Colour profiles and comments may be larger than the picture.
    shown.info = {}
    written = io.BytesIO()
    shown.save(written, "PNG" if has_alpha else "JPEG")
    return as_data_uri("image/png" if has_alpha else "image/jpeg", written.getvalue())


def _as_it_is(path: Path, kind: str, size: int) -> Preview:
    if kind in BROWSERS_SHOW and size <= PLAIN_BYTES:
        with path.open("rb") as file:
            data = file.read(PLAIN_BYTES)
        return Preview(
            kind="image",
            data_uri=as_data_uri(kind, data),
            note=f"The file itself, {in_bytes(size)}.",
        )
    return Preview(
        note=f"The image ({in_bytes(size)}) needs Pillow for a preview: pip install pillow."
    )
