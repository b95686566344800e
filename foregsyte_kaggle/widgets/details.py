"""Reads the details of a job: one short reading of the ledger, then a look at its input and its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.identity import decode_path
from foregsyte_kaggle.ledger import as_uuid
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.packed import output_size, split_packed, unpacked
from foregsyte_kaggle.previews import Preview, preview_input
from foregsyte_kaggle.results import JOB_COLUMN, quote, result_columns, table_name
from foregsyte_kaggle.transfer import find_output
from foregsyte_kaggle.versions import is_outdated
from foregsyte_kaggle.widgets.job_details import (
    AttemptDetails,
    Cut,
    FileDetails,
    JobDetails,
    ResultDetails,
)

if TYPE_CHECKING:
    import uuid

    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.workspace import Workspace

__all__ = ["load_details"]

#: More of a text than this does not leave the ledger.
TEXT_CHARACTERS = 20_000
NAME_CHARACTERS = 500
CELL_CHARACTERS = 200

ATTEMPTS = 5
FILES = 20
RESULT_ROWS = 5
RESULT_COLUMNS = 12

#: Pixels of the longer side of a picture that a job made: on a contact sheet there is something to read.
OUTPUT_SIDE = 960

#: Ends of the names of files that are shown as pictures.
PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".webp"}


def load_details(workspace: Workspace, job_id: str | uuid.UUID) -> JobDetails | None:
    """Read what is known of a job, and look at its input.

    Parameters
    ----------
    workspace
        The one with the ledger.
    job_id
        The job.

    Returns
    -------
    JobDetails or None
        None where the ledger has no such job any more.

    Raises
    ------
    InvalidArgumentError
        If the id is no UUID.
    LedgerError
        If the ledger cannot be read.
    """
    with workspace.database.reading() as cursor:
        details = _read(cursor, {"job_id": as_uuid(job_id)})
    if details is None:
        return None
    names = [file.path for file in details.files]
    found = {name: _located(workspace, name) for name in names}
    files = tuple(FileDetails(name, output_size(*place)) for name, place in found.items())
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in PICTURES]
    return replace(
        details,
        files=files,
        input=_preview(workspace.directory, details),
        output=_preview_output([found[name] for name in pictures]),
    )


def _read(cursor: DuckDBPyConnection, job: dict[str, Any]) -> JobDetails | None:
    outdated, versions = is_outdated()
    query = (
        f"SELECT status::VARCHAR AS status, {_name('pipeline_id')}, {_name('source')}, left(coalesce("
        f"(SELECT root FROM sources WHERE name = jobs.source), if(source IS NULL, '.', NULL)),"
        f" {TEXT_CHARACTERS}) AS root, left(input_path, {TEXT_CHARACTERS}) AS input_path, input_size,"
        f" {_first('params')}, {_name('error_type')}, {_first('error_message', 'error')}, progress,"
        " attempts, interruptions, created_at, updated_at, started_at, finished_at,"
        f" run_id::VARCHAR AS run_id, {_name('code_version')}, {outdated} AS outdated,"
        f" {_name('output_path')} FROM jobs WHERE job_id = $job_id"
    )
    for row in _rows(cursor, query, job | versions):
        attempt, output_path = row.pop("attempts"), row.pop("output_path")
        row["status"] = JobStatus(row["status"])
        attempts, total = _attempts(cursor, job)
        files: list[str] = []
        total_files, result = 0, None
        if row["status"] is JobStatus.running:
            shared = {name: row[name] for name in ("started_at", "code_version", "run_id")}
            attempts = [AttemptDetails(attempt=attempt, outcome="running", **shared), *attempts]
            total += 1
        elif row["status"] is JobStatus.completed:
            files, total_files = _files(cursor, job)
            if not files and output_path:
                files, total_files = [output_path], 1
            result = _result(cursor, row["pipeline_id"], job)  # the last, since it may fail
        return JobDetails(
            job_id=str(job["job_id"]),
            attempts=tuple(attempts[:ATTEMPTS]),
            total_attempts=total,
            result=result,
            files=tuple(map(FileDetails, files)),
            total_files=total_files,
            **row,
        )
    return None


def _attempts(cursor: DuckDBPyConnection, job: dict[str, Any]) -> tuple[list[AttemptDetails], int]:
    query = (
        "SELECT attempt, outcome, started_at, finished_at, duration_seconds,"
        f" {_name('error_type')}, {_first('error_message', 'error')}, {_last('traceback')},"
        f" {_last('output')}, result_rows, {_name('worker')}, {_name('code_version')},"
        " run_id::VARCHAR AS run_id FROM job_attempts WHERE job_id = $job_id"
        f" ORDER BY attempt DESC, finished_at DESC LIMIT {ATTEMPTS}"
    )
    attempts = [AttemptDetails(**row) for row in _rows(cursor, query, job)]
    return attempts, _count(cursor, "job_attempts", job)


def _files(cursor: DuckDBPyConnection, job: dict[str, Any]) -> tuple[list[str], int]:
    """Return the first files that a completed job is recorded with, and how many there are."""
    found = cursor.execute(
        f"SELECT list_slice(paths, 1, {FILES}), len(paths) FROM"
        " (SELECT json_extract_string(output_paths, '$[*]') AS paths, finished_at, attempt_id"
        " FROM job_attempts WHERE job_id = $job_id AND outcome = 'completed')"
        " ORDER BY finished_at DESC, attempt_id LIMIT 1",
        job,
    ).fetchall()
    paths, total = found[0] if found else (None, 0)
    named = [path[:TEXT_CHARACTERS] for path in paths or () if path]
    return named, total if named else 0


def _result(
    cursor: DuckDBPyConnection, pipeline_id: str, job: dict[str, Any]
) -> ResultDetails | None:
    import duckdb

    # Whoever made or changed the table by hand should still see the rest.
    try:
        names = [name for name in result_columns(cursor, pipeline_id) if name != JOB_COLUMN]
        if not names:
            return None
        shown = names[:RESULT_COLUMNS]
        table = table_name(pipeline_id)
        columns = ", ".join(map(quote, shown))
        cells = ", ".join(_cell(quote(name)) for name in shown)
        total = _count(cursor, table, job)
        rows = cursor.execute(
            f"SELECT {cells} FROM (SELECT {columns} FROM {table} WHERE {JOB_COLUMN} = $job_id"
            f" ORDER BY rowid LIMIT {RESULT_ROWS})",
            job,
        ).fetchall()
    except duckdb.Error:
        return None
    return ResultDetails(
        columns=tuple(name[:CELL_CHARACTERS] for name in shown),
        rows=tuple(rows),
        total_columns=len(names),
        total_rows=total,
    )


def _rows(
    cursor: DuckDBPyConnection, query: str, parameters: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield rows by name: times aware of their zone, and texts that ``_first`` and ``_last`` cut."""
    found = cursor.execute(query, parameters)
    names = [column[0] for column in found.description or ()]
    for values in found.fetchall():
        row = dict(zip(names, values, strict=True))
        for name, value in zip(names, values, strict=True):
            if isinstance(value, datetime):
                row[name] = value.replace(tzinfo=UTC)
            elif name.endswith("_length"):
                text = name.removesuffix("_length")
                row[text] = Cut(row[text] or "", row.pop(name) or 0)
        yield row


def _count(cursor: DuckDBPyConnection, table: str, job: dict[str, Any]) -> int:
    found = cursor.execute(f"SELECT count(*) FROM {table} WHERE job_id = $job_id", job)
    return int(found.fetchall()[0][0])


def _cell(column: str) -> str:
    text = f"{column}::VARCHAR"
    return (
        f"CASE WHEN length({text}) > {CELL_CHARACTERS}"
        f" THEN left({text}, {CELL_CHARACTERS - 1}) || '…' ELSE {text} END"
    )


def _name(column: str) -> str:
    return f"left({column}, {NAME_CHARACTERS}) AS {column}"


def _first(column: str, name: str | None = None) -> str:
    return _cut("left", column, name or column)


def _last(column: str) -> str:
    return _cut("right", column, column)


def _cut(function: str, column: str, name: str) -> str:
    text = f"{column}::VARCHAR"
    return f"{function}({text}, {TEXT_CHARACTERS}) AS {name}, length({text}) AS {name}_length"


def _located(workspace: Workspace, recorded: str) -> tuple[Path | None, str | None]:
    """Return where a file of a job's is, and what it is inside of that, if that is an archive."""
    return find_output(workspace, recorded), split_packed(recorded)[1]


def _preview_output(places: list[tuple[Path | None, str | None]]) -> Preview | None:
    """Return the first of some pictures that can be shown, or else why not; None where there are none."""
    why_not = None
    for place in places:
        with unpacked(*place) as path:
            if path is None:
                continue
            found = preview_input(path, OUTPUT_SIDE)
        if found.kind == "image":
            return found
        why_not = why_not or found
    return why_not


def _preview(directory: Path, details: JobDetails) -> Preview:
    if details.root is None:
        return Preview(note="The input is an id or a URL, which is not opened here.")
    folder = directory / decode_path(details.root)
    if not folder.is_dir():
        return Preview(note="The folder of its source is not there now; attach it again.")
    return preview_input(folder / decode_path(details.input_path))
