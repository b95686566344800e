"""Which workspace a session of ``get_db`` belongs to; a test's override gives one on a ledger of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from foregsyte_kaggle.database import Database, get_db
from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.workspace import (
    Workspace,
    active_workspace,
    current_workspace,
    open_workspaces,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy import Engine

__all__ = ["Served"]

HAS_JOBS = "SELECT 1 FROM duckdb_tables() WHERE table_name = 'jobs' AND NOT internal"


def find_workspace(request: Request, db: Annotated[Session, Depends(get_db)]) -> Workspace:
    """Return the workspace to answer from.

    The session only tells which; it never connects. The reads take cursors of the workspace's own, which a
    checkpoint of a run waits for, and which no session of SQLAlchemy keeps from it.
    """
    engine = db.get_bind().engine
    for one in (request.app.state.workspace, current_workspace(), *open_workspaces.values()):
        if one is not None and one.engine is engine:
            return active_workspace(one)
    return Workspace(Path.cwd(), _LentDatabase(engine))


#: What each endpoint answers from.
Served = Annotated[Workspace, Depends(find_workspace)]


class _LentDatabase(Database):
    """A ledger whose engine somebody else made, and closes."""

    def __init__(self, engine: Engine) -> None:
        self._lent = engine
        super().__init__(None)

    def _make_engine(self) -> Engine:
        return self._lent

    def _make_root(self) -> DuckDBPyConnection:
        # Of ":memory:" SQLAlchemy gives each thread a database of its own: the one with the tables is meant,
        # whichever thread made them.
        for entry in list(getattr(self._lent.pool, "_all_conns", ())):
            root: DuckDBPyConnection = entry.driver_connection.duplicate()
            if root.execute(HAS_JOBS).fetchall():
                return root
        borrowed = self._lent.raw_connection()
        try:
            root = borrowed.driver_connection.duplicate()  # type: ignore[union-attr]
        finally:
            borrowed.close()
        if not root.execute(HAS_JOBS).fetchall():
            raise LedgerError(
                f"the database {self._lent.url} that get_db gave has no table 'jobs'; make it with "
                "Base.metadata.create_all(engine) before the first request"
            )
        return root
