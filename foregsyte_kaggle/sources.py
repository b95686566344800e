"""Where inputs come from: a folder, a glob, a list, or a table of paths or ids, as plain columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.identity import canonical_params, encode_path
from foregsyte_kaggle.listing import list_files, list_folders
from foregsyte_kaggle.patterns import has_magic, split_glob

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | pd.DataFrame | pa.Table

__all__ = ["Inputs", "resolve_inputs"]

PATH_COLUMNS = ("path", "input_path")
ID_COLUMN = "id"


@dataclass
class Inputs:
    """What a source holds, in sorted order.

    Attributes
    ----------
    name : str
        The source's name, part of each job's identity.
    kind : str
        ``"folder"``, ``"glob"``, ``"list"``, ``"table"`` or ``"ids"``.
    root : pathlib.Path or None
        The folder that the paths count from; None for ids and URLs.
    paths : list of str
        As the ledger stores them.
    sizes : list of int or None
        Bytes; None where there is no file to ask.
    params : list of str or None
        Canonical JSON, one a path; None where no input has params of its own.
    skipped : list of (str, str)
        What could not be read, and why.
    """

    name: str
    kind: str
    root: Path | None
    paths: list[str]
    sizes: list[int | None] | list[int]
    params: list[str] | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)


def resolve_inputs(
    source: Source,
    *,
    pattern: str = "**/*",
    unit: str = "file",
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    exclude: Path | None = None,
) -> Inputs:
    """List the inputs of a source.

    Parameters
    ----------
    source
        A folder, a glob, a CSV or Parquet file, a DataFrame or Arrow table, or a list of paths or URLs.
    pattern
        Which files of a folder.
    unit
        ``"file"``, or ``"folder"`` for folders that directly hold files that match.
    name
        The source's name; by default the name of the folder that the paths count from.
    params
        Params of every input; a table's columns come on top.
    exclude
        A folder that is never listed.

    Raises
    ------
    SourceError
        If there is nothing at the source, or its inputs cannot be told apart or named.
    """
    if _is_table(source):
        return _from_table(_arrow(source), None, name, params, "a DataFrame")
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        path = Path(text).expanduser()
        if path.is_dir():
            return _from_folder(path, "folder", pattern, unit, name, exclude)
        if path.is_file():
            return _from_file(path, name, params)
        if has_magic(text):
            root, inner = split_glob(str(path))
            if not Path(root).is_dir():
                raise SourceError(f"the glob {text!r} starts from {root}, which is not a folder")
            return _from_folder(Path(root), "glob", inner, unit, name, exclude)
        raise SourceError(_not_found(path))
    if isinstance(source, Iterable):
        return _from_list(list(source), unit, name)
    raise SourceError(
        f"the source is a {type(source).__name__}; expected a folder, a glob, a CSV or Parquet file, a "
        "DataFrame, or a list of paths"
    )


def _from_folder(
    folder: Path, kind: str, pattern: str, unit: str, name: str | None, exclude: Path | None
) -> Inputs:
    root = folder.resolve()
    lister = list_folders if unit == "folder" else list_files
    paths, sizes, skipped = lister(root, pattern, exclude)
    if not paths:
        what = "folder with files that match" if unit == "folder" else "file that matches"
        reason = f"; {len(skipped)} could not be read, first {skipped[0]}" if skipped else ""
        raise SourceError(
            f"{folder} has no {what} {pattern!r}{reason}. Check the folder and the pattern: '*.mp4' takes "
            "this folder only, '**/*.mp4' the ones below too."
        )
    return Inputs(_name(name, root, kind), kind, root, paths, sizes, None, skipped)


def _from_file(path: Path, name: str | None, params: Mapping[str, Any] | None) -> Inputs:
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv"):
        table = _read_csv(path)
    elif ending in (".parquet", ".pq"):
        table = _read_parquet(path)
    else:
        return _from_list([path], "file", name)
    return _from_table(table, path.resolve(), name, params, str(path))


def _from_list(items: list[Any], unit: str, name: str | None) -> Inputs:
    if not items:
        raise SourceError("the list of paths is empty; expected at least one path")
    texts = []
    for number, item in enumerate(items):
        if not isinstance(item, (str, os.PathLike)):
            raise SourceError(
                f"item {number} of the list is {item!r:.80} of type {type(item).__name__}; expected a path"
            )
        texts.append(os.fspath(item))
    if all("://" in text for text in texts):
        unique = sorted(set(texts))
        return Inputs(
            _name(name, None, "list of URLs"),
            "list",
            None,
            [encode_path(text) for text in unique],
            [None] * len(unique),
        )
    absolute = sorted({os.path.abspath(os.path.expanduser(text)) for text in texts})
    wanted = os.path.isdir if unit == "folder" else os.path.isfile
    missing = [path for path in absolute if not wanted(path)]
    if missing:
        raise SourceError(
            f"{len(missing)} of {len(absolute)} paths of the list are no {unit}s, first {missing[:3]}"
        )
    root = Path(os.path.commonpath([os.path.dirname(path) for path in absolute]))
    return Inputs(
        _name(name, root, "list"),
        "list",
        root,
        [encode_path(Path(path).relative_to(root).as_posix()) for path in absolute],
        [os.path.getsize(path) if unit == "file" else None for path in absolute],
    )


def _from_table(
    table: pa.Table,
    file: Path | None,
    name: str | None,
    params: Mapping[str, Any] | None,
    label: str,
) -> Inputs:
    column = next((c for c in (*PATH_COLUMNS, ID_COLUMN) if c in table.column_names), None)
    if column is None:
        raise SourceError(
            f"{label} has the columns {table.column_names}; expected one named 'path' (or 'id' for inputs "
            "that are no files)"
        )
    if not table.num_rows:
        raise SourceError(f"{label} has no rows")
    values = [None if value is None else str(value) for value in table.column(column).to_pylist()]
    for number, value in enumerate(values):
        if not value:
            raise SourceError(f"row {number} of {label} has no {column!r}")
    texts = [value for value in values if value]
    per_row = _row_params(table.drop_columns([column]), params, label)
    if column == ID_COLUMN:
        chosen = name or (file.stem if file else None)
        return Inputs(
            _name(chosen, None, "table of ids"),
            "ids",
            None,
            [encode_path(text) for text in texts],
            [None] * len(texts),
            per_row,
        )
    root, relative = _root_of(texts, file, label)
    sizes = [_size(root / path) for path in relative]
    missing = [path for path, size in zip(relative, sizes, strict=True) if size is None]
    if missing:
        raise SourceError(
            f"{len(missing)} of {len(relative)} paths of {label} do not exist below {root}, "
            f"first {missing[:3]}"
        )
    return Inputs(
        _name(name, root, "table"),
        "table",
        root,
        [encode_path(path) for path in relative],
        sizes,
        per_row,
    )


def _root_of(texts: list[str], file: Path | None, label: str) -> tuple[Path, list[str]]:
    """Return the folder that a table's paths count from, and the paths relative to it."""
    if all(os.path.isabs(text) for text in texts):
        cleaned = [os.path.normpath(text) for text in texts]
        root = Path(os.path.commonpath([os.path.dirname(text) for text in cleaned]))
        return root, [Path(text).relative_to(root).as_posix() for text in cleaned]
    root = file.parent if file else Path.cwd()
    relative = []
    for text in texts:
        path = os.path.normpath(os.path.relpath(text, root) if os.path.isabs(text) else text)
        if PurePosixPath(path).parts[:1] == ("..",):
            raise SourceError(
                f"{label} has the path {text!r}, which climbs out of its source {root}; expected paths "
                "below it, or absolute ones"
            )
        relative.append(Path(path).as_posix())
    return root, relative


def _row_params(
    rest: pa.Table, params: Mapping[str, Any] | None, label: str
) -> list[str] | None:
    if not rest.num_columns:
        return None
    common = dict(params or {})
    found = []
    for number, row in enumerate(rest.to_pylist()):
        own = {key: value for key, value in row.items() if value is not None and value == value}
        try:
            found.append(canonical_params({**common, **own}))
        except ValueError as error:
            raise SourceError(f"row {number} of {label}: {error}") from error
    return found


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None


def _name(name: str | None, root: Path | None, kind: str) -> str:
    chosen = name if name is not None else (root.name if root is not None else "")
    if not chosen:
        below = f" below {root}" if root is not None else ""
        raise SourceError(
            f"this {kind}{below} has no folder to take its name from; pass name='...', since the name is "
            "part of each job's identity"
        )
    return chosen


def _not_found(path: Path) -> str:
    nearest = path.absolute().parent
    while not nearest.is_dir():
        nearest = nearest.parent
    held = sorted(entry.name for entry in nearest.iterdir())[:8]
    return f"there is nothing at {path}; the folder {nearest} holds {held or 'nothing'}"


def _is_table(source: object) -> bool:
    return type(source).__module__.partition(".")[0] in ("pandas", "pyarrow") and hasattr(
        source, "shape"
    )


def _arrow(source: Any) -> pa.Table:
    import pyarrow as pa

    if isinstance(source, pa.Table):
        return source
    try:
        return pa.Table.from_pandas(source, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, AttributeError) as error:
        raise SourceError(f"the DataFrame cannot be read as a table: {error}") from error


def _read_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    # Read as text: an id such as 007 is not the number 7.
    as_text = {column: pa.string() for column in (*PATH_COLUMNS, ID_COLUMN)}
    try:
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(
                delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True
            ),
            convert_options=csv.ConvertOptions(
                column_types=as_text, timestamp_parsers=[], strings_can_be_null=True
            ),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} cannot be read as a CSV table: {error}") from error


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} cannot be read as a Parquet table: {error}") from error
