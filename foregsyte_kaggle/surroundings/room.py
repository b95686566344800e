"""The room on the disk that a session keeps free."""

from __future__ import annotations

from pathlib import Path

from foregsyte_kaggle.quantities import in_bytes
from foregsyte_kaggle.surroundings.kind import is_on_kaggle
from foregsyte_kaggle.surroundings.machine import disk_space

__all__ = ["missing_room", "reserve_bytes"]

#: Kept of the working folder's 20 GB in a session of Kaggle's. A version whose folder is full when it is
#: saved is lost: papermill writes the notebook to it, Kaggle's runner a module (two logs of such runs).
RESERVE_BYTES = 500_000_000


def reserve_bytes() -> int:
    """Return how many bytes stay free unless somebody says otherwise: 500 MB on Kaggle, none elsewhere."""
    return RESERVE_BYTES if is_on_kaggle() else 0


def missing_room(folder: Path, needed: int) -> str:
    """Return what to say if a disk has no room for so many bytes beside the reserve; else nothing.

    Parameters
    ----------
    folder
        Where the bytes are to come; it need not be there yet.
    """
    there = next(one for one in (folder, *folder.parents) if one.exists())
    space, kept = disk_space(there), reserve_bytes()
    if space is None or needed + kept <= space[0]:
        return ""
    beside = f" beside the {in_bytes(kept)} that are kept free" if kept else ""
    return f"{in_bytes(needed)} are needed{beside}, and {in_bytes(space[0])} are free"
