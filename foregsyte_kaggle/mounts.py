"""Inputs that Kaggle attached: which there are now, and where one is that was elsewhere."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from foregsyte_kaggle.identity import encode_path
from foregsyte_kaggle.layouts import FORMS, InputName, is_framework, parts_below, read_parts
from foregsyte_kaggle.surroundings import input_roots

__all__ = [
    "Mount",
    "attached_inputs",
    "best_fits",
    "mount_of",
    "moved_to",
]


@dataclass(frozen=True)
class Mount(InputName):
    """An attached input."""

    folder: Path = field(kw_only=True)
    """Its real path."""

    @property
    def name(self) -> str:
        """The name that its jobs go by, the same in both layouts and for all versions."""
        return encode_path(self.slug)

    @property
    def handle(self) -> str:
        """The text that means this input and no other: its name in the newer layout, or its path."""
        if self.kind is None or (self.owner is None and self.kind != "competition"):
            return str(self.folder)
        parts = (f"{self.kind}s", self.owner, self.slug, self.version)
        return "/".join(part for part in parts if part)


def attached_inputs() -> list[Mount]:
    """Return what is attached now, in order of the folders; an input with two places once.

    Inputs may be attached while a session runs, so nothing is remembered.
    """
    root = Path(os.path.realpath(input_roots()[0]))
    found: dict[Path, Mount] = {}
    for place in _places(root):
        name = read_parts(place)[0][0]
        folder = Path(os.path.realpath(root.joinpath(*place)))
        known = found.get(folder)
        if known is None or name.knows(known):
            found[folder] = _mount(name, folder)
    return sorted(found.values(), key=lambda mount: mount.folder)


def mount_of(path: Path) -> Mount | None:
    """Return the attached input that a path is in, by the path alone as far as that will do."""
    root = Path(os.path.realpath(input_roots()[0]))
    parts = parts_below(Path(os.path.realpath(path)), [root])
    if not parts:
        return None
    if parts[0] in FORMS:
        depth = len(FORMS[parts[0]][1]) + 1
        places = [parts[:depth]] if len(parts) >= depth else []
    else:
        places = [place for place in _older_places(root, parts[0]) if parts[: len(place)] == place]
    for place in places:
        return _mount(read_parts(place)[0][0], root.joinpath(*place))
    return None


def moved_to(
    path: Path, known: InputName | None = None, *, any_version: bool = False
) -> list[tuple[Mount, Path]]:
    """Return where a path of an attached input may be today, if inputs are attached in another layout.

    Parameters
    ----------
    path
        A path below the inputs' folder that is not there, in either layout.
    known
        What else is known of the input; its slug counts where the path says none.
    any_version
        Whether another version of a model will do where the same is not attached.

    Returns
    -------
    list of (Mount, pathlib.Path)
        More than one if it cannot be told which.
    """
    readings = read_parts(parts_below(path, input_roots()))
    if not readings and known is not None:
        readings = [(known, ())]
    attached = attached_inputs() if readings else []
    for name, inner in readings:
        wanted = name
        if known is not None:
            wanted = replace(name, kind=name.kind or known.kind, owner=name.owner or known.owner)
        mounts = best_fits(wanted, attached)
        if not mounts and any_version:
            mounts = best_fits(replace(wanted, version=None), attached)
        places = [(mount, mount.folder.joinpath(*inner)) for mount in mounts]
        if there := [place for place in places if os.path.exists(place[1])]:
            return there
    return []


def best_fits(name: InputName, mounts: Collection[Mount]) -> list[Mount]:
    """Return those that can be the input: of which all that the name says is known, or else all that fit."""
    fits = [mount for mount in mounts if mount.fits(name) and name.version in (None, mount.version)]
    return [mount for mount in fits if mount.knows(name)] or fits


def _mount(name: InputName, folder: Path) -> Mount:
    return Mount(name.slug, name.kind, name.owner, name.version, folder=folder)


def _places(root: Path) -> Iterator[tuple[str, ...]]:
    for top in _folders(root):
        if top in FORMS:
            yield from _deeper(root, (top,), len(FORMS[top][1]))
        else:
            yield from _older_places(root, top)


def _older_places(root: Path, top: str) -> list[tuple[str, ...]]:
    """Return a folder of the older layout, or those of its models if it holds such."""
    models: list[tuple[str, ...]] = []
    if _is_model_tree(root / top):
        models = [place for place in _deeper(root, (top,), 3) if place[3].isdigit()]
    return models or [(top,)]


def _deeper(root: Path, parts: tuple[str, ...], levels: int) -> Iterator[tuple[str, ...]]:
    if levels == 0:
        yield parts
        return
    for name in _folders(root.joinpath(*parts)):
        yield from _deeper(root, (*parts, name), levels - 1)


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(
                entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."
            )
    except OSError:
        return []


def _is_model_tree(path: Path) -> bool:
    """Return whether a folder holds folders of frameworks only; looks no further than the first other."""
    found = False
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not (is_framework(entry.name) and entry.is_dir()):
                    return False
                found = True
    except OSError:
        return False
    return found
