"""Which of several copies of a ledger goes on where the others stopped.

``ledger_info`` has a row for each session that opened a ledger, and a copy takes them along. So a copy
descends from another if it knows the other's last session, and all of its jobs and attempts too: a session
may have gone on after it was copied.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["LedgerCopy", "descends", "read_copy"]


@dataclass(frozen=True)
class LedgerCopy:
    """What one ledger file says about itself.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    catalog : str
        Under which quoted name the connection that read it has it.
    ledger_id, head : uuid.UUID or None
        The ledger, and its last session; None before there was a table for them.
    sessions : frozenset of uuid.UUID
        All of its sessions.
    counts : dict of str to int
        How many jobs there are of each status.
    changed_at : datetime.datetime or None
        When a job changed last, in UTC.
    tables : frozenset of str
        Which it has, of those that came with later revisions.
    """

    path: Path
    catalog: str
    ledger_id: uuid.UUID | None
    head: uuid.UUID | None
    sessions: frozenset[uuid.UUID]
    counts: dict[str, int]
    changed_at: datetime | None
    tables: frozenset[str]

    @property
    def total(self) -> int:
        """How many jobs it has."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        jobs = ", ".join(f"{number:,} {status}" for status, number in self.counts.items())
        changed = f"{self.changed_at:%Y-%m-%d %H:%M:%S} UTC" if self.changed_at else "never"
        return f"{self.path} (jobs: {jobs or 'none'}; last change {changed})"


def read_copy(connection: DuckDBPyConnection, catalog: str, path: Path) -> LedgerCopy | None:
    """Return what an attached file says about itself; None if it is no ledger."""
    name = catalog.strip('"').replace('""', '"')
    tables = frozenset(
        table
        for (table,) in connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = $name"
            " AND schema_name = 'main'",
            {"name": name},
        ).fetchall()
    )
    if not {"jobs", "alembic_version"} <= tables:
        return None
    rows = connection.execute(
        f"SELECT status::VARCHAR, count(*), max(updated_at) FROM {catalog}.main.jobs"
        " GROUP BY ALL ORDER BY 1"
    ).fetchall()
    sessions: list[tuple[uuid.UUID, uuid.UUID]] = []
    if "ledger_info" in tables:
        sessions = connection.execute(
            f"SELECT session_id, ledger_id FROM {catalog}.main.ledger_info ORDER BY generation DESC"
        ).fetchall()
    return LedgerCopy(
        path=path,
        catalog=catalog,
        ledger_id=sessions[0][1] if sessions else None,
        head=sessions[0][0] if sessions else None,
        sessions=frozenset(session for session, _ in sessions),
        counts={status: number for status, number, _ in rows},
        changed_at=max((moment for _, _, moment in rows if moment), default=None),
        tables=tables,
    )


def descends(connection: DuckDBPyConnection, one: LedgerCopy, other: LedgerCopy) -> bool:
    """Return whether one copy holds all that the other does, and knows its last session."""
    if other.head is not None and other.head not in one.sessions:
        return False
    keys = {"jobs": "job_id", "job_attempts": "attempt_id"}
    for table, key in keys.items():
        if table not in other.tables:
            continue
        if table not in one.tables:
            return False
        missing = connection.execute(
            f"SELECT 1 FROM {other.catalog}.main.{table} AS theirs WHERE NOT EXISTS"
            f" (SELECT 1 FROM {one.catalog}.main.{table} AS own WHERE own.{key} = theirs.{key}) LIMIT 1"
        ).fetchall()
        if missing:
            return False
    return True
