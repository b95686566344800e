"""The rows of a pipeline's completed jobs, as one DataFrame or one file."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.dataframes import as_category, to_arrow, to_dataframe
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError
from foregsyte_kaggle.filters import check_limit, check_pipeline
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.registry import find_pipeline, known_pipelines
from foregsyte_kaggle.results import JOB_COLUMN, quote, resolve, result_columns, table_name
from foregsyte_kaggle.workspace import Workspace, active_workspace, as_path

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["export_results", "results_frame", "write_results"]

#: More rows than this come as they are stored, since sorting them takes longer than reading them.
MOST_SORTED_ROWS = 1_000_000

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


def results_frame(
    pipeline_id: str, *, limit: int | None = None, workspace: Workspace | None = None
) -> pd.DataFrame:
    """Return what a pipeline returned: the rows of its completed jobs with their input path.

    They come in the order in which their jobs were registered; where the table of results has more than
    1,000,000 rows, about in that in which their jobs ended, since sorting takes longer than reading then.

    Parameters
    ----------
    pipeline_id
        The pipeline.
    limit
        At most this many rows.
    workspace
        The active one by default.

    Returns
    -------
    pandas.DataFrame
        ``job_id`` and ``input_path`` as categories (unless the results have a column named
        ``input_path``), and the columns of the results. Empty where there are none yet, with the columns
        of the pipeline's schema if it has one. Times with a zone are in UTC; those without are as the
        pipeline returned them.

    Raises
    ------
    PipelineError
        If there is no such pipeline, neither registered nor in the ledger, or its schema has an unknown type.
    InvalidArgumentError
        If another argument is not of the expected form.
    """
    chosen = active_workspace(workspace)
    check_limit(limit)
    with chosen.database.reading() as cursor:
        rows = _find_rows(cursor, chosen.database, pipeline_id)
        listed = ", ".join(["jobs.number AS job_number", *map(_found, rows.columns)])
        # Where all rows have their job, DuckDB need not look for those that have none, which takes longer.
        source = rows.source("LEFT JOIN" if rows.are_of_completed(cursor) else "JOIN")
        most = "" if limit is None else f" LIMIT {limit}"
        found = to_arrow(cursor, f"SELECT {listed}{source}{most}", rows.parameters)
        if found.column(0).null_count:  # rows that somebody wrote by hand
            found = found.filter(found.column(0).is_valid())
        # Ids and paths once for each job, for them all to be looked up by number: as text in every row
        # they would take longer than all the rest.
        query = f"SELECT rowid::INTEGER, job_id, input_path, hash(input_path) FROM {rows.jobs}"
        jobs = to_arrow(cursor, query, rows.parameters)
    frame = to_dataframe(found.select(range(1, found.num_columns)))
    for place, (name, column) in enumerate(_of_jobs(found.column(0), jobs).items()):
        if place == 0 or rows.has_path:
            frame.insert(place, name, column)
    return frame


def export_results(
    pipeline_id: str,
    path: str | os.PathLike[str],
    *,
    escape_formulas: bool = True,
    workspace: Workspace | None = None,
) -> Path:
    """Write what ``results_frame`` returns to one Parquet or CSV file, without holding it in memory.

    Rows and columns are those of ``results_frame``, in its order. Ids, JSON, durations and whole numbers
    of more than 64 bits are text, in both kinds of file; lists are JSON in a CSV file.

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
            rows = _find_rows(cursor, database, pipeline_id)
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


@dataclass(frozen=True)
class _Rows:
    """Where the rows of completed jobs are, as SQL."""

    columns: dict[str, str]
    """Those of the results but for ``job_id``, with their types."""
    jobs: str
    """The completed jobs."""
    table: str
    """All rows of the pipeline, also of jobs that are not completed any more."""
    is_sorted: bool
    parameters: dict[str, str]

    @property
    def has_path(self) -> bool:
        """Whether the input's path goes before the columns of the results."""
        return "input_path" not in map(str.lower, self.columns)

    def are_of_completed(self, cursor: DuckDBPyConnection) -> bool:
        """Return whether no job of the pipeline is anything but completed."""
        query = (
            "SELECT 1 FROM jobs WHERE status <> 'completed' AND pipeline_id = $pipeline_id LIMIT 1"
        )
        return not cursor.execute(query, self.parameters).fetchall()

    def source(self, join: str = "JOIN") -> str:
        """Return FROM, with the rows as ``found`` and ``jobs``, and ORDER BY where they are sorted."""
        order = " ORDER BY jobs.position, found.rowid" if self.is_sorted else ""
        jobs = f"SELECT job_id, position, input_path, rowid::INTEGER AS number FROM {self.jobs}"
        return f" FROM {self.table} AS found {join} ({jobs}) AS jobs USING (job_id){order}"


def _find_rows(cursor: DuckDBPyConnection, database: Database, pipeline_id: str) -> _Rows:
    if not isinstance(pipeline_id, str):
        check_pipeline(database, pipeline_id)
        find_pipeline(pipeline_id)  # refuses None, which stands for all elsewhere
    columns, is_sorted = result_columns(cursor, pipeline_id), False
    table = table_name(pipeline_id)
    if not columns:
        check_pipeline(database, pipeline_id)
        columns = _declared_columns(cursor, pipeline_id)
        declared = (f", NULL::{kind} AS {quote(name)}" for name, kind in columns.items())
        table = f"(SELECT job_id, rowid{''.join(declared)} FROM jobs WHERE false)"
    elif cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] <= MOST_SORTED_ROWS:
        is_sorted = True
    return _Rows(
        {name: kind for name, kind in columns.items() if name != JOB_COLUMN},
        "jobs WHERE status = 'completed' AND pipeline_id = $pipeline_id",
        table,
        is_sorted,
        {"pipeline_id": pipeline_id},
    )


def _declared_columns(cursor: DuckDBPyConnection, pipeline_id: str) -> dict[str, str]:
    """Return the columns that a pipeline's schema declares, with their types."""
    found = find_pipeline(pipeline_id) if pipeline_id in known_pipelines() else None
    declared = (found and found.schema) or {}
    return {column.name: column.kind for column in resolve(cursor, pipeline_id, declared)}


def _found(name: str) -> str:
    return f"found.{quote(name)}"


def _of_jobs(numbers: pa.ChunkedArray, jobs: pa.Table) -> dict[str, pd.Series[Any]]:
    """Return job id and input path of each row, by the number of its job."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    known, wanted = (column.to_numpy() for column in (jobs.column(0), numbers))
    is_used = np.zeros(int(known.max(initial=-1)) + 1, dtype=bool)
    is_used[wanted[::8]] = True  # settles it where each job has many rows, one after the other
    if not is_used[known].all():
        is_used[wanted] = True
        jobs = jobs.filter(is_used[known])
    code_of = np.zeros(len(is_used), dtype=np.int32)
    code_of[jobs.column(0).to_numpy()] = np.arange(len(jobs), dtype=np.int32)
    # Arrow looks up in half the time of NumPy, which makes other numbers of them first.
    codes = pc.take(pa.array(code_of), pa.array(wanted)).to_numpy()
    # Where no two hashes are equal, no two paths are; numbers are compared in a tenth of the time.
    hashes = np.sort(jobs.column(3).to_numpy())
    are_unique = not (hashes[1:] == hashes[:-1]).any()
    return {
        "job_id": as_category(jobs.column(1), codes, unique=True),
        "input_path": as_category(jobs.column(2), codes, unique=are_unique),
    }


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


def _exported(rows: _Rows, *, is_csv: bool, is_escaped: bool) -> str:
    """Return the query for what is written.

    Values become text outside, after the sorting: it moves an id in half the time of its text.
    """
    found = [("job_id", "found.job_id", "UUID")]
    if rows.has_path:
        found.append(("input_path", "jobs.input_path", "VARCHAR"))
    found += [(name, _found(name), kind) for name, kind in rows.columns.items()]
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
