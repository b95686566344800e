"""What jobs are filtered by, checked: a misspelt name is an error, where it would find nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import InvalidArgumentError, PipelineError, SourceError, known_names
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.registry import known_pipelines

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = [
    "JobFilter",
    "as_statuses",
    "check_limit",
    "check_pipeline",
    "check_source",
    "check_text",
]


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs: those that pass all of these.

    Attributes
    ----------
    statuses : tuple of JobStatus
        Only jobs of these; of any when empty.
    pipeline_id, source : str or None
        Only jobs of these.
    search : str
        Only jobs whose input path or error message holds this text, whatever its case; every character
        stands for itself. All when empty.
    """

    statuses: tuple[JobStatus, ...] = ()
    pipeline_id: str | None = None
    source: str | None = None
    search: str = ""

    def __post_init__(self) -> None:
        for name, value in (("pipeline_id", self.pipeline_id), ("source", self.source)):
            if value is not None:
                check_text(name, value, "text, or None for all")
        check_text("search", self.search, "text to look for, or '' for all jobs")

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the condition on a row of ``jobs`` as SQL, with the values of its parameters."""
        conditions: list[str] = []
        parameters: dict[str, Any] = {}
        if self.statuses:
            # Literals, so that DuckDB compares the enum's codes and not texts.
            listed = ", ".join(f"'{status.value}'" for status in self.statuses)
            conditions.append(f"jobs.status IN ({listed})")
        for name, value in (("pipeline_id", self.pipeline_id), ("source", self.source)):
            if value is not None:
                conditions.append(f"jobs.{name} = ${name}")
                parameters[name] = value
        if self.search:
            holds, parameters["search"] = _holding(self.search)
            texts = ("jobs.input_path", "jobs.error_message")
            conditions.append(f"({' OR '.join(map(holds.format, texts))})")
        return " AND ".join(conditions) or "true", parameters


def _holding(text: str) -> tuple[str, str]:
    """Return the condition that a column holds a text, whatever its case, and the value of ``$search`` in it."""
    import duckdb

    # ILIKE means the same where nothing in the text is a pattern. It takes half the time in DuckDB 2, and twice the
    # time in those before.
    if int(duckdb.__version__.partition(".")[0]) >= 2 and not set("%_\\") & set(text):
        return "{} ILIKE $search", f"%{text}%"
    return "contains(lower({}), lower($search))", text


def as_statuses(
    status: str | JobStatus | Iterable[str | JobStatus] | None,
) -> tuple[JobStatus, ...]:
    """Return one status, or several, as members in the enum's order; None gives none.

    Raises
    ------
    InvalidArgumentError
        If one is unknown.
    """
    if status is None:
        return ()
    known = [one.value for one in JobStatus]
    if not isinstance(status, Iterable) or isinstance(status, bytes):
        raise InvalidArgumentError(f"status={status!r:.80}; expected one or several of {known}")
    wanted = [status] if isinstance(status, str) else status
    values = [getattr(one, "value", one) for one in wanted]
    for value in values:
        if value not in known:
            raise InvalidArgumentError(f"status={value!r:.80} is unknown; expected one of {known}")
    return tuple(one for one in JobStatus if one.value in values)


def check_pipeline(database: Database, pipeline_id: str | None) -> None:
    """Refuse a pipeline that is neither registered nor that of any job; None stands for all.

    Raises
    ------
    PipelineError
        If there is no such pipeline; says which there are and the nearest.
    InvalidArgumentError
        If it is no text, or not valid Unicode.
    """
    if pipeline_id is None:
        return
    check_text("pipeline_id", pipeline_id, "text, or None for all")
    if pipeline_id in known_pipelines():
        return
    used = _known_instead_of(database, pipeline_id, {"jobs": "pipeline_id"})
    if used is not None:
        known = known_names(pipeline_id, {*known_pipelines(), *used})
        raise PipelineError(
            f"there is no pipeline {pipeline_id!r}, neither registered nor in this ledger.{known}"
        )


def check_source(database: Database, source: str | None) -> None:
    """Refuse a source that is neither recorded nor that of any job; None stands for all.

    Raises
    ------
    SourceError
        If there is no such source; says which there are and the nearest.
    InvalidArgumentError
        If it is no text, or not valid Unicode.
    """
    if source is None:
        return
    check_text("source", source, "text, or None for all")
    used = _known_instead_of(database, source, {"sources": "name", "jobs": "source"})
    if used is not None:
        known = known_names(source, used)
        raise SourceError(f"no source is named {source!r} in this ledger.{known}")


def _known_instead_of(database: Database, name: str, columns: dict[str, str]) -> set[str] | None:
    """Return the names in one column of each of these tables, or None where ``name`` is one of them."""
    with database.reading() as cursor:
        for table, column in columns.items():
            # Found in the first rows as a rule, where listing them all would read all jobs.
            query = f"SELECT 1 FROM {table} WHERE {column} = $name LIMIT 1"
            if cursor.execute(query, {"name": name}).fetchall():
                return None
        return {
            found
            for table, column in columns.items()
            for (found,) in cursor.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
            if found is not None
        }


def check_limit(limit: int | None) -> None:
    """Refuse what is no number of rows; None stands for all.

    Raises
    ------
    InvalidArgumentError
        If it is no whole number from 0.
    """
    is_whole = isinstance(limit, int) and not isinstance(limit, bool)
    if limit is not None and not (is_whole and limit >= 0):
        raise InvalidArgumentError(f"limit={limit!r}; expected a whole number from 0, or None")


def check_text(name: str, value: object, expected: str) -> None:
    """Refuse what is no text, or text that DuckDB cannot take.

    Raises
    ------
    InvalidArgumentError
        If it is no text, or holds a surrogate, as undecodable file names do.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name}={value!r:.80}; expected {expected}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"{name}={value!r:.80} is not valid Unicode text; expected {expected}"
        ) from None
