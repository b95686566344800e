"""Paths as a list or table gives them: which folder they count from, and whether files are there."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.identity import ENCODED
from foregsyte_kaggle.listing import folder_size

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["as_list", "below", "common_root", "is_plain", "sizes_of"]

#: Files of a list or table are looked at one by one up to this many: 2.5 µs each on a local disk, far
#: more on a network drive. Of a longer one, whose registering costs less than that, only some are.
LOOKED_AT = 100_000
SAMPLE = 1_000

#: What tells that a path must be looked at: a control character, an absolute path, an empty part, a part
#: that begins with a dot, or what ``encode_path`` begins with.
_ODD = rf"[\x00-\x1f]|^/|/$|//|^\.|/\.|^{ENCODED}"


def is_plain(texts: pa.Array | list[str]) -> bool:
    """Return whether all texts may be stored as they are, as paths too."""
    import pyarrow.compute as pc

    return not isinstance(texts, list) and not pc.any(pc.match_substring_regex(texts, _ODD)).as_py()


def common_root(absolute: list[str]) -> tuple[Path, list[str]]:
    """Return the folder that holds all of these normal paths, and the paths relative to it."""
    root = os.path.commonpath({os.path.dirname(path) for path in absolute})
    start = len(os.path.join(root, ""))
    return Path(root), _posix([path[start:] for path in absolute])


def below(root: Path, texts: list[str], label: str) -> list[str]:
    """Return a table's paths relative to the folder that they count from.

    Raises
    ------
    SourceError
        If one climbs out of it.
    """
    relative = _posix([os.path.normpath(text) for text in texts])
    if any(map(os.path.isabs, relative)):
        relative = _posix(
            [os.path.relpath(path, root) if os.path.isabs(path) else path for path in relative]
        )
    for text, path in zip(texts, relative, strict=True):
        if path.startswith("..") and path[2:3] in ("", "/"):
            raise SourceError(
                f"{label} has the path {text!r}, which climbs out of its source {root}; expected paths "
                "below it, or absolute ones only"
            )
    return relative


def sizes_of(
    root: Path,
    relative: pa.Array | list[str],
    label: str,
    pattern: str,
    unit: str,
    given: Sequence[str] = (),
) -> pa.Array:
    """Return the sizes of files or folders and check that they are there; NULL where not looked at.

    Parameters
    ----------
    given
        The paths as the user wrote them, where they may differ.

    Raises
    ------
    SourceError
        If some are not there.
    """
    import pyarrow as pa

    count = len(relative)
    step = 1 if count <= LOOKED_AT else count // SAMPLE
    sizes, missing = _look_at(root, as_list(relative[::step]), pattern, unit)
    if missing and step > 1:
        _, missing = _look_at(root, as_list(relative), pattern, unit)
    if missing:
        if given:
            written = dict(zip(relative, given, strict=True))
            missing = [written[path] for path in missing]
        advice = "Correct them or leave them out."
        if not root.is_dir():
            advice = (
                "That folder is not there. Where a cluster's workers see it and this machine does not, register "
                "the paths as ids, which are passed as they are: pd.DataFrame({'id': paths})."
            )
        raise SourceError(
            f"{len(missing):,} of {count:,} paths of {label} are no {unit}s below {root}, "
            f"first {missing[:3]}. {advice}"
        )
    return pa.array(sizes, pa.int64()) if step == 1 else pa.nulls(count, pa.int64())


def _look_at(
    root: Path, paths: list[str], pattern: str, unit: str
) -> tuple[list[int | None], list[str]]:
    if unit == "folder":
        sizes = [
            folder_size(root, path, pattern) if os.path.isdir(f"{root}/{path}") else None
            for path in paths
        ]
    else:
        sizes = [_file_size(f"{root}/{path}") for path in paths]
    missing = [path for path, size in zip(paths, sizes, strict=True) if size is None]
    return sizes, missing


def _file_size(path: str) -> int | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def as_list(texts: pa.Array | list[str]) -> list[str]:
    """Return texts as Python has them."""
    return texts if isinstance(texts, list) else texts.to_pylist()


def _posix(paths: list[str]) -> list[str]:
    return paths if os.sep == "/" else [path.replace(os.sep, "/") for path in paths]
