"""What is in a ledger of any revision, as facts and as lines for people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle import schema
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.quantities import in_bytes
from foregsyte_kaggle.shell.arguments import PROGRAM

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.database import Database

__all__ = ["describe", "read_overview"]

COUNTS = (*(status.value for status in JobStatus), "total")
RUN = ("run_id", "pipeline_id", "executor", "workers", "started_at", "finished_at", "ended_by")
RUN_COUNTS = ("completed", "failed")
MOST_LETTERS = 48


def read_overview(database: Database) -> dict[str, Any]:
    """Return what a ledger says of itself, in values that JSON has; times are UTC.

    Raises
    ------
    LedgerVersionError
        If a newer version of this package wrote it.
    """
    is_newest = schema.check_revision(database)
    revision = schema.current_revision(database)
    with database.reading() as cursor:
        jobs, changed_at = _jobs(cursor)
        last_run = _last_run(cursor)
    size = 0
    for file in (str(database.path), f"{database.path}.wal"):
        with suppress(FileNotFoundError):
            size += os.stat(file).st_size
    return {
        "ledger": str(database.path),
        "bytes": size,
        "revision": revision,
        "newest_revision": schema.head_revision(),
        "is_newest": is_newest,
        "changed_at": changed_at,
        "counts": {name: sum(row[name] for row in jobs) for name in COUNTS},
        "jobs": jobs,
        "last_run": last_run,
    }


def describe(facts: dict[str, Any]) -> list[str]:
    """Return the lines that tell people what ``read_overview`` found."""
    newest = facts["newest_revision"]
    at = "the newest" if facts["is_newest"] else f"the newest is {newest}: run `{PROGRAM} upgrade`"
    lines = [
        f"{facts['ledger']}, {in_bytes(facts['bytes'])}",
        f"revision {facts['revision']} ({at})",
        f"last change {_moment(facts['changed_at'])}" if facts["changed_at"] else "no jobs yet",
    ]
    if facts["jobs"]:
        lines += ["", *_table(facts["jobs"], facts["counts"])]
    running = facts["counts"]["running"]
    if running:
        ran = (
            f"{counted(running, 'job')} that ran when the session ended, or when this copy was made"
        )
        lines += ["", f"{ran}; bootstrap() makes such pending again"]
    if facts["last_run"]:
        lines += ["", _describe_run(facts["last_run"])]
    return lines


def _jobs(cursor: DuckDBPyConnection) -> tuple[list[dict[str, Any]], str | None]:
    """Return the counts of each pipeline and source, and when a job changed last."""
    # Early revisions know no sources.
    source = "source" if _has(cursor, "jobs", "source") else "NULL::VARCHAR"
    counts = ", ".join(f"count(*) FILTER (status = '{status.value}')" for status in JobStatus)
    rows = cursor.execute(
        f"SELECT pipeline_id, {source}, {counts}, count(*), max(updated_at) FROM jobs"
        " GROUP BY ALL ORDER BY 1, 2 NULLS FIRST"
    ).fetchall()
    names = ("pipeline_id", "source", *COUNTS)
    changed_at = max((row[-1] for row in rows if row[-1]), default=None)
    return [dict(zip(names, row[:-1], strict=True)) for row in rows], _as_text(changed_at)


def _last_run(cursor: DuckDBPyConnection) -> dict[str, Any] | None:
    if not _has(cursor, "runs", "run_id"):
        return None
    names = (*RUN, *RUN_COUNTS)
    rows = cursor.execute(
        f"SELECT {', '.join(names)} FROM runs ORDER BY started_at DESC LIMIT 1"
    ).fetchall()
    if not rows:
        return None
    run = dict(zip(names, rows[0], strict=True))
    times = {name: _as_text(run[name]) for name in ("started_at", "finished_at")}
    return run | times | {"run_id": str(run["run_id"])}


def _has(cursor: DuckDBPyConnection, table: str, column: str) -> bool:
    query = (
        "SELECT 1 FROM duckdb_columns() WHERE database_name = current_database()"
        " AND schema_name = 'main' AND table_name = $table AND column_name = $column"
    )
    return bool(cursor.execute(query, {"table": table, "column": column}).fetchall())


def _as_text(moment: datetime | None) -> str | None:
    return moment.replace(tzinfo=UTC).isoformat() if moment else None


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"


def _table(jobs: Sequence[dict[str, Any]], counts: dict[str, int]) -> list[str]:
    has_sources = any(row["source"] is not None for row in jobs)
    names = ("pipeline_id", "source") if has_sources else ("pipeline_id",)
    rows = [[*("pipeline", "source")[: len(names)], *COUNTS]]
    rows += [
        [*(_shown(row[name]) for name in names), *(f"{row[one]:,}" for one in COUNTS)]
        for row in jobs
    ]
    if len(jobs) > 1:
        rows.append(["all", *[""] * (len(names) - 1), *(f"{counts[one]:,}" for one in COUNTS)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < len(names) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _shown(name: str | None) -> str:
    """Return a name of the ledger's as a terminal may have it: on one line, and nothing that it obeys."""
    text = name or ""
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _describe_run(run: dict[str, Any]) -> str:
    what = "all pipelines" if run["pipeline_id"] is None else _shown(run["pipeline_id"])
    begun = (
        f"{_moment(run['started_at'])} on {counted(run['workers'], 'worker')} ({run['executor']})"
    )
    if run["finished_at"] is None:
        return f"last run: {what}, begun {begun}, and no end was recorded"
    done = ", ".join(f"{run[name] or 0:,} {name}" for name in RUN_COUNTS)
    return (
        f"last run: {what}, begun {begun}, ended {_moment(run['finished_at'])} "
        f"({run['ended_by']}): {done}"
    )
