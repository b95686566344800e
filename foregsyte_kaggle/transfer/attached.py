"""What earlier notebooks left among the inputs of this one: their ledgers and their output files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from foregsyte_kaggle.database import LEDGER_FILE
from foregsyte_kaggle.identity import decode_path, encode_path
from foregsyte_kaggle.layouts import parts_below
from foregsyte_kaggle.mounts import attached_inputs, moved_to
from foregsyte_kaggle.packed import IN_ARCHIVE, Archives, split_packed
from foregsyte_kaggle.surroundings import input_roots

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.workspace import Workspace

__all__ = [
    "attached_ledgers",
    "earlier_outputs",
    "find_output",
    "ledger_of",
    "locate",
    "place_in_output",
    "recorded_archives",
    "stored_folder",
]

#: Where a workspace has the files that jobs write.
OUTPUTS = ("data", "outputs")
TOP = Path()


def attached_ledgers(place: Path = TOP) -> list[Path]:
    """Return the ledgers in attached outputs of notebooks, and in datasets made from such.

    Parameters
    ----------
    place
        Where in an output to look; then at its top.
    """
    inputs = (one.folder for one in attached_inputs() if one.kind not in ("competition", "model"))
    found = (ledger_of(folder, place) for folder in inputs)
    return [path for path in found if path is not None]


def ledger_of(path: Path, place: Path = TOP) -> Path | None:
    """Return the ledger at a path: the file itself, or the one in a folder; None where there is none."""
    candidates = (
        path,
        path / place / LEDGER_FILE,
        path / LEDGER_FILE,
        path / LEDGER_FILE.name,
    )
    return next((one for one in candidates if one.is_file()), None)


def place_in_output(directory: Path) -> Path:
    """Return where in a notebook's output a workspace is: its path below the working folder."""
    for working in (Path.cwd(), Path("/kaggle/working")):
        if directory.is_relative_to(working):
            return directory.relative_to(working)
    return TOP


def find_output(workspace: Workspace, recorded: str) -> Path | None:
    """Return where a file is that a job wrote; of one in an archive, where that is. None if it is nowhere.

    Looked for in the workspace first, then in the outputs of the notebooks that it continued from.

    Parameters
    ----------
    workspace
        The one that has the job.
    recorded
        The file's path as the ledger has it.
    """
    with Archives() as archives:
        own = locate(recorded, [workspace.outputs], archives)
        return own or locate(recorded, earlier_outputs(workspace.database), archives)


def locate(recorded: str, folders: Iterable[Path], archives: Archives) -> Path | None:
    """Return where a file, or the archive that holds it, is: the first there is.

    Parameters
    ----------
    recorded
        The file's path as the ledger has it.
    folders
        The folders of outputs of the workspaces that may have it.
    """
    name, member = split_packed(recorded)
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts:
        return None
    for folder in folders:
        if parts[:2] == OUTPUTS:
            path = folder.joinpath(*parts[2:])
        elif folder.parts[-2:] == OUTPUTS:
            path = folder.parents[1] / name
        else:
            continue
        if _exists(path) if member is None else archives.hold(path, member):
            return path
    return None


def earlier_outputs(database: Database) -> list[Path]:
    """Return the folders that output files of sessions before stayed in, the latest first."""
    with database.reading() as cursor:
        rows = cursor.execute(
            "SELECT outputs_from FROM ledger_info WHERE outputs_from IS NOT NULL"
            " ORDER BY generation DESC"
        ).fetchall()
    return [folder for (stored,) in rows for folder in _found_folders(stored)]


def recorded_archives(database: Database) -> set[str]:
    """Return the archives that the ledger has files in, as it names them."""
    mark = f".zip{IN_ARCHIVE}"
    with database.reading() as cursor:
        rows = cursor.execute(
            "SELECT DISTINCT split_part(path, $mark, 1) FROM (SELECT output_path AS path FROM jobs"
            " UNION ALL SELECT unnest(json_extract_string(output_paths, '$[*]')) FROM job_attempts"
            " WHERE contains(output_paths::VARCHAR, $mark)) WHERE contains(path, $mark)",
            {"mark": mark},
        ).fetchall()
    return {f"{name}.zip" for (name,) in rows}


def stored_folder(folder: Path) -> str:
    """Return a folder as the ledger stores it: as a path below the folder of attached inputs if it is one."""
    parts = parts_below(folder, input_roots())
    return encode_path(str(PurePosixPath(*parts) if parts else folder))


def _found_folders(stored: str) -> list[Path]:
    """Return where a folder that ``stored_folder`` gave is now: one or none, or several of that name."""
    folder = input_roots()[0] / decode_path(stored)
    # The folder itself may be missing, if all of its files are in an archive elsewhere.
    if folder.parent.is_dir():
        return [folder]
    return [place / folder.name for _, place in moved_to(folder.parent)]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no name that a file can have
        return False
