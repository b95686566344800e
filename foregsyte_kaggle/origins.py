"""Which folder a source's name stands for in a ledger, and what may change that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.identity import decode_path, encode_path
from foregsyte_kaggle.layouts import ATTACHED, InputName, read_path
from foregsyte_kaggle.ledger import NOW
from foregsyte_kaggle.mounts import mount_of, moved_to
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.sources import counted_from

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.sources import Inputs

__all__ = ["find_root", "note_source"]

#: How many known inputs are looked for in a new place.
SAMPLE = 20


def note_source(
    connection: DuckDBPyConnection, inputs: Inputs, directory: Path, *, named: bool
) -> Inputs:
    """Add the source to the ledger, or check that it is the one that has this name already.

    An input that Kaggle attached is the same wherever it is attached: its kind and owner are noted when a
    layout shows them, and must not differ then. One that is attached in two places is two.

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
    known = _read(connection, inputs.name)
    root = _stored_root(inputs.root, directory)
    if known is None:
        connection.execute(
            "INSERT INTO sources (name, kind, owner, root, created_at, updated_at)"
            f" VALUES ($name, $kind, $owner, $root, {NOW}, {NOW})",
            {"name": inputs.name, "kind": inputs.kind, "owner": inputs.owner, "root": root},
        ).fetchall()
        return inputs
    if (known.kind == "ids") != (inputs.kind == "ids") or (known.root is None) != (root is None):
        raise SourceError(
            f"the name {inputs.name!r} belongs to a source of another kind ({known.kind}) in this ledger; "
            f"pass another one, such as name='{inputs.name}-2'"
        )
    if inputs.root is None or known.root is None:
        return inputs
    if known.root != root:
        old = directory / decode_path(known.root)
        sample = _sample(connection, inputs.name)
        if not named and not _is_same_input(known, old, inputs, sample):
            raise SourceError(
                f"the name {inputs.name!r} belongs to {_told(known.kind, known.owner, old)} in this ledger, "
                f"and this source is at {_told(inputs.kind, inputs.owner, inputs.root)}. Pass "
                f"name={inputs.name!r} if it is the same data in a new place, or another name to keep the two "
                "apart."
            )
        if named:
            place = _place_now(known, old)
            if place in inputs.root.parents and _any_exists(place, sample):
                _note(connection, known, inputs, _stored_root(place, directory))
                return counted_from(place, inputs)
            if sample and not _any_exists(inputs.root, sample):
                raise SourceError(
                    f"the name {inputs.name!r} belongs to {old} in this ledger, and none of its inputs is at "
                    f"{inputs.root}, such as {sample[0]!r}. Pass another name, or the folder that holds them "
                    "now."
                )
    _note(connection, known, inputs, root)
    return inputs


def find_root(database: Database, name: str, directory: Path) -> Path | None:
    """Return the folder that a source's paths count from; None for ids and URLs.

    An input of Kaggle's that is attached elsewhere now, in the other layout or another version, is found
    again, and the ledger notes where.

    Raises
    ------
    SourceError
        If it is not there, or it cannot be told which of several it is.
    """
    with database.reading() as cursor:
        known, sample = _read(cursor, name), _sample(cursor, name)
    if known is None or known.root is None:
        return None
    old = directory / decode_path(known.root)
    if old.is_dir():
        return old
    places = [
        place
        for place in moved_to(old, _input_name(known, old), any_version=True)
        if not sample or _any_exists(place[1], sample)
    ]
    if len(places) != 1:
        advice = "Attach it again, or register it from where it is"
        if places:
            choices = "; ".join(str(place) for _, place in places)
            advice = f"It can be one of {len(places)} attached inputs: {choices}. Say which"
        raise SourceError(
            f"the source {name!r} was at {known.root}, and there is no such folder now. {advice}: "
            f"register_jobs(folder, ..., name={name!r})"
        )
    mount, place = places[0]
    with database.transaction() as connection:
        _write(
            connection,
            _Known(
                name,
                mount.kind or known.kind,
                mount.owner or known.owner,
                _stored_root(place, directory),
            ),
        )
    say(f"the source {name!r} is at {place} now")
    return place


class _Known(NamedTuple):
    """A source as the ledger has it."""

    name: str
    kind: str
    owner: str | None
    root: str | None


def _read(connection: DuckDBPyConnection, name: str) -> _Known | None:
    rows = connection.execute(
        "SELECT name, kind, owner, root FROM sources WHERE name = $name", {"name": name}
    ).fetchall()
    return _Known(*rows[0]) if rows else None


def _write(connection: DuckDBPyConnection, known: _Known) -> None:
    connection.execute(
        f"UPDATE sources SET kind = $kind, owner = $owner, root = $root, updated_at = {NOW}"
        " WHERE name = $name",
        known._asdict(),
    ).fetchall()


def _note(connection: DuckDBPyConnection, known: _Known, inputs: Inputs, root: str | None) -> None:
    """Write where a source is, and what its place tells; what an earlier place told stays."""
    kind, owner = inputs.kind, inputs.owner
    if kind in ATTACHED:
        owner = owner or known.owner
        if kind == "mount" and known.kind in ATTACHED:
            kind = known.kind
    elif known.root == root:  # how a folder was looked at first: as a glob, a list
        kind = known.kind
    noted = _Known(known.name, kind, owner, root)
    if noted != known:
        _write(connection, noted)


def _is_same_input(known: _Known, old: Path, inputs: Inputs, sample: list[str]) -> bool:
    """Return whether an attached input is the one that was attached at another place.

    Where a layout hid a fact, some inputs must be there too.
    """
    before = _input_name(known, old)
    if inputs.kind not in ATTACHED or before is None:
        return False
    assert inputs.root is not None
    if old.is_dir() and not os.path.samefile(old, inputs.root):
        return False
    now = mount_of(inputs.root)
    if now is None or not now.fits(before):
        return False
    if now.knows(before) and before.knows(now):
        return True
    return not sample or _any_exists(inputs.root, sample)


def _place_now(known: _Known, old: Path) -> Path:
    """Return where a source's folder is: elsewhere if it is gone, and attached in one other place."""
    places = [] if old.is_dir() else moved_to(old, _input_name(known, old), any_version=True)
    return places[0][1] if len(places) == 1 else old


def _input_name(known: _Known, old: Path) -> InputName | None:
    """Return the attached input that a source was: as its folder tells, and the ledger."""
    told = read_path(old)
    if known.kind not in ATTACHED:
        return told
    kind = None if known.kind == "mount" else known.kind
    slug = told.slug if told else decode_path(known.name)
    if told is None:
        return InputName(slug, kind, known.owner)
    return InputName(slug, kind or told.kind, known.owner or told.owner)


def _told(kind: str, owner: str | None, folder: Path) -> str:
    by = f" of {owner}" if owner else ""
    return f"{folder} (a {kind}{by})" if kind in ATTACHED - {"mount"} else str(folder)


def _sample(connection: DuckDBPyConnection, name: str) -> list[str]:
    rows = connection.execute(
        f"SELECT input_path FROM jobs WHERE source = $name LIMIT {SAMPLE}", {"name": name}
    ).fetchall()
    return [decode_path(path) for (path,) in rows]


def _any_exists(root: Path, paths: list[str]) -> bool:
    return any(os.path.exists(os.path.join(root, path)) for path in paths)


def _stored_root(root: Path | None, directory: Path) -> str | None:
    """Return a root as the ledger stores it: relative to the workspace if inside it."""
    if root is None:
        return None
    if root == directory or directory in root.parents:
        return encode_path(root.relative_to(directory).as_posix())
    return encode_path(str(root))
