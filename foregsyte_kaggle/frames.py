"""The ledger as DataFrames: typed, with times that know that they are UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.dataframes import to_arrow, to_dataframe
from foregsyte_kaggle.errors import ForegsyteError, InvalidArgumentError
from foregsyte_kaggle.filters import (
    JobFilter,
    as_statuses,
    check_limit,
    check_pipeline,
    check_source,
    check_text,
)
from foregsyte_kaggle.models import JobStatus, Outcome
from foregsyte_kaggle.versions import is_outdated
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["attempts_frame", "jobs_frame", "sql", "summary_frame"]

JOB_COLUMNS = (
    "job_id",
    "status",
    "pipeline_id",
    "source",
    "input_path",
    "params",
    "attempts",
    "error_type",
    "error_message",
    "output_path",
    "input_size",
    "progress",
    "duration_seconds",
    "created_at",
    "updated_at",
    "started_at",
    "finished_at",
    "interruptions",
    "code_version",
    "outdated",
    "run_id",
)
ATTEMPT_COLUMNS = (
    "job_id",
    "attempt",
    "outcome",
    "pipeline_id",
    "input_path",
    "started_at",
    "finished_at",
    "duration_seconds",
    "error_type",
    "error_message",
    "traceback",
    "output",
    "output_paths",
    "result_rows",
    "worker",
    "code_version",
    "run_id",
    "attempt_id",
)
#: Columns that are categories, with all that there can be, or None for those that there are.
CATEGORIES = {
    "status": [status.value for status in JobStatus],
    "outcome": ["running", *(outcome.value for outcome in Outcome)],
    "pipeline_id": None,
    "source": None,
    "error_type": None,
    "code_version": None,
}
#: The ledger's times, which it stores without a zone.
TIMES = ("created_at", "updated_at", "started_at", "finished_at", "opened_at")
COUNTS = ("input_size", "result_rows")
EXPRESSIONS = {
    "job_id": "jobs.job_id::VARCHAR",
    "run_id": "jobs.run_id::VARCHAR",
    "params": "jobs.params::VARCHAR",
    "duration_seconds": "CASE WHEN jobs.finished_at IS NOT NULL THEN"
    " epoch_us(jobs.finished_at - jobs.started_at) / 1e6 END",
}


def jobs_frame(
    pipeline_id: str | None = None,
    *,
    status: str | JobStatus | Sequence[str | JobStatus] | None = None,
    source: str | None = None,
    limit: int | None = None,
    workspace: Workspace | None = None,
) -> pd.DataFrame:
    """Return jobs as a DataFrame, in the order they were registered.

    Parameters
    ----------
    pipeline_id
        Only jobs of this pipeline.
    status
        Only jobs of this status, or of one of these.
    source
        Only jobs of this source.
    limit
        At most this many rows.
    workspace
        The active one by default.

    Returns
    -------
    pandas.DataFrame
        A row a job, with ids as text, statuses and names as categories, times in UTC, durations in
        seconds and sizes in bytes. ``outdated`` tells the completed ones that were made by other code than
        their pipeline's now; False where that is not registered, since nobody can tell. Without jobs it
        has the same columns and types, and no rows.

    Raises
    ------
    PipelineError
        If there is no such pipeline, neither registered nor in the ledger.
    SourceError
        If the ledger has no such source.
    InvalidArgumentError
        If another argument is not of the expected form.
    """
    chosen = active_workspace(workspace)
    conditions, parameters = _conditions(chosen, status, pipeline_id, source)
    outdated, versions = is_outdated()
    parameters |= versions
    expressions = EXPRESSIONS | {"outdated": outdated}
    columns = ", ".join(
        f"{expressions.get(name, f'jobs.{name}')} AS {name}" for name in JOB_COLUMNS
    )
    query = f"SELECT {columns}, jobs.position FROM jobs WHERE {conditions}"
    if limit is not None:
        query += f" ORDER BY jobs.position NULLS LAST{_limited(limit)}"
    table = _in_order(_read(chosen, query, parameters))
    return to_dataframe(table, categories=CATEGORIES, utc=TIMES, nullable=COUNTS)


def attempts_frame(
    pipeline_id: str | None = None,
    *,
    job_id: str | None = None,
    source: str | None = None,
    limit: int | None = None,
    workspace: Workspace | None = None,
) -> pd.DataFrame:
    """Return every try of every job, the newest first; tries under way have the outcome ``running``.

    Parameters
    ----------
    pipeline_id
        Only tries of this pipeline's jobs.
    job_id
        Only tries of this job.
    source
        Only tries of this source's jobs.
    limit
        At most this many rows.
    workspace
        The active one by default.

    Returns
    -------
    pandas.DataFrame
        A row a try: outcome, times, error with its traceback, and the last 8 kB that it printed.

    Raises
    ------
    PipelineError
        If there is no such pipeline, neither registered nor in the ledger.
    SourceError
        If the ledger has no such source.
    InvalidArgumentError
        If another argument is not of the expected form.
    """
    from foregsyte_kaggle.ledger import as_uuid

    chosen = active_workspace(workspace)
    conditions, parameters = _conditions(chosen, None, pipeline_id, source)
    if job_id is not None:
        conditions += " AND jobs.job_id = $job_id"
        parameters["job_id"] = as_uuid(job_id)
    own = {
        name: f"job_attempts.{name}"
        for name in ATTEMPT_COLUMNS
        if name not in ("pipeline_id", "input_path")
    }
    for name in ("job_id", "run_id", "attempt_id", "output_paths"):
        own[name] += "::VARCHAR"
    own |= {"pipeline_id": "jobs.pipeline_id", "input_path": "jobs.input_path"}
    under_way = dict.fromkeys(ATTEMPT_COLUMNS, "NULL") | {
        "job_id": "jobs.job_id::VARCHAR",
        "attempt": "jobs.attempts",
        "outcome": "'running'",
        "pipeline_id": "jobs.pipeline_id",
        "input_path": "jobs.input_path",
        "started_at": "jobs.started_at",
        "code_version": "jobs.code_version",
        "run_id": "jobs.run_id::VARCHAR",
    }
    query = (
        f"SELECT {_listed(own)} FROM job_attempts JOIN jobs USING (job_id)"
        f" WHERE {conditions}"
        f" UNION ALL SELECT {_listed(under_way)} FROM jobs"
        f" WHERE {conditions} AND jobs.status = 'running'"
        " ORDER BY started_at DESC NULLS LAST, job_id, attempt DESC"
    )
    table = _read(chosen, query + _limited(limit), parameters)
    return to_dataframe(table, categories=CATEGORIES, utc=TIMES, nullable=COUNTS)


def summary_frame(*, workspace: Workspace | None = None) -> pd.DataFrame:
    """Return how many jobs each pipeline has of each status, with their mean duration.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``pipeline_id``: ``pending``, ``running``, ``completed``, ``failed``, ``total``,
        ``outdated`` (completed by other code than that registered now), ``attempts`` (in all) and
        ``mean_seconds`` (of completed jobs).
    """
    counts = ", ".join(
        f"count(*) FILTER (status = '{status.value}') AS {status.value}" for status in JobStatus
    )
    outdated, versions = is_outdated()
    query = (
        f"SELECT pipeline_id, {counts}, count(*) AS total,"
        f" count(*) FILTER ({outdated}) AS outdated, sum(attempts)::BIGINT AS attempts,"
        " avg(epoch_us(finished_at - started_at) / 1e6) FILTER (status = 'completed')"
        " AS mean_seconds FROM jobs GROUP BY pipeline_id ORDER BY pipeline_id"
    )
    table = _read(active_workspace(workspace), query, versions)
    return to_dataframe(table).set_index("pipeline_id")


def sql(
    query: str,
    params: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    workspace: Workspace | None = None,
) -> pd.DataFrame:
    """Ask the ledger in SQL, read-only: the tables ``jobs``, ``job_attempts``, ``runs``, ``sources`` and ``results.*``.

    Parameters
    ----------
    query
        One SELECT, or another statement that only reads.
    params
        Values for ``$name`` or ``?``.
    workspace
        The active one by default.

    Returns
    -------
    pandas.DataFrame
        What it selects, with ids as text. The ledger's times are UTC; under their own names, such as
        ``finished_at``, they say so.

    Raises
    ------
    InvalidArgumentError
        If the query is no valid text or more than one statement, writes, or is not valid SQL.

    Examples
    --------
    >>> sql("SELECT status, count(*) AS jobs FROM jobs GROUP BY status")
    """
    import duckdb

    chosen = active_workspace(workspace)
    check_text("query", query, "SQL as text, such as 'SELECT * FROM jobs LIMIT 5'")
    is_listed = isinstance(params, Sequence) and not isinstance(params, (str, bytes))
    if params is not None and not is_listed and not isinstance(params, Mapping):
        raise InvalidArgumentError(
            f"params={params!r:.80}; expected a dict for $name, a list for ?, or None"
        )
    _check_texts("params", params)
    allowed = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    try:
        with chosen.database.reading() as cursor:
            statements = cursor.extract_statements(query)
            if len(statements) != 1 or statements[0].type not in allowed:
                raise InvalidArgumentError(
                    "sql() takes one statement that reads, such as SELECT; jobs are changed by"
                    " register_jobs, run_jobs and retry_jobs"
                )
            # Else a name that is no table is looked for among this function's variables.
            cursor.execute("SET SESSION python_enable_replacements = false").fetchall()
            table = to_arrow(cursor, query, params or {})
    except ForegsyteError as error:
        of_query = (
            duckdb.ProgrammingError,
            duckdb.DataError,
            duckdb.NotSupportedError,
            duckdb.TransactionException,  # EXPLAIN ANALYZE of a statement that writes
            duckdb.IOException,  # a file that the query names
        )
        if isinstance(error.__cause__, of_query):
            raise InvalidArgumentError(f"the query cannot be run: {error.__cause__}") from error
        raise
    return to_dataframe(table, utc=TIMES)


def _check_texts(name: str, value: object) -> None:
    if isinstance(value, str):
        check_text(name, value, "text that UTF-8 can hold")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_texts(f"{name}[{key!r}]", item)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check_texts(f"{name}[{number}]", item)


def _read(
    workspace: Workspace, query: str, parameters: Mapping[str, Any] | Sequence[Any]
) -> pa.Table:
    with workspace.database.reading() as cursor:
        return to_arrow(cursor, query, parameters)


def _in_order(table: pa.Table) -> pa.Table:
    """Return a table sorted by its last column, ``position``, without it.

    Rows are stored in that order but for jobs made by hand, and looking costs less than sorting.
    """
    import pyarrow.compute as pc

    position = table.column(table.num_columns - 1).combine_chunks()
    rows = table.select(range(table.num_columns - 1))
    ahead, behind = position[:-1], position[1:]
    if not position.null_count and pc.all(pc.less_equal(ahead, behind)).as_py() is not False:
        return rows
    return rows.take(pc.sort_indices(position))


def _conditions(
    workspace: Workspace,
    status: str | JobStatus | Sequence[str | JobStatus] | None,
    pipeline_id: str | None,
    source: str | None,
) -> tuple[str, dict[str, Any]]:
    check_pipeline(workspace.database, pipeline_id)
    check_source(workspace.database, source)
    statuses = as_statuses(status)
    if status is not None and not statuses:
        return "false", {}
    return JobFilter(statuses=statuses, pipeline_id=pipeline_id, source=source).where()


def _listed(expressions: Mapping[str, str]) -> str:
    return ", ".join(f"{expressions[name]} AS {name}" for name in ATTEMPT_COLUMNS)


def _limited(limit: int | None) -> str:
    check_limit(limit)
    return "" if limit is None else f" LIMIT {limit}"
