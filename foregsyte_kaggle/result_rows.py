"""The rows of a pipeline's completed jobs: where they are, and as one DataFrame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.dataframes import as_category, to_arrow, to_dataframe
from foregsyte_kaggle.filters import check_limit, check_pipeline
from foregsyte_kaggle.registry import find_pipeline, known_pipelines
from foregsyte_kaggle.results import JOB_COLUMN, quote, resolve, result_columns, table_name
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

    Vector = np.ndarray[Any, Any]

__all__ = ["ResultRows", "find_rows", "results_frame"]

#: More rows than this come as they are stored, since sorting them takes longer than reading them.
MOST_SORTED_ROWS = 1_000_000


def results_frame(
    pipeline_id: str, *, limit: int | None = None, workspace: Workspace | None = None
) -> pd.DataFrame:
    """Return what a pipeline returned: the rows of its completed jobs with their input path.

    They come in the order in which their jobs were registered; where the table of results has more than
    1,000,000 rows, as they are stored, about in that in which their jobs ended, since sorting takes longer
    than reading then.

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
    import numpy as np
    import pandas as pd

    chosen = active_workspace(workspace)
    check_limit(limit)
    with chosen.database.reading() as cursor:
        rows = find_rows(cursor, chosen.database, pipeline_id)
        # Ids and paths once for each job, since as text in every row they would take longer than all the rest.
        query = f"SELECT rowid, hash(job_id), hash(input_path), job_id, input_path FROM {rows.jobs}"
        jobs = to_arrow(cursor, query, rows.parameters)
        # Rows as they are stored need no join with their jobs, which would take longer than reading them, and
        # put them in another order. That no two jobs have one hash is looked after; a row that somebody wrote
        # of no job at all has the hash of a job's of a million once in 10^13 times.
        key, source, parameters = "hash(found.job_id)", f" FROM {rows.table} AS found", None
        hashes = pd.Index(jobs.column(1).to_numpy())
        find: Callable[[Any], Vector] = hashes.get_indexer
        if rows.is_sorted or limit is not None or not _are_unique(cursor, rows, hashes):
            order = "" if rows.is_sorted else " ORDER BY found.rowid"
            key, source, parameters = "jobs.number", rows.source() + order, rows.parameters
            find = _place_of(jobs.column(0).to_numpy()).take
        # Under a name that no column of a user's can have, which is printable.
        listed = ", ".join([f'{key} AS "\n"', *(f"found.{quote(name)}" for name in rows.columns)])
        most = "" if limit is None else f" LIMIT {limit}"
        found = to_arrow(cursor, f"SELECT {listed}{source}{most}", parameters)
    places, lengths = _find_runs(found.column(0).to_numpy(), find)
    is_known = places >= 0
    if not is_known.all():
        found = found.filter(np.repeat(is_known, lengths))
        places, lengths = places[is_known], lengths[is_known]
    frame = to_dataframe(found.select(range(1, found.num_columns)))
    for place, (name, column) in enumerate(_of_jobs(jobs, places, lengths).items()):
        if place == 0 or rows.has_path:
            frame.insert(place, name, column)
    return frame


@dataclass(frozen=True)
class ResultRows:
    """Where the rows of completed jobs are, as SQL."""

    columns: dict[str, str]
    """Those of the results but for ``job_id``, with their types."""
    jobs: str
    """The completed jobs."""
    table: str
    """All rows of the pipeline, also of jobs that are not completed any more."""
    is_sorted: bool
    """Whether they are so few that they are sorted."""
    parameters: dict[str, str]

    @property
    def has_path(self) -> bool:
        """Whether the input's path goes before the columns of the results."""
        return "input_path" not in map(str.lower, self.columns)

    def source(self) -> str:
        """Return FROM, with the rows as ``found`` and ``jobs``; in no certain order unless they are sorted."""
        order = " ORDER BY jobs.position, found.rowid" if self.is_sorted else ""
        jobs = f"SELECT job_id, position, input_path, rowid AS number FROM {self.jobs}"
        return f" FROM {self.table} AS found JOIN ({jobs}) AS jobs USING (job_id){order}"


def find_rows(cursor: DuckDBPyConnection, database: Database, pipeline_id: str) -> ResultRows:
    """Return where the rows of a pipeline are; what is no pipeline is refused."""
    if not isinstance(pipeline_id, str):
        check_pipeline(database, pipeline_id)
        find_pipeline(pipeline_id)  # refuses None, which stands for all elsewhere
    columns = result_columns(cursor, pipeline_id)
    table = table_name(pipeline_id)
    if not columns:
        check_pipeline(database, pipeline_id)
        columns = _declared_columns(cursor, pipeline_id)
        declared = (f", NULL::{kind} AS {quote(name)}" for name, kind in columns.items())
        table = f"(SELECT job_id, rowid{''.join(declared)} FROM jobs WHERE false)"
    number = int(cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
    return ResultRows(
        {name: kind for name, kind in columns.items() if name != JOB_COLUMN},
        "jobs WHERE status = 'completed' AND pipeline_id = $pipeline_id",
        table,
        number <= MOST_SORTED_ROWS,
        {"pipeline_id": pipeline_id},
    )


def _declared_columns(cursor: DuckDBPyConnection, pipeline_id: str) -> dict[str, str]:
    """Return the columns that a pipeline's schema declares, with their types."""
    found = find_pipeline(pipeline_id) if pipeline_id in known_pipelines() else None
    declared = (found and found.schema) or {}
    return {column.name: column.kind for column in resolve(cursor, pipeline_id, declared)}


def _are_unique(cursor: DuckDBPyConnection, rows: ResultRows, hashes: pd.Index[Any]) -> bool:
    """Return whether no two of the completed jobs, nor one of them and one that was tried, have one hash."""
    others = to_arrow(
        cursor,
        "SELECT hash(job_id) FROM jobs"
        " WHERE status <> 'completed' AND attempts > 0 AND pipeline_id = $pipeline_id",
        rows.parameters,
    )
    found = hashes.get_indexer(others.column(0).to_numpy()) if hashes.is_unique else None
    return found is not None and not (found >= 0).any()


def _place_of(numbers: Vector) -> Vector:
    """Return the place of each number among these, by the number."""
    import numpy as np

    places = np.zeros(numbers.max(initial=-1) + 1, dtype=np.int32)
    places[numbers] = np.arange(len(numbers), dtype=np.int32)
    return places


def _find_runs(keys: Vector, find: Callable[[Any], Vector]) -> tuple[Vector, Vector]:
    """Return what is found for each run of equal keys, -1 for nothing, and how long the run is.

    A job's rows lie together, so there are fewer of them to look up than rows.
    """
    import numpy as np

    is_first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    firsts = np.flatnonzero(is_first)
    return find(keys[firsts]), np.diff(firsts, append=len(keys))


def _of_jobs(jobs: pa.Table, places: Vector, lengths: Vector) -> dict[str, pd.Series[Any]]:
    """Return job id and input path of each row, by the places of the jobs of its runs."""
    import numpy as np

    is_used = np.zeros(len(jobs), dtype=bool)
    is_used[places] = True
    if not is_used.all():
        jobs = jobs.filter(is_used)
        places = (np.cumsum(is_used) - 1)[places]
    codes = np.repeat(places.astype(np.int32), lengths)
    # Where no two hashes are equal, no two paths are; numbers are compared in a tenth of the time.
    hashes = np.sort(jobs.column(2).to_numpy())
    are_unique = not (hashes[1:] == hashes[:-1]).any()
    return {
        "job_id": as_category(jobs.column(3), codes, unique=True),
        "input_path": as_category(jobs.column(4), codes, unique=are_unique),
    }
