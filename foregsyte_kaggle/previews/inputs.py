"""``preview_input``: which preview a file gets, told by its first bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from foregsyte_kaggle.previews.images import image_type, preview_image
from foregsyte_kaggle.previews.preview import SIDE, Preview, in_bytes
from foregsyte_kaggle.previews.tables import is_parquet, preview_csv, preview_parquet
from foregsyte_kaggle.previews.texts import decode_text, preview_text
from foregsyte_kaggle.previews.videos import preview_video, video_format

__all__ = ["preview_input"]

#: Of a text, more than this is not read.
HEAD_BYTES = 64 * 1024

#: Entries of a folder that are counted.
MOST_ENTRIES = 10_000

#: What the ends of names say where the content is only text.
DELIMITERS = {".csv": None, ".tsv": "\t"}


def preview_input(path: str | os.PathLike[str], side: int = SIDE) -> Preview:
    """Return what can be shown of a file.

    Only folders and regular files are looked into: a named pipe would wait, and a device has no end.

    Parameters
    ----------
    path
        The file or folder.
    side
        Pixels of the longer side of a picture, at most.

    Returns
    -------
    Preview
        Of the kind ``"none"`` with a note where it is not there, cannot be read, or holds nothing that can
        be shown. No error is raised.
    """
    try:
        return _preview(Path(path), side)
    except OSError as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return Preview(note="There is no such file now.")
        return Preview(note=f"It cannot be read: {error.strerror or error}.")
    except Exception as error:  # noqa: BLE001 - a preview is a convenience, and a file may hold anything
        return Preview(note=f"It cannot be shown: {_words(error)}.")


def _preview(path: Path, side: int) -> Preview:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return Preview(note=_describe_folder(path))
    if not stat.S_ISREG(status.st_mode):
        return Preview(
            note="It is no regular file, but a pipe, socket or device; it is not opened."
        )
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        # In /proc and its kin, files have no size and a content.
        size = max(os.fstat(file.fileno()).st_size, len(head))
    if not head:
        return Preview(note="The file is empty (0 bytes).")
    return _preview_content(path, head, size, side)


def _preview_content(path: Path, head: bytes, size: int, side: int) -> Preview:
    if (kind := image_type(head)) is not None:
        return _attempt("image", size, lambda: preview_image(path, kind, size, side))
    if (form := video_format(head)) is not None:
        return _attempt("video", size, lambda: preview_video(path, form, side))
    if is_parquet(head):
        return _attempt("Parquet file", size, lambda: preview_parquet(path, size))
    text = decode_text(head)
    if text is None:
        name = f"{path.suffix} file" if path.suffix else "file"
        return Preview(note=f"There is no preview of this {name} ({in_bytes(size)}).")
    is_whole = size <= len(head)
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        found = preview_csv(text, DELIMITERS[suffix], is_whole=is_whole)
        if found is not None:
            return found
    return preview_text(text, size, is_whole=is_whole)


def _attempt(name: str, size: int, preview: Callable[[], Preview]) -> Preview:
    try:
        return preview()
    except ImportError as error:
        library = {"av": "PyAV (pip install av)"}.get(error.name or "", error.name or str(error))
        return Preview(note=f"The {name} ({in_bytes(size)}) needs {library} for a preview.")
    except Exception as error:  # noqa: BLE001 - as above
        return Preview(note=f"The {name} ({in_bytes(size)}) cannot be shown: {_words(error)}.")


def _describe_folder(path: Path) -> str:
    files = folders = 0
    with os.scandir(path) as entries:
        for entry in entries:
            if files + folders == MOST_ENTRIES:
                return f"A folder with more than {MOST_ENTRIES:,} entries."
            is_folder = entry.is_dir(follow_symlinks=False)
            folders += is_folder
            files += not is_folder
    counts = f"{files:,} file{'' if files == 1 else 's'}"
    if folders:
        counts += f" and {folders:,} folder{'' if folders == 1 else 's'}"
    return f"A folder with {counts}."


def _words(error: Exception) -> str:
    """Return an error in one short line."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:200].rstrip(".") or type(error).__name__
