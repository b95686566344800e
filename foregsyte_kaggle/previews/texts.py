"""First lines of a text."""

from __future__ import annotations

import codecs
import re

from foregsyte_kaggle.previews.preview import Preview, in_bytes

__all__ = ["decode_text", "preview_text"]

LINES = 20
CHARACTERS = 4_000

#: More than this part of odd characters, and it is no text; text of an older encoding has fewer.
MOST_ODD = 0.3

UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_odd_characters = re.compile("[\x01-\x07\x0b\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


def decode_text(head: bytes) -> str | None:
    """Return the text that a file begins with, odd bytes replaced; None if it is no text."""
    if head.startswith(b"%PDF-"):  # text in part, but not for people
        return None
    encoding = UTF_16.get(head[:2], "utf-8")
    if encoding == "utf-8" and b"\0" in head:
        return None
    # Incremental, since the end may be in the middle of a character.
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    text = decoder.decode(head).removeprefix("\ufeff")
    if "\0" in text or len(_odd_characters.findall(text)) > MOST_ODD * len(text):
        return None
    return text


def preview_text(text: str, size: int, *, is_whole: bool) -> Preview:
    """Return the first lines of a text.

    Parameters
    ----------
    text
        The beginning of the file.
    size
        Of the file, in bytes.
    is_whole
        Whether the file ends there.
    """
    # Other ends of lines are shown as they are written.
    body = text.replace("\r\n", "\n").removesuffix("\n")
    lines = body.split("\n")[:LINES]
    shown = "\n".join(lines)[:CHARACTERS]
    if is_whole and shown == body:
        note = f"All of it, {in_bytes(size)}."
    elif len(shown) == CHARACTERS:
        note = f"The first {CHARACTERS:,} characters of {in_bytes(size)}."
    else:
        note = f"The first {len(lines):,} line{'' if len(lines) == 1 else 's'} of {in_bytes(size)}."
    return Preview(kind="text", text=shown, note=note)
