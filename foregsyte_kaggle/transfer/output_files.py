"""Copying output files from one workspace to another: all of them, or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.packed import UNREADABLE, Archives
from foregsyte_kaggle.surroundings import missing_room
from foregsyte_kaggle.worker import PARTIAL_FOLDER, remove_output

__all__ = ["Output", "copy_outputs", "find_outputs", "partial_folder"]

#: What a file takes on the disk is a multiple of it.
BLOCK_BYTES = 4096


class Output(NamedTuple):
    """An output file, or a folder that a job wrote: on the disk, or inside of the archive that is there."""

    path: Path
    member: str | None = None


def partial_folder(outputs: Path) -> Path:
    """Return the folder in which copies are until all of them are whole."""
    return outputs / PARTIAL_FOLDER


def find_outputs(outputs: Path) -> Iterator[Path]:
    """Give the files in a folder of outputs, without what is half written, relative to it."""
    for folder, folders, names in os.walk(outputs):
        folders[:] = sorted(name for name in folders if name != PARTIAL_FOLDER)
        for name in sorted(names):
            yield Path(folder, name).relative_to(outputs)


def copy_outputs(
    wanted: Mapping[Path, Output], archives: Archives, outputs: Path, advice: str
) -> list[Path]:
    """Copy output files to where they belong, each under its final name once all of them are whole.

    Parameters
    ----------
    wanted
        What to copy, by where it comes; what is in an archive was found by ``archives.hold``.
    outputs
        The folder of outputs that they come to.
    advice
        What the error says to do.

    Returns
    -------
    list of pathlib.Path
        Those that did not come, since they are in an archive that is damaged.

    Raises
    ------
    LedgerError
        If there is no room for all of them beside what is kept free, or one cannot be copied; the room
        that others took is free again then.
    """
    partial = partial_folder(outputs)
    remove_output(partial)  # what a process that was killed left
    whole: list[tuple[Path, Path]] = []
    damaged: list[Path] = []
    placed: list[Path] = []
    to = outputs
    try:
        needed = sum(_size(output, archives) for output in wanted.values())
        missing = missing_room(outputs, needed) if needed else ""
        if missing:
            raise LedgerError(
                f"there is no room for the output files that come to {outputs}: {missing}. {advice}"
            )
        for number, (to, output) in enumerate(wanted.items()):
            try:
                whole.append((_copy(output, archives, partial / str(number)), to))
            except OSError:
                raise
            except UNREADABLE:  # which copying again would not mend
                remove_output(partial / str(number))
                damaged.append(to)
        for copy, to in whole:
            if not to.exists():
                placed.append(to)
            _place(copy, to)
    except OSError as error:
        _remove(placed)
        raise LedgerError(
            f"an output file cannot be copied to {to}: {error.strerror or error}. {advice}"
        ) from error
    except BaseException:
        _remove(placed)
        raise
    finally:
        remove_output(partial)
    return damaged


def _size(output: Output, archives: Archives) -> int:
    """Return how much of the disk a copy takes."""
    if output.member is not None:
        sizes = archives.sizes(output.path, output.member)
    elif output.path.is_dir():
        sizes = [
            os.stat(os.path.join(folder, name)).st_size
            for folder, _, names in os.walk(output.path)
            for name in names
        ]
    else:
        sizes = [output.path.stat().st_size]
    return sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in sizes)


def _copy(output: Output, archives: Archives, partial: Path) -> Path:
    partial.parent.mkdir(parents=True, exist_ok=True)
    if output.member is not None:
        return archives.take_out(output.path, output.member, partial)
    (shutil.copytree if output.path.is_dir() else shutil.copyfile)(output.path, partial)
    return partial


def _place(copy: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy.is_dir() or target.is_dir():
        remove_output(target)
    os.replace(copy, target)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        remove_output(path)
