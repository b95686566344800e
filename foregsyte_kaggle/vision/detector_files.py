"""Where the file of a detector is: a path, or one inside an input that Kaggle attached."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.handles import place_today, resolve_handle, what_is_attached

__all__ = ["find_detector"]

SUFFIX = ".onnx"
#: Of what training leaves, which onnxruntime cannot load.
TRAINED_SUFFIXES = (".pt", ".pth")
#: An error lists at most this many files.
MOST_LISTED = 10


def find_detector(text: str) -> Path:
    """Return the ONNX file that a text means.

    Parameters
    ----------
    text
        A path; or the name of an attached input, as for ``register_jobs``, with the path inside it
        behind: ``"owner/slug/weights/best.onnx"``. A folder or an input may stand for the only ONNX file
        in it.

    Raises
    ------
    InvalidArgumentError
        If there is none, or more than one, or it was not exported to ONNX.
    SourceError
        If the name can mean several inputs.
    """
    place = Path(place_today(text)).expanduser()
    if not place.exists():
        inside = _inside_input(text)
        if inside is None:
            raise InvalidArgumentError(
                f"detector={text!r}: there is no such file{what_is_attached(text)}"
            )
        place = inside
    if place.is_file():
        if place.suffix.lower() in TRAINED_SUFFIXES:
            raise InvalidArgumentError(
                f"detector={text!r} holds a model as PyTorch saves it; export it: "
                f"yolo export model={place.name} format=onnx"
            )
        return place
    found = sorted(place.rglob(f"*{SUFFIX}"))
    if len(found) == 1:
        return found[0]
    said = f"no file in it ends in {SUFFIX}"
    if found:
        shown = ", ".join(repr(str(one.relative_to(place))) for one in found[:MOST_LISTED])
        said = f"{len(found):,} files in it end in {SUFFIX}, such as {shown}; add one of them"
    raise InvalidArgumentError(f"detector={text!r} is the folder {place}, and {said}")


def _inside_input(text: str) -> Path | None:
    """Return the place in an attached input that a text names, by the longest name that it begins with."""
    parts = PurePosixPath(text).parts
    for count in range(len(parts), 0, -1):
        folder = resolve_handle("/".join(parts[:count]))
        if folder is not None:
            place = Path(folder).joinpath(*parts[count:])
            if place.exists():
                return place
    return None
