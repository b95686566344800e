"""Inputs that Kaggle attached: where they are, and what their place says about them.

Two layouts are in use, and which one a session gets cannot be told before. The newer one shows what an
input is: ``datasets/<owner>/<slug>``, ``competitions/<slug>``, ``notebooks/<owner>/<slug>`` and
``models/<owner>/<model>/<framework>/<variation>/<version>`` below ``/kaggle/input``. The older one shows
the slug alone, or ``<model>/<framework>/<variation>/<version>``. (Seen side by side in public notebooks
of August and September 2026; the older form of models is in kagglehub's ``tests/server_stubs/jwt_stub.py``.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from foregsyte_kaggle.environment import input_roots
from foregsyte_kaggle.identity import encode_path

__all__ = [
    "ATTACHED",
    "FORMS",
    "InputName",
    "Mount",
    "attached_inputs",
    "best_fits",
    "mount_of",
    "moved_to",
    "read_path",
]

#: For each folder of the newer layout the kind of its inputs, and the parts that follow.
FORMS = {
    "datasets": ("dataset", ("owner", "slug")),
    "competitions": ("competition", ("slug",)),
    "notebooks": ("notebook", ("owner", "slug")),
    "models": ("model", ("owner", "model", "framework", "variation", "version")),
}
#: Kinds of sources that Kaggle attached; the last where the layout does not tell which.
ATTACHED = frozenset({"dataset", "competition", "notebook", "model", "mount"})
#: The frameworks of models, small and without signs (kagglesdk 0.1.38, ``models/types/model_enums.py``).
#: Only by them can a model of the older layout be told from a dataset with folders in it.
_is_plain_framework = re.compile(
    "tensorflow[12]|tflite|tfjs|pytorch|jax|flax|pax|maxtext|gemmacpp|ggml|gguf|coral|scikitlearn|mxnet|onnx"
    "|keras|transformers|api|other|tensorrtllm|triton|vllm"
).fullmatch


@dataclass(frozen=True)
class InputName:
    """What is known of an input: None where a layout, or who wrote the name, did not say."""

    slug: str
    """The last part that has no version; of a model ``model/framework/variation``."""
    kind: str | None = None
    """dataset, competition, notebook or model."""
    owner: str | None = None
    version: str | None = None

    def fits(self, other: InputName) -> bool:
        """Return whether both can be the same input: nothing that both know differs, but the version."""
        return (
            self.slug.casefold() == other.slug.casefold()
            and _agree(self.kind, other.kind)
            and _agree(self.owner, other.owner)
        )

    def knows(self, other: InputName) -> bool:
        """Return whether of all that is known of the other something is known here too."""
        return not ((other.kind and not self.kind) or (other.owner and not self.owner))


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


def read_path(path: Path) -> InputName | None:
    """Return the input whose own folder a path is, or was, by the path alone."""
    return next(
        (name for name, inner in read_parts(_parts(path, input_roots())) if not inner), None
    )


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
    parts = _parts(Path(os.path.realpath(path)), [root])
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
    readings = read_parts(_parts(path, input_roots()))
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


def read_parts(parts: Collection[str]) -> list[tuple[InputName, tuple[str, ...]]]:
    """Return what the parts of a path below the inputs' folder may mean, the likeliest first.

    Returns
    -------
    list of (InputName, tuple of str)
        The input, and the parts that lead further into it.
    """
    parts = tuple(parts)
    if not parts:
        return []
    if parts[0] in FORMS:
        kind, form = FORMS[parts[0]]
        given, inner = parts[1 : len(form) + 1], parts[len(form) + 1 :]
        if len(given) < len(form):
            return []
        if kind == "model":
            return [(_model(given[1:], given[0]), inner)]
        owner = given[0] if len(form) == 2 else None
        return [(InputName(given[-1], kind, owner), inner)]
    readings = [(InputName(parts[0]), parts[1:])]
    if len(parts) >= 4 and _is_framework(parts[1]) and parts[3].isdigit():
        readings.insert(0, (_model(parts[:4], None), parts[4:]))
    return readings


def _mount(name: InputName, folder: Path) -> Mount:
    return Mount(name.slug, name.kind, name.owner, name.version, folder=folder)


def _model(parts: tuple[str, ...], owner: str | None) -> InputName:
    model, framework, variation, version = parts
    # Handles write "pyTorch" where the folder may be "pytorch".
    return InputName(f"{model}/{framework.lower()}/{variation}", "model", owner, version)


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one.casefold() == other.casefold()


def _parts(path: Path, roots: Iterable[Path]) -> tuple[str, ...]:
    """Return the parts of an absolute path below a folder of inputs; none for another path."""
    for root in roots:
        for base in (root, Path(os.path.realpath(root))):
            if path.is_relative_to(base):
                return path.relative_to(base).parts
    return ()


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
                if not (_is_framework(entry.name) and entry.is_dir()):
                    return False
                found = True
    except OSError:
        return False
    return found


def _is_framework(name: str) -> bool:
    return _is_plain_framework("".join(filter(str.isalnum, name.lower()))) is not None
