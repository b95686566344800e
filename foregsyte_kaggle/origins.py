"""Which folder a source's name stands for in a ledger, and what may change that."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.identity import decode_path, encode_path, encode_paths
from foregsyte_kaggle.ledger import NOW

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.sources import Inputs

__all__ = ["note_source"]

#: How many known inputs are looked for in a new place.
SAMPLE = 20


def note_source(
    connection: DuckDBPyConnection, inputs: Inputs, directory: Path, *, named: bool
) -> Inputs:
    """Add the source to the ledger, or check that it is the one that has this name already.

    Parameters
    ----------
    directory
        The workspace's; roots below it are stored relative to it, so that they move with it.
    named
        Whether the user gave the name. Then a source that is found in a new place is known again, and
        paths below its known folder go on counting from there.

    Returns
    -------
    Inputs
        The same, with paths that count from the folder that the name stands for.

    Raises
    ------
    SourceError
        If the name belongs to another source.
    """
    known = connection.execute(
        "SELECT kind, root FROM sources WHERE name = $name", {"name": inputs.name}
    ).fetchall()
    root = _stored_root(inputs.root, directory)
    values = {"name": inputs.name, "kind": inputs.kind, "root": root}
    if not known:
        connection.execute(
            "INSERT INTO sources (name, kind, root, created_at, updated_at)"
            f" VALUES ($name, $kind, $root, {NOW}, {NOW})",
            values,
        ).fetchall()
        return inputs
    kind, known_root = known[0]
    if (kind == "ids") != (inputs.kind == "ids") or (known_root is None) != (root is None):
        raise SourceError(
            f"the name {inputs.name!r} belongs to a source of another kind ({kind}) in this ledger; "
            f"pass another one, such as name='{inputs.name}-2'"
        )
    if inputs.root is None or known_root == root:
        return inputs
    old = directory / decode_path(known_root)
    if not named:
        raise SourceError(
            f"the name {inputs.name!r} belongs to {old} in this ledger, and this source is at "
            f"{inputs.root}. Pass name={inputs.name!r} if it is the same data in a new place, or another "
            "name to keep the two apart."
        )
    sample = _sample(connection, inputs.name)
    if old in inputs.root.parents and _any_exists(old, sample):
        return _counted_from(old, inputs)
    if sample and not _any_exists(inputs.root, sample):
        raise SourceError(
            f"the name {inputs.name!r} belongs to {old} in this ledger, and none of its inputs is at "
            f"{inputs.root}, such as {sample[0]!r}. Pass another name, or the folder that holds them now."
        )
    connection.execute(
        f"UPDATE sources SET root = $root, kind = $kind, updated_at = {NOW} WHERE name = $name",
        values,
    ).fetchall()
    return inputs


def _sample(connection: DuckDBPyConnection, name: str) -> list[str]:
    rows = connection.execute(
        f"SELECT input_path FROM jobs WHERE source = $name LIMIT {SAMPLE}", {"name": name}
    ).fetchall()
    return [decode_path(path) for (path,) in rows]


def _any_exists(root: Path, paths: list[str]) -> bool:
    return any(os.path.exists(os.path.join(root, path)) for path in paths)


def _counted_from(root: Path, inputs: Inputs) -> Inputs:
    import pyarrow as pa

    assert inputs.root is not None
    inner = inputs.root.relative_to(root).as_posix()
    paths = [
        inner if path == "." else f"{inner}/{decode_path(path)}"
        for path in inputs.paths.to_pylist()
    ]
    return replace(inputs, root=root, paths=pa.array(encode_paths(paths), pa.string()))


def _stored_root(root: Path | None, directory: Path) -> str | None:
    """Return a root as the ledger stores it: relative to the workspace if inside it."""
    if root is None:
        return None
    if root == directory or directory in root.parents:
        return encode_path(root.relative_to(directory).as_posix())
    return encode_path(str(root))
