"""The room that a run leaves on the disk, and how many files it leaves there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from foregsyte_kaggle.quantities import in_bytes, parse_bytes
from foregsyte_kaggle.surroundings import disk_space, is_on_kaggle
from foregsyte_kaggle.worker import PARTIAL_FOLDER

__all__ = ["DiskWatch", "find_disk_watch"]

#: Kept of the working folder's 20 GB in a session of Kaggle's. A version whose folder is full when it is
#: saved is lost: papermill writes the notebook to it, Kaggle's runner a module (two logs of such runs).
RESERVE_BYTES = 500_000_000
#: With so many times the reserve left, it warns.
WARN_AT = 2
#: A look costs microseconds, and several workers write hundreds of megabytes a second.
LOOK_SECONDS = 0.5

#: Of about 500 files that Kaggle hands out of a version's output (Kaggle's staff, kaggle-cli issue 664).
MANY_FILES = 400
COUNT_SECONDS = 10.0


def find_disk_watch(
    reserve: str | float | None, directory: Path, outputs: Path, warn: Callable[[str], None]
) -> DiskWatch | None:
    """Return who looks after the disk during a run; None where nothing is asked for.

    Parameters
    ----------
    reserve
        ``"auto"``: 500 MB in a session of Kaggle's, nothing elsewhere. Or bytes, or text such as
        ``"500MB"``; None for nothing.
    directory
        The workspace's, whose own file system counts.
    outputs
        The folder whose files are counted, on Kaggle.
    warn
        Told of what will be short.

    Raises
    ------
    InvalidArgumentError
        If it is none of these.
    """
    is_auto = isinstance(reserve, str) and reserve.strip().lower() == "auto"
    kept = 0
    if is_auto:
        kept = RESERVE_BYTES if is_on_kaggle() else 0
    elif reserve is not None:
        kept = parse_bytes("disk_reserve", reserve)
    if not kept and not is_on_kaggle():
        return None
    return DiskWatch(directory, kept, outputs if is_on_kaggle() else None, warn)


class DiskWatch:
    """Looks at the disk now and then, and warns once of each thing.

    Parameters
    ----------
    directory
        On whose file system it looks.
    reserve
        Bytes that must stay free.
    outputs
        The folder whose files it counts; None for no counting.
    warn
        Told of what will be short.

    Attributes
    ----------
    reason : str
        What it saw when it last looked.
    is_near : bool
        Whether it is so near to its reserve that jobs should begin one at a time.
    """

    def __init__(
        self, directory: Path, reserve: int, outputs: Path | None, warn: Callable[[str], None]
    ) -> None:
        self.reason = ""
        self.is_near = False
        self._directory = directory
        self._reserve = reserve
        self._outputs = outputs
        self._warn = warn
        self._warned = self._is_low = False
        self._looked_at = self._counted_at = float("-inf")

    def is_low(self) -> bool:
        """Return whether less than the reserve is free; cheap enough to be asked all the time."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        if now - self._counted_at >= COUNT_SECONDS:
            self._counted_at = now
            self.count_files()
        return self._is_low

    def _look(self) -> None:
        space = disk_space(self._directory) if self._reserve else None
        if space is None:
            return
        free, total = space
        kept = in_bytes(self._reserve)
        self.reason = f"{in_bytes(free)} free of {in_bytes(total)}, and {kept} are kept free"
        self._is_low = free < self._reserve
        self.is_near = free < WARN_AT * self._reserve
        if self.is_near and not (self._warned or self._is_low):
            self._warned = True
            self._warn(
                f"the disk of the working folder fills up: {self.reason}; below that the run begins no"
                " more jobs"
            )

    def count_files(self) -> None:
        """Warn when there are nearly more files than Kaggle hands out."""
        if self._outputs is not None and has_files(self._outputs, MANY_FILES):
            self._outputs = None
            self._warn(
                f"there are {MANY_FILES} files or more in data/outputs, and of a version's output Kaggle"
                " hands out about 500; pack_outputs() puts them into one archive"
            )


def has_files(folder: Path, number: int) -> bool:
    """Return whether a folder holds so many files, those of its folders too; no more are looked at."""
    left, folders = number, [os.fspath(folder)]
    while folders and left > 0:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        left -= 1
                    elif entry.name != PARTIAL_FOLDER:
                        folders.append(entry.path)
                    if left <= 0:
                        break
        except OSError:  # not there yet, or removed meanwhile
            continue
    return left <= 0
