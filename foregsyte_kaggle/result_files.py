"""The rows of a pipeline's completed jobs as one file, Parquet or CSV."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.result_rows import ResultRows, find_rows
from foregsyte_kaggle.results import quote
from foregsyte_kaggle.workspace import Workspace, active_workspace, as_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["export_results", "write_results"]

#: How each file is written, by the end of its name.
FORMATS = {
    ".parquet": "FORMAT parquet",
    ".csv": "FORMAT csv, HEADER",
    ".csv.gz": "FORMAT csv, HEADER, COMPRESSION gzip",
}

#: What a cell begins with that a spreadsheet takes for a formula, as OWASP lists it under CSV injection.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")

#: Types of a result that other programs do not read from a Parquet file, or not exactly.
TEXT_IN_PARQUET = {"UUID", "JSON", "INTERVAL", "HUGEINT", "UHUGEINT", "BIT", "TIME WITH TIME ZONE"}


def export_results(
    pipeline_id: str,
    path: str | os.PathLike[str],
    *,
    escape_formulas: bool = True,
    workspace: Workspace | None = None,
) -> Path:
    """Write what ``results_frame`` returns to one Parquet or CSV file, without holding it in memory.

    Rows and columns are those of ``results_frame``, in its order; where the table of results has more than
    1,000,000 rows in no certain one, in which rows of a job may lie apart. Ids, JSON, durations and whole
    numbers of more than 64 bits are text, in both kinds of file; lists are JSON in a CSV file.

    Parameters
    ----------
    pipeline_id
        The pipeline.
    path
        The file: ``.parquet``, ``.csv`` or ``.csv.gz``. It appears whole or not at all, and replaces one
        that exists; its folder must exist.
    escape_formulas
        Whether a text in a CSV file, or the name of a column, that begins with ``=``, ``+``, ``-``, ``@``, a tab
        or a carriage return gets an apostrophe before it, since a spreadsheet would take it for a formula and
        run it. Numbers, times, durations and lists stay as they are, and so does all of a Parquet file. False
        writes every text as it is, for programs that read it back.
    workspace
        The active one by default.

    Returns
    -------
    pathlib.Path
        The file, as an absolute path. Where there are no results yet it has its columns and no rows.

    Raises
    ------
    PipelineError
        If there is no such pipeline, neither registered nor in the ledger.
    InvalidArgumentError
        If ``path`` is no path, ends otherwise, or its folder does not exist; or ``escape_formulas`` is no bool.
    LedgerError
        If the file cannot be written, as on a full disk.

    Examples
    --------
    >>> export_results("video_info", "video_info.parquet")
    """
    database = active_workspace(workspace).database
    file, number = write_results(database, pipeline_id, path, escape_formulas=escape_formulas)
    say(f"{counted(number, 'row')} of {pipeline_id} written to {file}")
    return file


def write_results(
    database: Database,
    pipeline_id: str,
    path: str | os.PathLike[str],
    *,
    escape_formulas: bool = True,
) -> tuple[Path, int]:
    """Do what ``export_results`` does; return the file, and how many rows it has."""
    import duckdb

    file = as_path("path", path)
    options = _options(file)
    if not isinstance(escape_formulas, bool):
        raise InvalidArgumentError(
            f"escape_formulas={escape_formulas!r:.80}; expected True or False"
        )
    is_csv = "csv" in options
    partial = file.with_name(f".{file.name}.partial")
    try:
        with database.reading() as cursor:
            rows = find_rows(cursor, database, pipeline_id)
            query = _exported(rows, is_csv=is_csv, is_escaped=is_csv and escape_formulas)
            # Rows that are sorted are few, and would be written to disk and read again for it.
            lean = nullcontext() if rows.is_sorted else database.kept_lean(cursor)
            try:
                with lean:
                    number = _copy(cursor, query, rows.parameters, partial, options)
            except duckdb.OutOfMemoryException:
                number = _copy(cursor, query, rows.parameters, partial, options)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, file)
    except OSError as error:
        raise LedgerError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return file, number


def _options(file: Path) -> str:
    if not str(file).isascii() and any("\udc80" <= one <= "\udcff" for one in str(file)):
        raise InvalidArgumentError(
            f"path={str(file)!r} holds bytes that are not Unicode, which DuckDB cannot open; choose another"
        )
    if not file.parent.is_dir():
        raise InvalidArgumentError(
            f"there is no folder {file.parent}; make it first, or choose a path in one that exists"
        )
    for ending, options in FORMATS.items():
        if file.name.lower().endswith(ending):
            return options
    raise InvalidArgumentError(
        f"path={str(file)!r} ends in {file.suffix or 'no suffix'!r}; expected one of {list(FORMATS)}"
    )


def _exported(rows: ResultRows, *, is_csv: bool, is_escaped: bool) -> str:
    """Return the query for what is written.

    Values become text outside, after the sorting: it moves an id in half the time of its text.
    """
    found = [("job_id", "found.job_id", "UUID")]
    if rows.has_path:
        found.append(("input_path", "jobs.input_path", "VARCHAR"))
    found += [(name, f"found.{quote(name)}", kind) for name, kind in rows.columns.items()]
    inner, outer = [], []
    for number, (name, column, kind) in enumerate(found):
        value = f"column_{number}"
        inner.append(f"{column} AS {value}")
        if kind.endswith("[]") and is_csv:
            value = f"to_json({value})::VARCHAR"
        elif kind in TEXT_IN_PARQUET or kind.startswith("ENUM"):
            value = f"{value}::VARCHAR"
        shown = name
        if is_escaped:
            value = _escaped(value, kind)
            shown = f"'{name}" if name.startswith(FORMULAS) else name
        outer.append(f"{value} AS {quote(shown)}")
    return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)}{rows.source()})"


def _escaped(value: str, kind: str) -> str:
    """Return a value as a CSV file has it, where it is a text that a spreadsheet may take for a formula."""
    if kind not in ("VARCHAR", "JSON", "BLOB") and not kind.startswith("ENUM"):
        return value
    text = f"{value}::VARCHAR"
    begins = ", ".join(f"chr({ord(one)})" for one in FORMULAS)
    # All of them come before the letters; comparing settles most texts without cutting any.
    return f"CASE WHEN {text} < 'A' AND left({text}, 1) IN ({begins}) THEN '''' || {text} ELSE {text} END"


def _copy(
    cursor: DuckDBPyConnection,
    query: str,
    parameters: dict[str, str],
    partial: Path,
    options: str,
) -> int:
    import duckdb

    target = str(partial).replace("'", "''")
    try:
        copied = cursor.execute(f"COPY ({query}) TO '{target}' ({options})", parameters)
        return int(copied.fetchall()[0][0])
    except duckdb.IOException as error:
        raise LedgerError(f"{partial.parent} cannot be written to: {error}") from error
