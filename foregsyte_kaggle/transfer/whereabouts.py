"""Where the output files of completed jobs are: here, in an earlier notebook's output, or nowhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.packed import Archives, split_packed
from foregsyte_kaggle.transfer.attached import OUTPUTS, earlier_outputs, locate

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = ["Whereabouts", "locate_outputs"]


@dataclass(frozen=True)
class Whereabouts:
    """How many output files are where.

    Attributes
    ----------
    left : dict of pathlib.Path to int
        Those that are in the outputs of notebooks which this one continued from, and not here.
    missing : int
        Those that are in none that is attached.
    """

    left: dict[Path, int]
    missing: int


def locate_outputs(database: Database, outputs: Path) -> Whereabouts:
    """Look for the files of each completed job's last attempt.

    Parameters
    ----------
    outputs
        The workspace's own folder of outputs.
    """
    folders = [outputs, *earlier_outputs(database)]
    # Listed once, since asking a mounted folder for each file takes long.
    listed = [_list(folder) for folder in folders]
    left, missing = [0] * len(folders), 0
    with Archives() as archives:
        for recorded in _recorded(database):
            found = _find(recorded, folders, listed, archives)
            if found is None:
                missing += 1
            else:
                left[found] += 1
    return Whereabouts({folders[at]: left[at] for at in range(1, len(left)) if left[at]}, missing)


def _find(
    recorded: str, folders: Sequence[Path], listed: Sequence[set[str]], archives: Archives
) -> int | None:
    if split_packed(recorded)[1] is None:
        return next((at for at, names in enumerate(listed) if recorded in names), None)
    places = (at for at, folder in enumerate(folders) if locate(recorded, [folder], archives))
    return next(places, None)


def _list(folder: Path) -> set[str]:
    """Return the files and folders that jobs wrote to a folder of outputs, as ledgers name them."""
    top = "/".join(OUTPUTS)
    names: set[str] = set()
    for pipeline in _entries(folder):
        names.update(f"{top}/{pipeline}/{name}" for name in _entries(folder / pipeline))
    return names


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # it is not there, or no folder
        return []


def _recorded(database: Database) -> list[str]:
    query = """
        SELECT DISTINCT path FROM (
            SELECT unnest(json_extract_string(output_paths, '$[*]')) AS path
            FROM job_attempts JOIN jobs USING (job_id)
            WHERE jobs.status = 'completed' AND job_attempts.finished_at = jobs.finished_at
            UNION ALL SELECT output_path FROM jobs WHERE status = 'completed'
        ) WHERE path IS NOT NULL
    """
    with database.reading() as cursor:
        return [path for (path,) in cursor.execute(query).fetchall()]
