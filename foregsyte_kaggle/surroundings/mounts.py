"""Where Kaggle attaches inputs."""

from __future__ import annotations

import os
from pathlib import Path

from foregsyte_kaggle.surroundings.kind import is_on_kaggle

__all__ = ["input_root", "input_roots"]


def input_roots() -> tuple[Path, ...]:
    """Return the folder that Kaggle attaches inputs below, and before it one that stands in for it.

    That is ``KAGGLE_CACHE_MOUNT_FOLDER``, as kagglehub reads it. The first is where inputs are looked
    for; paths below any of them mean attached inputs. None of them need exist.
    """
    given = os.environ.get("KAGGLE_CACHE_MOUNT_FOLDER")
    usual = Path("/kaggle/input")
    return (Path(given), usual) if given else (usual,)


def input_root() -> Path | None:
    """Return the folder that inputs are attached below in this session; None in one that is none of Kaggle's."""
    is_given = bool(os.environ.get("KAGGLE_CACHE_MOUNT_FOLDER"))
    return input_roots()[0] if is_given or is_on_kaggle() else None
