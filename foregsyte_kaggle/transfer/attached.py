"""What earlier notebooks left among the inputs of this one: their ledgers and their output files.

A mount is looked for by its name, in the old layout (``<slug>``) and in the new one
(``notebooks/<owner>/<slug>``, ``datasets/<owner>/<slug>``), since it may be elsewhere tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from foregsyte_kaggle.database import LEDGER_FILE
from foregsyte_kaggle.identity import decode_path, encode_path
from foregsyte_kaggle.surroundings import input_root

if TYPE_CHECKING:
    from foregsyte_kaggle.workspace import Workspace

__all__ = [
    "all_mounts",
    "find_output",
    "found_folder",
    "ledger_of",
    "mounts_named",
    "stored_folder",
]

#: The folders of the new layout that may hold a notebook's output.
KINDS = ("notebooks", "datasets")
#: Those that hold none.
OTHER_KINDS = ("competitions", "models")


def all_mounts(root: Path) -> Iterator[Path]:
    """Give what is attached below the input root, sorted; looks three folders deep at most."""
    for kind in KINDS:
        for owner in _folders(root / kind):
            yield from _folders(owner)
    yield from (one for one in _folders(root) if one.name not in (*KINDS, *OTHER_KINDS))


def mounts_named(root: Path, owner: str | None, slug: str) -> list[Path]:
    """Return the mounts that may be the one of this owner and name, in either layout."""
    found = []
    for kind in KINDS:
        owners = _folders(root / kind) if owner is None else [root / kind / owner]
        found += [folder / slug for folder in owners]
    return [folder for folder in (*found, root / slug) if folder.is_dir()]


def ledger_of(path: Path) -> Path | None:
    """Return the ledger at a path: the file itself, or the one in a folder; None where there is none."""
    candidates = (path, path / LEDGER_FILE, path / LEDGER_FILE.name)
    return next((one for one in candidates if one.is_file()), None)


def find_output(workspace: Workspace, path: str) -> Path | None:
    """Return where a file is that a job wrote, by its path as the ledger has it; None if it is nowhere.

    Looked for in the workspace first, then in the outputs of the notebooks that it continued from.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return None
    own = workspace.directory / pure
    if _exists(own):
        return own
    if pure.parts[:2] != ("data", "outputs"):
        return None
    with workspace.database.reading() as cursor:
        rows = cursor.execute(
            "SELECT outputs_from FROM ledger_info WHERE outputs_from IS NOT NULL"
            " ORDER BY generation DESC"
        ).fetchall()
    for (stored,) in rows:
        for folder in found_folder(stored):
            earlier = folder.joinpath(*pure.parts[2:])
            if _exists(earlier):
                return earlier
    return None


def stored_folder(folder: Path) -> str:
    """Return a folder as the ledger stores it: relative to the input root if below it."""
    root = input_root()
    if root is not None and folder.is_relative_to(root):
        return encode_path(folder.relative_to(root).as_posix())
    return encode_path(str(folder))


def found_folder(stored: str) -> list[Path]:
    """Return where a folder that ``stored_folder`` gave is now: one or none, or several of that name."""
    folder, root = Path(decode_path(stored)), input_root()
    if folder.is_absolute():
        return [folder]
    if root is None:
        return []
    first, *rest = folder.parts
    if first in KINDS and len(rest) > 1:
        owner, slug, *inner = rest
        mounts = mounts_named(root, owner, slug)
    else:
        inner, mounts = rest, mounts_named(root, None, first)
    # The place that it had before comes first.
    found = [root / folder, *(mount.joinpath(*inner) for mount in mounts)]
    return [one for one in dict.fromkeys(found) if one.is_dir()]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no name that a file can have
        return False


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
    except OSError:
        return []
