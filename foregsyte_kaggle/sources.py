"""Where inputs come from: a folder, a glob, a list, or a table of paths or ids, as Arrow columns."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from foregsyte_kaggle import manifests
from foregsyte_kaggle.errors import InvalidArgumentError, SourceError
from foregsyte_kaggle.handles import place_today, resolve_handle, what_is_attached
from foregsyte_kaggle.identity import decode_path, encode_path, encode_paths
from foregsyte_kaggle.leftovers import not_inputs
from foregsyte_kaggle.listing import list_files, list_folders
from foregsyte_kaggle.mounts import attached_inputs, mount_of
from foregsyte_kaggle.path_lists import as_list, below, common_root, is_plain, sizes_of
from foregsyte_kaggle.patterns import has_magic, split_glob, takes_hidden

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from foregsyte_kaggle.manifests import Manifest
    from foregsyte_kaggle.registry import RowValues

    Source: TypeAlias = (
        str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | pd.DataFrame | pa.Table
    )

__all__ = ["Inputs", "counted_from", "resolve_inputs"]


@dataclass
class Inputs:
    """What a source holds: sorted where it was listed, else in the order given.

    Attributes
    ----------
    name : str
        The source's name, part of each job's identity.
    kind : str
        ``"folder"``, ``"glob"``, ``"list"``, ``"table"`` or ``"ids"``; of what Kaggle attached, ``"dataset"``,
        ``"competition"``, ``"notebook"`` or ``"model"``, or ``"mount"`` where its place does not tell.
    root : pathlib.Path or None
        The folder that the paths count from; None for ids and URLs.
    paths : pyarrow.Array
        As the ledger stores them. Those of a list or table may repeat.
    sizes : pyarrow.Array
        Bytes; NULL where no file was asked.
    params : pyarrow.Array or None
        Canonical JSON, one a path; None where no input has params of its own.
    skipped : list of (str, str)
        What could not be read, and why.
    row_values : dict of str and RowValues
        The values of those params that some input has of its own.
    owner : str or None
        Who published it on Kaggle, where its place tells.
    """

    name: str
    kind: str
    root: Path | None
    paths: pa.Array
    sizes: pa.Array
    params: pa.Array | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    row_values: dict[str, RowValues] = field(default_factory=dict)
    owner: str | None = None


def resolve_inputs(
    source: Source,
    *,
    pattern: str = "**/*",
    unit: str = "file",
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    exclude: Collection[Path] = (),
) -> Inputs:
    """List the inputs of a source.

    Parameters
    ----------
    source
        A folder, a glob, a CSV or Parquet file, a DataFrame or Arrow table, a list of paths or URLs, or the
        name of an attached input.
    pattern
        Which files of a folder.
    unit
        ``"file"``, or ``"folder"`` for folders that directly hold files that match.
    name
        The source's name; by default the name of the folder that the paths count from. Paths in an
        attached input then count from its own folder, wherever in it they were looked for.
    params
        Params of every input; a table's columns come on top.
    exclude
        Files and folders that are never listed.

    Raises
    ------
    SourceError
        If there is nothing at the source, or its inputs cannot be told apart or named.
    InvalidArgumentError
        If the name or the pattern is not of the expected form.
    """
    _check_name(name)
    if not isinstance(pattern, str):
        raise InvalidArgumentError(
            f"pattern={pattern!r:.80}; expected a glob as text, such as '**/*.mp4', or '**/*' for all files"
        )
    return _placed(_listed(source, pattern, unit, name, params, exclude), named=name is not None)


def counted_from(root: Path, inputs: Inputs) -> Inputs:
    """Return the same inputs with paths that count from a folder further up."""
    assert inputs.root is not None
    inner = inputs.root.relative_to(root).as_posix()
    if inner == ".":
        return replace(inputs, root=root)
    paths = [
        inner if path == "." else f"{inner}/{decode_path(path)}"
        for path in inputs.paths.to_pylist()
    ]
    return replace(inputs, root=root, paths=_text(encode_paths(paths)))


def _placed(inputs: Inputs, *, named: bool) -> Inputs:
    """Add what Kaggle's layout tells of the inputs; without a name of their own, they get their mount's.

    Raises
    ------
    SourceError
        If they have no name, and their folder is above attached inputs.
    """
    if inputs.root is None:
        return inputs
    root = Path(os.path.realpath(inputs.root))
    mount = mount_of(root)
    if mount is not None:
        known = replace(inputs, root=root, kind=mount.kind or "mount", owner=mount.owner)
        return known if named else counted_from(mount.folder, replace(known, name=mount.name))
    within = [] if named else [one for one in attached_inputs() if root in one.folder.parents]
    if within:
        raise SourceError(
            f"{root} is above attached inputs, which may be laid out differently tomorrow. Register each by its "
            f"name, such as {within[0].handle!r}, or pass name='...' if this will stay as it is."
        )
    return inputs


def _listed(
    source: Source,
    pattern: str,
    unit: str,
    name: str | None,
    params: Mapping[str, Any] | None,
    exclude: Collection[Path],
) -> Inputs:
    if manifests.is_table(source):
        return _from_manifest(manifests.read_table(source, params), pattern, unit, name)
    if isinstance(source, (str, bytes, os.PathLike)):
        text = os.fsdecode(source)
        attached = None if isinstance(source, os.PathLike) else resolve_handle(text)
        path = attached or place_today(os.path.expanduser(text))
        if os.path.isdir(path):
            return _from_folder(path, "folder", pattern, unit, name, exclude)
        if os.path.isfile(path):
            if not manifests.is_manifest_file(path):
                return _from_list([path], pattern, unit, name)
            read = manifests.read_file(Path(path).resolve(), params)
            return _from_manifest(read, pattern, unit, name)
        if "://" in text:
            return _from_list([text], pattern, unit, name)
        if has_magic(text):
            root, inner = split_glob(Path(path).as_posix())
            root = place_today(root)
            if not os.path.isdir(root):
                raise SourceError(f"the glob {text!r} starts from {root}, which is not a folder")
            return _from_folder(root, "glob", inner, unit, name, exclude)
        raise SourceError(_not_found(path) + what_is_attached(text))
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        return _from_list(list(source), pattern, unit, name)
    raise SourceError(
        f"the source is of type {type(source).__name__}; expected a folder, a glob, a CSV or Parquet file, a "
        "DataFrame, or a list of paths"
    )


def _from_folder(
    folder: str, kind: str, pattern: str, unit: str, name: str | None, exclude: Collection[Path]
) -> Inputs:
    import pyarrow as pa

    root = Path(folder).resolve()
    mount = mount_of(root)
    left_out = [] if mount is None else not_inputs(mount.folder, root, pattern)
    lister = list_folders if unit == "folder" else list_files
    found = lister(root, pattern, [*exclude, *left_out])
    if not found.paths:
        what = "file that matches"
        example = "'*.mp4' takes this folder only, '**/*.mp4' the ones below too"
        if unit == "folder":
            what = "folder with files that match"
            example = (
                "'*/*.dcm' takes folders right below this one, '**/*.dcm' all that hold such files"
            )
        reason = ""
        if found.skipped:
            path, why = found.skipped[0]
            reason = f"; {len(found.skipped):,} could not be read, first {path!r} ({why})"
        if next(root.iterdir(), None) is None:
            raise SourceError(
                f"{folder} is empty; expected a folder with files in it. Check its path."
            )
        advice = f"Check the folder and the pattern: {example}."
        if any(path.is_relative_to(root) for path in exclude):
            advice += " The ledger of this workspace, and what it keeps beside it, are no inputs."
        if left_out:
            advice += (
                " What Kaggle, or this package, saves with a notebook's output is left out, unless the pattern"
                " begins with it, such as 'data/outputs/**/*'."
            )
        if takes_hidden(pattern):
            advice += (
                " Names that begin with a dot are left out; to register such files, pass a list of their paths"
                f" in place of {'the folder' if kind == 'folder' else 'the glob'}."
            )
        raise SourceError(f"{folder} has no {what} {pattern!r}{reason}. {advice}")
    chosen = _name(name, root, kind)
    sizes = pa.array(found.sizes, pa.int64())
    return Inputs(chosen, kind, root, _text(found.paths), sizes, None, found.skipped)


def _from_list(items: list[Any], pattern: str, unit: str, name: str | None) -> Inputs:
    if not items:
        raise SourceError("the list of paths is empty; expected at least one path")
    texts = []
    for number, item in enumerate(items):
        if not isinstance(item, (str, bytes, os.PathLike)) or not item:
            raise SourceError(
                f"item {number} of the list is {item!r:.80} of type {type(item).__name__}; expected a path"
            )
        texts.append(os.fsdecode(item))
    if _are_urls(texts):
        return _without_files("list", texts, _name(name, None, "list of URLs"))
    absolute = [os.path.abspath(os.path.expanduser(text)) for text in texts]
    root, relative = common_root(absolute)
    root = Path(place_today(str(root)))
    sizes = sizes_of(root, relative, "the list", pattern, unit, given=texts)
    return Inputs(_name(name, root, "list"), "list", root, _text(encode_paths(relative)), sizes)


def _from_manifest(read: Manifest, pattern: str, unit: str, name: str | None) -> Inputs:
    if read.column == manifests.ID_COLUMN:
        stem = encode_path(read.file.stem) if read.file else None
        chosen = _name(name or stem, None, "table of ids")
        return _without_files("ids", read.texts, chosen, read)
    root = read.file.parent if read.file else Path.cwd()
    if is_plain(read.texts):
        paths = relative = read.texts
    else:
        texts = as_list(read.texts)
        if _are_urls(texts):
            chosen = _name(name, None, "table of URLs")
            return _without_files("table", texts, chosen, read)
        if all(map(os.path.isabs, texts)):
            root, relative = common_root([os.path.normpath(text) for text in texts])
            root = Path(place_today(str(root)))
        else:
            relative = below(root, texts, read.label)
        paths = _text(encode_paths(relative))
    sizes = sizes_of(root, relative, read.label, pattern, unit)
    return Inputs(
        _name(name, root, "table"),
        "table",
        root,
        paths,
        sizes,
        read.params,
        row_values=read.row_values,
    )


def _without_files(
    kind: str, texts: pa.Array | list[str], name: str, read: Manifest | None = None
) -> Inputs:
    import pyarrow as pa

    if not is_plain(texts):
        texts = _text(encode_paths(as_list(texts)))
    made = Inputs(name, kind, None, texts, pa.nulls(len(texts), pa.int64()))
    if read is not None:
        made.params, made.row_values = read.params, read.row_values
    return made


def _are_urls(texts: list[str]) -> bool:
    return "://" in texts[0] and all("://" in text for text in texts)


def _check_name(name: object) -> None:
    if name is None:
        return
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InvalidArgumentError(
            f"name={name!r:.80} cannot name a source; expected text on one line that can be printed"
        )


def _name(name: str | None, root: Path | None, kind: str) -> str:
    chosen = name or (encode_path(root.name) if root is not None else "")
    if not chosen:
        below = f" below {root}" if root is not None else ""
        raise SourceError(
            f"this {kind}{below} has no folder to take its name from; pass name='...', since the name is "
            "part of each job's identity"
        )
    return chosen


def _not_found(path: str) -> str:
    if not path:
        return "the source is empty text; expected a folder, a glob or a file"
    nearest = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(nearest):
        nearest = os.path.dirname(nearest)
    try:
        held = sorted(name for name in os.listdir(nearest) if name[0] != ".")
    except OSError as error:
        return f"there is nothing at {path}; the folder {nearest} cannot be read: {error.strerror}"
    shown = ", ".join(map(repr, held[:8])) + (f" and {len(held) - 8:,} more" if held[8:] else "")
    return f"there is nothing at {path}; the folder {nearest} holds {shown or 'nothing'}"


def _text(values: list[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.string())
