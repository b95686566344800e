"""Files that jobs wrote to ``data/outputs``: those that no job is recorded with any more are removed.

A path that the ledger has counts from the working directory. ``data/outputs/packed-1.zip!/detect/x.json``
is the file ``detect/x.json`` in an archive that ``pack_outputs`` made.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from foregsyte_kaggle.worker import PARTIAL_FOLDER, remove_output

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.recording import Ended

__all__ = [
    "IN_ARCHIVE",
    "find_unclaimed",
    "output_size",
    "remove_files",
    "remove_partial",
    "split_packed",
    "unpacked",
]

#: Stands between an archive and a file in it.
IN_ARCHIVE = "!/"
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
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
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
        except (
            OSError,
            ValueError,
            KeyError,
            NotImplementedError,
            RuntimeError,
            zipfile.BadZipFile,
        ):
            is_there = False
        yield copy if is_there else None


def find_unclaimed(connection: DuckDBPyConnection, group: Iterable[Ended]) -> list[str]:
    """Return files of jobs that the last try, which the group holds, is not recorded with.

    Those are the files of a try whose result cannot be stored, and what earlier tries of a job wrote,
    unless the last one wrote it again. As ``job_attempts.output_paths`` has them.
    """
    found: set[tuple[str, str]] = set()
    kept: set[str] = set()
    owners: dict[str, str] = {}
    again: list[str] = []
    for ended in group:
        paths = ended.outcome.output_paths
        if ended.attempt > 1:
            again.append(ended.job_id)
        elif paths is None:
            continue
        owners[ended.job_id] = ended.pipeline_id
        named = [f"data/outputs/{path}" for path in paths or ()]
        if ended.outcome.outcome == "completed":
            kept.update(named)
        else:
            found.update((ended.job_id, path) for path in named)
    if again:
        found.update(
            connection.execute(
                "SELECT job_id::VARCHAR, unnest(json_extract_string(output_paths, '$[*]'))"
                " FROM job_attempts"
                " WHERE output_paths IS NOT NULL AND job_id IN (SELECT unnest($ids)::UUID)",
                {"ids": again},
            ).fetchall()
        )

    def is_own(job_id: str, path: str | None) -> bool:
        # A ledger may be written by hand, and what is removed here is gone.
        beginning = f"data/outputs/{owners[job_id]}/{job_id}-"
        return path is not None and path.startswith(beginning) and path.count("/") == 3

    return sorted(path for job_id, path in found if path not in kept and is_own(job_id, path))


def remove_files(folder: Path, paths: Iterable[str]) -> None:
    """Remove files from the folder of outputs; one that is gone, or cannot be removed, is passed over."""
    for path in paths:
        remove_output(folder / path.removeprefix("data/outputs/"))


def remove_partial(folder: Path) -> None:
    """Remove what jobs that were killed left half written; only while no run works."""
    for partial in folder.glob(f"*/{PARTIAL_FOLDER}"):
        remove_output(partial)
