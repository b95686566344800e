"""What the place of an attached input says about it, in either of Kaggle's layouts.

Two layouts are in use, and which one a session gets cannot be told before. The newer one shows what an
input is: ``datasets/<owner>/<slug>``, ``competitions/<slug>``, ``notebooks/<owner>/<slug>`` and
``models/<owner>/<model>/<framework>/<variation>/<version>`` below ``/kaggle/input``. The older one shows
the slug alone, or ``<model>/<framework>/<variation>/<version>``. (Seen side by side in public notebooks
of August and September 2026; the older form of models is in kagglehub's ``tests/server_stubs/jwt_stub.py``.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from foregsyte_kaggle.surroundings import input_roots

__all__ = [
    "ATTACHED",
    "FORMS",
    "InputName",
    "is_framework",
    "model_name",
    "parts_below",
    "read_parts",
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
            return [(model_name(given[1:], given[0]), inner)]
        owner = given[0] if len(form) == 2 else None
        return [(InputName(given[-1], kind, owner), inner)]
    readings = [(InputName(parts[0]), parts[1:])]
    if len(parts) >= 4 and is_framework(parts[1]) and parts[3].isdigit():
        readings.insert(0, (model_name(parts[:4], None), parts[4:]))
    return readings


def read_path(path: Path) -> InputName | None:
    """Return the input whose own folder a path is, or was, by the path alone."""
    return next(
        (name for name, inner in read_parts(parts_below(path, input_roots())) if not inner), None
    )


def parts_below(path: Path, roots: Iterable[Path]) -> tuple[str, ...]:
    """Return the parts of an absolute path below a folder of inputs; none for another path."""
    for root in roots:
        for base in (root, Path(os.path.realpath(root))):
            if path.is_relative_to(base):
                return path.relative_to(base).parts
    return ()


def model_name(parts: Collection[str], owner: str | None) -> InputName:
    """Return the name of a model, framework, variation and, if it is there, version."""
    model, framework, variation, *version = parts
    # Handles write "pyTorch" where the folder may be "pytorch".
    return InputName(
        f"{model}/{framework.lower()}/{variation}", "model", owner, version[0] if version else None
    )


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one.casefold() == other.casefold()


def is_framework(name: str) -> bool:
    """Return whether a folder has the name of a framework of models."""
    return _is_plain_framework("".join(filter(str.isalnum, name.lower()))) is not None
