"""Zip archives of what jobs wrote: written, and compared byte for byte with the files themselves."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Part",
    "State",
    "as_part",
    "find_parts",
    "held_parts",
    "name_in_archive",
    "write_archive",
]

BLOCK_BYTES = 2**20
#: Ends of the names of files that compressing again makes no smaller.
COMPRESSED = frozenset(
    {
        *(".7z", ".bz2", ".gz", ".npz", ".parquet", ".pdf", ".xz", ".zip", ".zst"),
        *(".avif", ".gif", ".jpeg", ".jpg", ".png", ".webp"),
        *(".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".webm"),
    }
)

#: Of each of its files: inode, size and time of the last change.
State = list[tuple[int, int, int]]


@dataclass(frozen=True)
class Part:
    """What a job wrote under one name: a file, or a folder with all that is in it."""

    path: Path
    contents: tuple[Path, ...]

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(path.stat().st_size for path in self.contents if not path.is_dir())

    def state(self) -> State:
        """Return what differs when somebody writes to it."""
        found = (path.stat() for path in self.contents)
        return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in found]


def find_parts(outputs: Path) -> list[Part]:
    """List what lies in the folders of pipelines, but for what is half written or is no plain file."""
    parts = []
    for folder in _listed(outputs):
        if folder.is_dir() and not folder.is_symlink():
            for path in _listed(folder):
                part = as_part(path)
                if part is not None:
                    parts.append(part)
    return parts


def as_part(path: Path) -> Part | None:
    """Return a file or a folder with what is in it; None where a zip archive cannot hold all of it."""
    contents = _contents(path)
    return None if contents is None else Part(path, tuple(contents))


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _contents(path: Path) -> list[Path] | None:
    if path.is_symlink() or not (path.is_dir() or path.is_file()) or not _is_text(path.name):
        return None
    found = [path]
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            inner = _contents(entry)
            if inner is None:
                return None
            found += inner
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def name_in_archive(outputs: Path, path: Path) -> str:
    """Return what a file is called in an archive: its path below the folder of outputs."""
    return path.relative_to(outputs).as_posix()


def write_archive(partial: Path, outputs: Path, parts: Iterable[Part]) -> None:
    """Write an archive of parts, and have it on the disk."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for part in parts:
                for path in part.contents:
                    name = name_in_archive(outputs, path)
                    info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
                    if info.is_dir():
                        archive.writestr(info, b"")
                        continue
                    if path.suffix.lower() not in COMPRESSED:
                        info.compress_type = zipfile.ZIP_DEFLATED
                    with path.open("rb") as source, archive.open(info, "w") as target:
                        while block := source.read(BLOCK_BYTES):
                            target.write(block)
        file.flush()
        os.fsync(file.fileno())


def held_parts(archive: Path, outputs: Path, parts: Iterable[Part]) -> dict[Path, State]:
    """Return those parts that an archive holds byte for byte, with the state that they had.

    Each is read from the disk, with its size and checksum.
    """
    held = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {info.filename.rstrip("/"): info for info in opened.infolist()}
            for part in parts:
                state = part.state()
                if all(
                    _is_same(opened, members.get(name_in_archive(outputs, path)), path)
                    for path in part.contents
                ):
                    held[part.path] = state
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError):
        return {}  # not an archive of ours, or a damaged one
    return held


def _is_same(opened: zipfile.ZipFile, info: zipfile.ZipInfo | None, path: Path) -> bool:
    if info is None or info.is_dir() != path.is_dir():
        return False
    if info.is_dir():
        return True
    if info.file_size != path.stat().st_size:
        return False
    try:
        with opened.open(info) as member, path.open("rb") as part:
            while block := part.read(BLOCK_BYTES):
                if member.read(len(block)) != block:
                    return False
            return not member.read(1)  # which also compares the checksum
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False
