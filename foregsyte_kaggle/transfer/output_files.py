"""Copying output files from one workspace to another, each whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.packed import Archives
from foregsyte_kaggle.worker import PARTIAL_FOLDER, remove_output

__all__ = ["copy_file", "copy_tree", "unpack_file"]


def copy_tree(source: Path, target: Path) -> int:
    """Copy the output files that are missing, and leave out half-written ones; return how many.

    Raises
    ------
    LedgerError
        If there is no room for all of them; nothing is copied then.
    """
    wanted: list[tuple[Path, Path, int]] = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if name != PARTIAL_FOLDER)
        for name in sorted(names):
            file = Path(folder, name)
            to = target / file.relative_to(source)
            size = file.stat().st_size
            if not to.exists():
                wanted.append((file, to, size))
    needed = sum(size for _, _, size in wanted)
    target.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target).free
    if needed > free:
        raise LedgerError(
            f"the output files in {source} cannot be copied to {target}: {needed:,} bytes needed, "
            f"{free:,} free. Free some room, or leave them where they are with outputs='leave'."
        )
    for file, to, _ in wanted:
        copy_file(file, to)
    return len(wanted)


def copy_file(source: Path, target: Path) -> None:
    """Copy an output file, or a folder that a job wrote, under its final name once it is whole."""
    partial = _begin(target)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, partial)
    _end(partial, target)


def unpack_file(archives: Archives, archive: Path, member: str, target: Path) -> None:
    """Copy an output file, or a folder, that is in an archive, under its final name once it is whole."""
    partial = _begin(target)
    try:
        _end(archives.take_out(archive, member, partial), target)
    finally:
        remove_output(partial)


def _begin(target: Path) -> Path:
    partial = target.parent / PARTIAL_FOLDER / target.name
    partial.parent.mkdir(parents=True, exist_ok=True)
    remove_output(partial)
    return partial


def _end(partial: Path, target: Path) -> None:
    if partial.is_dir() or target.is_dir():
        remove_output(target)
    os.replace(partial, target)
