"""Tables of inputs: a CSV or Parquet file, a DataFrame or an Arrow table, as paths or ids with params."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.registry import RowValues
from foregsyte_kaggle.row_params import is_text, row_params

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ID_COLUMN", "Manifest", "is_manifest_file", "is_table", "read_file", "read_table"]

PATH_COLUMNS = ("path", "input_path")
ID_COLUMN = "id"

_WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^(0|-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?)$"
_TRUTH = r"^([Tt]rue|[Ff]alse|TRUE|FALSE)$"
_MISSING = r"^(|NA|N/A|n/a|NaN|nan|null|NULL|None)$"
#: What pandas calls an index that it keeps in a Parquet file.
_is_index = re.compile(r"__index_level_\d+__").fullmatch


class Manifest(NamedTuple):
    """The rows of a table of inputs."""

    label: str
    """How messages call it."""
    file: Path | None
    column: str
    """``path``, ``input_path`` or ``id``."""
    texts: pa.Array | list[str]
    """What that column holds; a list where Arrow cannot hold it, since names are undecodable."""
    params: pa.Array | None
    """Canonical JSON, one a row; None where no row has params of its own."""
    row_values: dict[str, RowValues]
    """The values of those params that some row has of its own."""


def is_table(source: object) -> bool:
    """Return whether a source is a DataFrame, of whatever library, or an Arrow table."""
    return hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns")


def is_manifest_file(path: str) -> bool:
    """Return whether a file is read as a table of inputs, rather than being one."""
    return path.lower().endswith((".csv", ".tsv", ".parquet", ".pq"))


def read_file(path: Path, params: Mapping[str, Any] | None) -> Manifest:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    params
        Params of every row; those of the row's own columns come on top.

    Raises
    ------
    SourceError
        If the file cannot be read, or has no column of paths or ids, no row, or a row without one.
    """
    table = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    column = _input_column(table.column_names, str(path))
    return _manifest(str(path), path, column, table.column(column), table, params)


def read_table(source: Any, params: Mapping[str, Any] | None) -> Manifest:
    """Read a DataFrame or an Arrow table, as ``read_file`` does a file."""
    import pyarrow as pa

    label = "the Arrow table" if isinstance(source, pa.Table) else "the DataFrame"
    try:
        if type(source).__module__.partition(".")[0] == "pandas":
            # Paths are taken as they are: Arrow knows neither Path objects nor undecodable names.
            column = _input_column([str(name) for name in source.columns], label)
            values = source[column].tolist()
            table = pa.Table.from_pandas(source.drop(columns=[column]), preserve_index=False)
        else:
            table = pa.table(source)
            column = _input_column(table.column_names, label)
            values = table.column(column)
    except (pa.ArrowException, TypeError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        # Arrow's errors come as several texts, of which the last names the column.
        why = (
            ": ".join(map(str, reversed(error.args)))
            if isinstance(error, pa.ArrowException)
            else error
        )
        raise SourceError(
            f"{label} cannot be read as a table of inputs: {why}. Expected values of one type in each "
            "column: text, numbers, true/false, or lists or dicts of them. Convert the column first, for "
            "example with .astype(str)."
        ) from error
    return _manifest(label, None, column, values, table, params)


def _manifest(
    label: str,
    file: Path | None,
    column: str,
    values: pa.ChunkedArray | list[Any],
    table: pa.Table,
    params: Mapping[str, Any] | None,
) -> Manifest:
    if not len(values):
        raise SourceError(f"{label} has no rows")
    rest = [name for name in table.column_names if name != column and not _is_index(name)]
    each, own = row_params(table.select(rest), params, label)
    return Manifest(label, file, column, _texts(values, column, label), each, own)


def _texts(values: pa.ChunkedArray | list[Any], column: str, label: str) -> pa.Array | list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(values, list):
        if is_text(values.type) and not values.null_count:
            texts = values.cast(pa.string()).combine_chunks()
            if not pc.any(pc.equal(texts, "")).as_py():
                return texts
        values = values.to_pylist()
    if set(map(type, values)) != {str} or "" in values:
        values = [
            _as_text(value, f"row {number} of {label}", column)
            for number, value in enumerate(values)
        ]
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return values


def _input_column(names: list[str], label: str) -> str:
    column = next((name for name in (*PATH_COLUMNS, ID_COLUMN) if name in names), None)
    if column is None:
        separator = next((sign for sign in ";\t|," if sign in "".join(names)), None)
        advice = ""
        if len(names) == 1 and separator is not None:
            advice = (
                f". Its columns seem to be separated by {separator!r}: pass"
                f" pandas.read_csv(..., sep={separator!r}), or save it as .csv with commas"
            )
        raise SourceError(
            f"{label} has the columns {names}; expected one named 'path' (or 'id' for inputs that are no "
            f"files){advice}"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SourceError(f"{label} has two columns named {twice!r}; rename one")
    return column


def _as_text(value: Any, where: str, column: str) -> str:
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if _is_missing(value):
        raise SourceError(f"{where} has no {column!r}")
    raise SourceError(
        f"{where} has the {column!r} {value!r:.80} of type {type(value).__name__}; expected text"
    )


def _is_missing(value: Any) -> bool:
    if isinstance(value, (str, float)):
        return value == "" or value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read as a Parquet table: {error}") from error


def _read_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(
        delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True
    )
    try:
        with csv.open_csv(path, parse_options=parse) as reader:
            names = reader.schema.names
        table = csv.read_csv(
            path,
            parse_options=parse,
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        advice = (
            "Expected a line with the names of the columns, then lines with as many values; put quotes "
            "around values that hold the separator or a line break"
        )
        if isinstance(error, OSError):
            advice = "Check that the file may be read"
        elif not _is_utf8(path):
            advice = (
                "It is not in UTF-8: save it so, or pass pandas.read_csv(..., encoding=...) with its "
                "encoding, such as 'cp1252' or 'utf-16'"
            )
        raise SourceError(f"{path} cannot be read as a CSV table: {error}. {advice}.") from error
    return pa.table(
        [
            column if name in (*PATH_COLUMNS, ID_COLUMN) else _typed(column)
            for name, column in zip(table.column_names, table.columns, strict=True)
        ],
        names=table.column_names,
    )


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as lines:
            return all(True for _ in lines)
    except UnicodeDecodeError:
        return False


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a text column as numbers or truth values, where all that it says stays the same.

    A value such as 007 or 12345678901234567890 is no number but a name, and keeps its column text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    none = pa.scalar(None, pa.string())
    given = pc.if_else(pc.match_substring_regex(column, _MISSING), none, column)
    for pattern, kind in ((_WHOLE, pa.int64()), (_NUMBER, pa.float64()), (_TRUTH, pa.bool_())):
        if pc.all(pc.match_substring_regex(given, pattern)).as_py():
            text = pc.ascii_lower(given) if kind == pa.bool_() else given
            return text.cast(kind)
    return pc.if_else(pc.equal(column, ""), none, column)
