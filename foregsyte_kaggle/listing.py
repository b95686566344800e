"""Files below a folder with their sizes: one sorted walk, tolerant of what cannot be read."""

from __future__ import annotations

import os
from bisect import bisect
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from foregsyte_kaggle.identity import encode_paths
from foregsyte_kaggle.patterns import matcher

__all__ = ["Listing", "folder_size", "list_files", "list_folders"]

#: Links within links within links are followed this far: folders that link to each other can be
#: walked in more ways than there is time for.
MOST_LINKS = 3


class Listing(NamedTuple):
    """What was found below a folder."""

    paths: list[str]
    """Relative to the folder, as the ledger stores them, sorted as text."""
    sizes: list[int]
    """Bytes."""
    skipped: list[tuple[str, str]]
    """Paths that could not be read, each with the reason."""


def list_files(root: Path, pattern: str, exclude: Collection[Path] = ()) -> Listing:
    """Return the files below a folder that match.

    Names that begin with a dot are left out. Links are followed, but never into a folder that is being
    walked already.

    Parameters
    ----------
    exclude
        Files and folders that are left out, by their real paths.
    """
    matches = matcher(pattern)
    paths: list[str] = []
    sizes: list[int] = []
    skipped: list[tuple[str, str]] = []
    for prefix, names, found in _walk(os.path.realpath(root), exclude, skipped):
        chosen = names
        if matches is not None:
            chosen = [name for name in names if matches(prefix + name)]
        paths += [prefix + name for name in chosen] if prefix else chosen
        sizes += map(found.__getitem__, chosen)
    return Listing(encode_paths(paths), sizes, skipped)


def list_folders(root: Path, pattern: str, exclude: Collection[Path] = ()) -> Listing:
    """Return the folders that directly hold files that match, with the sum of these files' sizes."""
    matches = matcher(pattern)
    folders: dict[str, int] = {}
    skipped: list[tuple[str, str]] = []
    for prefix, names, found in _walk(os.path.realpath(root), exclude, skipped):
        matching = [name for name in names if matches is None or matches(prefix + name)]
        if matching:
            folder = prefix[:-1] or "."
            folders[folder] = folders.get(folder, 0) + sum(found[name] for name in matching)
    ordered = sorted(folders)
    return Listing(encode_paths(ordered), [folders[folder] for folder in ordered], skipped)


def folder_size(root: Path, folder: str, pattern: str) -> int:
    """Return the size of one folder below a root, as ``list_folders`` counts it."""
    matches = matcher(pattern)
    prefix = "" if folder == "." else f"{folder}/"
    found, _ = _scan(os.path.join(root, folder), prefix, [])
    return sum(size for name, size in found.items() if matches is None or matches(prefix + name))


def _walk(
    root: str, exclude: Collection[Path], skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, list[str], dict[str, int]]]:
    """Yield the files of each folder in sorted runs, so that all paths together come sorted.

    Yields
    ------
    prefix, names, sizes
        What stands before the names: empty, or a relative path with its slash; names in order; sizes
        of all files of that folder by name.
    """
    left_out: dict[str, set[str]] = {}
    for path in exclude:
        left_out.setdefault(os.fspath(path.parent), set()).add(path.name)
    waiting: list[_Folder | _Run] = [_Folder("", root, ())]
    while waiting:
        at = waiting.pop()
        if isinstance(at, _Run):
            yield at
            continue
        sizes, folders = _scan(at.path, at.prefix, skipped)
        for name in left_out.get(at.path, ()):
            sizes.pop(name, None)
            folders.pop(name, None)
        names = sorted(sizes)
        runs: list[_Folder | _Run] = []
        begin = 0
        # A folder comes where its name with a slash would: "clip-1.mp4" < "clip/a.mp4" < "clip1.mp4".
        for name in sorted(folders, key=lambda name: name + "/"):
            inner = _enter(at, name, is_link=folders[name], skipped=skipped)
            if inner is None:
                continue
            end = bisect(names, name + "/")
            runs += [_Run(at.prefix, names[begin:end], sizes), inner]
            begin = end
        runs.append(_Run(at.prefix, names[begin:], sizes))
        waiting += reversed(runs)


class _Folder(NamedTuple):
    """A folder that waits to be walked."""

    prefix: str
    path: str
    departures: tuple[str, ...]
    """The real folders that links led away from, on the way here."""


class _Run(NamedTuple):
    """Some files of a folder that come one after the other."""

    prefix: str
    names: list[str]
    sizes: dict[str, int]


def _scan(
    folder: str, prefix: str, skipped: list[tuple[str, str]]
) -> tuple[dict[str, int], dict[str, bool]]:
    """Return the sizes of a folder's files by name, and its folders: whether each is a link."""
    files: dict[str, int] = {}
    folders: dict[str, bool] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                try:
                    if entry.is_file():
                        files[name] = entry.stat().st_size
                    elif entry.is_dir():
                        folders[name] = entry.is_symlink()
                    else:
                        what = "a broken link" if entry.is_symlink() else "no file and no folder"
                        skipped.append((prefix + name, what))
                except OSError as error:
                    skipped.append((prefix + name, error.strerror or str(error)))
    except OSError as error:
        skipped.append((prefix[:-1] or ".", error.strerror or str(error)))
    return files, folders


def _enter(
    at: _Folder, name: str, *, is_link: bool, skipped: list[tuple[str, str]]
) -> _Folder | None:
    """Return a folder to walk; None for a link that leads back or too far.

    Only a link can lead back, so the file system is not asked about plain folders.
    """
    inner = _Folder(f"{at.prefix}{name}/", os.path.join(at.path, name), at.departures)
    if not is_link:
        return inner
    target = os.path.realpath(inner.path)
    departures = (*at.departures, os.path.realpath(at.path))
    if any(os.path.commonpath([target, left]) == target for left in departures):
        skipped.append((inner.prefix[:-1], "a link to a folder above it"))
        return None
    if len(departures) > MOST_LINKS:
        skipped.append((inner.prefix[:-1], f"a link inside {MOST_LINKS} others"))
        return None
    return inner._replace(departures=departures)
