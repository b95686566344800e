"""Output files in an archive that ``pack_outputs`` made: by their recorded paths, and taken out again.

A path that the ledger has counts from the working directory. ``data/outputs/packed-1.zip!/detect/x.json``
is the file ``detect/x.json`` in an archive. What a job wrote may also be a folder, of which the archive has
``detect/x/`` and all that is in it.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Self

__all__ = [
    "IN_ARCHIVE",
    "UNREADABLE",
    "Archives",
    "output_size",
    "split_packed",
    "unpacked",
]

#: Stands between an archive and a file in it.
IN_ARCHIVE = "!/"
#: What reading a file in an archive raises, when either is damaged, locked, or not there.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
#: A larger file is not taken out of its archive to be looked at.
UNPACKED_BYTES = 64 * 2**20


def split_packed(recorded: str) -> tuple[str, str | None]:
    """Return a recorded path in two: that of a file on the disk, and what it is inside of that.

    The second is None where the file itself is meant.
    """
    file, found, member = recorded.partition(f".zip{IN_ARCHIVE}")
    return (f"{file}.zip", member) if found and member else (recorded, None)


def output_size(path: Path | None, member: str | None) -> int | None:
    """Return the size of a file, or of what is inside an archive; None where it is not there now.

    Parameters
    ----------
    path, member
        As ``split_packed`` gives them, the first on this disk.
    """
    try:
        status = path.stat() if path is not None else None
        if path is None or status is None or not stat.S_ISREG(status.st_mode):
            return None
        if member is None:
            return status.st_size
        with zipfile.ZipFile(path) as archive:
            return archive.getinfo(member).file_size
    except UNREADABLE:
        return None


@contextmanager
def unpacked(path: Path | None, member: str | None) -> Iterator[Path | None]:
    """Give a file; one in an archive as a copy, for the time it is looked at.

    None where it is not in its archive, or too large to copy.

    Parameters
    ----------
    path, member
        As ``split_packed`` gives them, the first on this disk.
    """
    if path is None or member is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="foregsyte-") as folder:
        copy = Path(folder, "output").with_suffix(PurePosixPath(member).suffix)
        try:
            with zipfile.ZipFile(path) as archive, archive.open(member) as packed:
                content = packed.read(UNPACKED_BYTES + 1)
            is_there = len(content) <= UNPACKED_BYTES
            if is_there:
                copy.write_bytes(content)
        except UNREADABLE:
            is_there = False
        yield copy if is_there else None


class Archives:
    """Archives that stay open while many of their files are looked for."""

    def __init__(self) -> None:
        self._opened: dict[Path, zipfile.ZipFile | None] = {}
        self._contents: dict[Path, dict[str, list[zipfile.ZipInfo]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._opened.values():
            if opened is not None:
                opened.close()

    def hold(self, path: Path, member: str) -> bool:
        """Return whether the archive at a path has a file, or a folder, of that name."""
        if path not in self._opened:
            try:
                self._opened[path] = zipfile.ZipFile(path)
            except UNREADABLE:
                self._opened[path] = None
        opened = self._opened[path]
        return opened is not None and bool({member, f"{member}/"} & opened.NameToInfo.keys())

    def take_out(self, path: Path, member: str, folder: Path) -> Path:
        """Write a file, or a folder with all that is in it, below another folder; return where.

        For what ``hold`` found. Raises one of ``UNREADABLE`` if it is damaged.
        """
        opened = self._opened[path]
        assert opened is not None
        for info in self._found(path, member):
            opened.extract(info, folder)  # which goes nowhere above the folder
        return folder / member

    def sizes(self, path: Path, member: str) -> list[int]:
        """Return how large the files are that ``take_out`` writes."""
        return [info.file_size for info in self._found(path, member)]

    def _found(self, path: Path, member: str) -> list[zipfile.ZipInfo]:
        opened = self._opened[path]
        assert opened is not None
        within = f"{member}/"
        if within not in opened.NameToInfo:
            return [opened.getinfo(member)]
        if path not in self._contents:
            contents: dict[str, list[zipfile.ZipInfo]] = {}
            for info in opened.infolist():
                contents.setdefault(_written_as(info.filename), []).append(info)
            self._contents[path] = contents
        near = self._contents[path].get(_written_as(member), [])
        return [info for info in near if info.filename.startswith(within)]


def _written_as(name: str) -> str:
    """Return what a job wrote that a file in an archive is, or is in: a pipeline's folder and a name in it."""
    return "/".join(name.split("/", 2)[:2])
