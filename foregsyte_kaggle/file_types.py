"""The MIME type of a file, by its name or by its first bytes."""

from __future__ import annotations

import codecs
import mimetypes
import re
from functools import cache
from pathlib import Path

__all__ = ["HEAD_BYTES", "MATROSKA_MAGIC", "type_by_content", "type_by_name"]

#: So many of its first bytes tell.
HEAD_BYTES = 4096

MATROSKA_MAGIC = b"\x1aE\xdf\xa3"
_COMPRESSED_TYPES = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}
_MAGIC_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"PK\x05\x06": "application/zip",
    b"\x1f\x8b": "application/gzip",
    b"PAR1": "application/vnd.apache.parquet",
}
# The brand that follows "ftyp"; every other one is taken for MP4.
_BRAND_TYPES = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"avif": "image/avif",
    b"heic": "image/heic",
}
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


@cache
def _known_names() -> mimetypes.MimeTypes:
    # Without the system's list, by which a .ts file is a translation on many machines.
    return mimetypes.MimeTypes()


def type_by_name(path: Path) -> str | None:
    """Return what the suffixes of a name mean; None if they say nothing."""
    # Only the suffixes, since guess_type reads a name such as "data:x.mp4" as a URL.
    kind, encoding = _known_names().guess_type("name" + "".join(path.suffixes[-2:]), strict=False)
    return kind if encoding is None else _COMPRESSED_TYPES.get(encoding)


def type_by_content(head: bytes) -> str | None:
    """Return what the first bytes of a file mean; None if they say nothing."""
    for magic, kind in _MAGIC_TYPES.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return _BRAND_TYPES.get(head[8:12], "video/mp4")
    if head[4:8] in {b"moov", b"mdat", b"wide"}:
        return "video/quicktime"
    if head.startswith(MATROSKA_MAGIC):
        return "video/webm" if b"webm" in head[:64] else "video/matroska"
    return "text/plain" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    try:
        # Incremental, since the head may end in the middle of a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and not _CONTROL_CHARACTERS.search(text)
