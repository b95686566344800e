"""Files below a folder with their sizes: one sorted walk, tolerant of what cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from foregsyte_kaggle.identity import encode_path
from foregsyte_kaggle.patterns import matcher

__all__ = ["list_files", "list_folders"]

Listing = tuple[list[str], list[int], list[tuple[str, str]]]


def list_files(root: Path, pattern: str, exclude: Path | None = None) -> Listing:
    """Return the files below a folder that match, as stored paths with sizes, and what was skipped.

    Names that begin with a dot are left out. Links are followed, but never into a folder that is being
    walked already.

    Returns
    -------
    paths, sizes, skipped
        Paths relative to ``root``, sorted; bytes; (path, reason) of what could not be read.
    """
    matches = matcher(pattern)
    found: list[tuple[str, int]] = []
    skipped: list[tuple[str, str]] = []
    for _, files in _walk(os.fspath(root), exclude, skipped):
        found += files if matches is None else [file for file in files if matches(file[0])]
    found.sort()
    return [encode_path(path) for path, _ in found], [size for _, size in found], skipped


def list_folders(root: Path, pattern: str, exclude: Path | None = None) -> Listing:
    """Return the folders that directly hold files that match, with the sum of these files' sizes."""
    matches = matcher(pattern)
    found: list[tuple[str, int]] = []
    skipped: list[tuple[str, str]] = []
    for folder, files in _walk(os.fspath(root), exclude, skipped):
        sizes = [size for path, size in files if matches is None or matches(path)]
        if sizes:
            found.append((folder or ".", sum(sizes)))
    found.sort()
    return [encode_path(path) for path, _ in found], [size for _, size in found], skipped


def _walk(
    root: str, exclude: Path | None, skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield each folder, relative to the root, with the relative paths and sizes of its files."""
    left_out = os.fspath(exclude) if exclude is not None else None
    waiting: list[tuple[str, str, tuple[str, ...]]] = [("", root, ())]
    while waiting:
        prefix, folder, departures = waiting.pop()
        files: list[tuple[str, int]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name[0] == ".":
                        continue
                    path = prefix + name
                    try:
                        if entry.is_file():
                            files.append((path, entry.stat().st_size))
                        elif entry.is_dir():
                            if entry.path == left_out:
                                continue
                            trail = _trail(departures, folder, entry)
                            if trail is None:
                                skipped.append((path, "a link to a folder above it"))
                            else:
                                waiting.append((path + "/", entry.path, trail))
                        else:
                            skipped.append((path, "neither a file nor a folder, or a broken link"))
                    except OSError as error:
                        skipped.append((path, error.strerror or str(error)))
        except OSError as error:
            skipped.append((prefix.rstrip("/") or ".", error.strerror or str(error)))
        yield prefix.rstrip("/"), files


def _trail(departures: tuple[str, ...], folder: str, entry: os.DirEntry[str]) -> tuple[str, ...] | None:
    """Return the folders that links led away from on the way into ``entry``; None if it leads back.

    Only a link can lead back, so the file system is not asked about plain folders.
    """
    if not entry.is_symlink():
        return departures
    target = os.path.realpath(entry.path)
    trail = (*departures, os.path.realpath(folder))
    return None if any(os.path.commonpath([target, left]) == target for left in trail) else trail
