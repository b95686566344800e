"""First rows of a CSV or Parquet file."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.previews.preview import Preview, TimedFile, cut_cell, in_bytes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["is_parquet", "preview_csv", "preview_parquet"]

ROWS = 8
COLUMNS = 8

#: Items of a list that are shown.
ITEMS = 20

PARQUET = b"PAR1"

#: A longer description of a file's columns is not read.
MOST_FOOTER_BYTES = 16 * 1024 * 1024


def preview_csv(text: str, delimiter: str | None, *, is_whole: bool) -> Preview | None:
    """Return the first rows of a table of text.

    Parameters
    ----------
    text
        The beginning of the file.
    delimiter
        What is between cells; None where the first line has to tell.
    is_whole
        Whether the file ends there.

    Returns
    -------
    Preview or None
        None if it is no table.
    """
    if not is_whole:
        text = text[: text.rfind("\n") + 1] or text  # without the last line, which may be cut
    if delimiter is None:
        first = text.lstrip().partition("\n")[0]
        delimiter = max(",;\t|", key=first.count)
    try:
        read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        found = list(itertools.islice(filter(None, read), ROWS + 2))
    except csv.Error:
        return None
    if not found:
        return None
    header, *rows = found
    width = max(map(len, found))
    columns = min(width, COLUMNS)
    is_all = is_whole and len(rows) <= ROWS
    rows = rows[:ROWS]
    return Preview(
        kind="table",
        header=_padded(header, columns),
        rows=tuple(_padded(row, columns) for row in rows),
        note=_shown(len(rows), len(rows) if is_all else None, columns, width),
    )


def is_parquet(head: bytes) -> bool:
    """Whether a file begins as a Parquet file does."""
    return head.startswith(PARQUET)


def preview_parquet(path: Path, size: int) -> Preview:
    """Return the first rows of a Parquet file; may raise what pyarrow raises for a damaged one."""
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        ending = file.read(8)
    if len(ending) < 8 or ending[4:] != PARQUET:
        return Preview(
            note=f"The Parquet file ({in_bytes(size)}) was cut short: its end is missing."
        )
    if int.from_bytes(ending[:4], "little") > MOST_FOOTER_BYTES:
        return Preview(
            note=f"The Parquet file ({in_bytes(size)}) has too many columns for a preview."
        )

    import pyarrow.parquet as pq

    # A buffer, or a column would be read to the end of its group of rows.
    with (
        TimedFile(path) as timed,
        pq.ParquetFile(timed, buffer_size=64 * 1024, pre_buffer=False) as file,
    ):
        names = file.schema_arrow.names
        kinds = {field.name: str(field.type) for field in file.schema_arrow}
        total = file.metadata.num_rows
        batch = next(file.iter_batches(ROWS, columns=names[:COLUMNS], use_threads=False), None)
        rows: list[tuple[str | None, ...]] = []
        shown = names[:COLUMNS]
        if batch is not None:
            shown = batch.schema.names[:COLUMNS]
            columns = [batch.column(index) for index in range(len(shown))]
            rows = [
                tuple(_as_text(column[number]) for column in columns)
                for number in range(min(ROWS, batch.num_rows))
            ]
    return Preview(
        kind="table",
        header=tuple(cut_cell(f"{name} ({kinds[name]})") for name in shown),
        rows=tuple(rows),
        note=_shown(len(rows), total, len(shown), len(names)),
    )


def _as_text(scalar: pa.Scalar) -> str | None:
    import pyarrow as pa

    if not scalar.is_valid:
        return None
    kind = scalar.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return in_bytes(len(scalar.as_buffer()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        values = scalar.values
        return cut_cell(_listed(values[:ITEMS].to_pylist(), len(values)))
    return cut_cell(str(scalar.as_py()))


def _listed(items: list[Any], total: int) -> str:
    listed = ", ".join(map(str, items))
    return f"[{listed}{', …' if total > len(items) else ''}]"


def _padded(row: list[str], columns: int) -> tuple[str, ...]:
    cells = [cut_cell(cell) for cell in row[:columns]]
    return (*cells, *[""] * (columns - len(cells)))


def _shown(rows: int, of_rows: int | None, columns: int, of_columns: int) -> str:
    """Say how much of a table is shown; ``of_rows`` is None where nobody counted."""
    if rows == of_rows:
        said = f"{rows:,} row{'' if rows == 1 else 's'}"
    else:
        said = f"The first {rows:,} row{'' if rows == 1 else 's'}"
        said += "" if of_rows is None else f" of {of_rows:,}"
    if columns < of_columns:
        said += f", {columns:,} of {of_columns:,} columns"
    return f"{said}."
