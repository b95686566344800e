"""The one engine of a ledger file: sessions, raw cursors, and the locks that order their use.

The only module that opens DuckDB. SQLAlchemy serves the models and migrations; hot paths use plain
DuckDB cursors of the same engine, since a second, separate connection to the file is refused.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from foregsyte_kaggle.environment import memory_bytes
from foregsyte_kaggle.errors import LedgerError, WorkspaceError, translated

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["LEDGER_FILE", "Base", "Database", "SessionLocal", "get_db", "open_database"]

#: Files of this storage version open in DuckDB 1.3, which Kaggle's image has, and in all later ones.
STORAGE_VERSION = "v1.0.0"

#: Where a workspace keeps its ledger, relative to the working directory.
LEDGER_FILE = Path("data", "foregsyte.duckdb")


class Base(DeclarativeBase):
    """The declarative base that all models of this package share."""


class _LedgerSession(Session):
    """A session that says what to do when no workspace is open yet."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Any:
        if self.bind is None:
            raise WorkspaceError(
                "no workspace is open: call foregsyte_kaggle.bootstrap() before using SessionLocal"
            )
        return super().get_bind(*args, **kwargs)


#: Makes sessions on the active workspace's ledger; ``bootstrap`` binds it.
SessionLocal = sessionmaker(autoflush=False, class_=_LedgerSession)


def get_db() -> Iterator[Session]:
    """Yield a session on the active ledger and close it afterwards, as a FastAPI dependency does.

    Yields
    ------
    sqlalchemy.orm.Session
        A session that the caller commits.

    Raises
    ------
    WorkspaceError
        If no workspace is open.
    """
    if SessionLocal.kw.get("bind") is None:
        raise WorkspaceError(
            "no workspace is open: call foregsyte_kaggle.bootstrap() before get_db()"
        )
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


class Database:
    """One open ledger.

    Reads go on beside writes. Writes of this process come one after the other; a checkpoint, a
    change of a table's columns and a copy of the file happen with no reader open, because DuckDB 1.3
    can spin for ever otherwise.

    Parameters
    ----------
    path
        The ledger file, made when it does not exist; None for a ledger in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._pid = os.getpid()
        self._write_lock = threading.RLock()
        self._depth = 0
        self._readers = 0
        self._no_readers = threading.Condition()
        self._closed = False
        with translated(path, "open"):
            self.engine = _make_engine(path)
            # The pool's connections come and go; this one keeps the file open, and all cursors are
            # made from it since it never runs a query itself.
            self._pooled = self.engine.raw_connection()
            self._root: DuckDBPyConnection = self._pooled.driver_connection.duplicate()  # type: ignore[union-attr]
            self._writer = self._root.cursor()
        _open_databases.add(self)

    @contextmanager
    def transaction(self) -> Iterator[DuckDBPyConnection]:
        """Give the writing cursor inside a transaction; a nested call joins the outer one.

        Commits at the end; on any exception all of it is rolled back.
        """
        with self._write_lock, translated(self.path, "write to"):
            self._check_usable()
            if self._depth:
                yield self._writer
                return
            self._writer.begin()
            self._depth += 1
            try:
                yield self._writer
            except BaseException:
                self._roll_back()
                raise
            else:
                self._writer.commit()
            finally:
                self._depth -= 1

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """Give a cursor of its own that sees one consistent, read-only state of the ledger."""
        with translated(self.path, "read"):
            self._check_usable()
            with self._no_readers:
                cursor = self._root.cursor()
                self._readers += 1
            try:
                cursor.execute("BEGIN TRANSACTION READ ONLY")
                yield cursor
            finally:
                cursor.close()
                with self._no_readers:
                    self._readers -= 1
                    self._no_readers.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[DuckDBPyConnection]:
        """Give the writing cursor, outside a transaction, while nobody else reads or writes."""
        with self._write_lock, self._no_readers, translated(self.path, "change"):
            self._check_usable()
            self._no_readers.wait_for(lambda: self._readers == 0)
            yield self._writer

    def checkpoint(self) -> bool:
        """Move what is committed from the write-ahead log into the file.

        Returns
        -------
        bool
            False when an open transaction of somebody's session did not let it; nothing is lost then.
        """
        import duckdb

        with self.exclusive() as connection:
            try:
                connection.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False
        return True

    def close(self) -> None:
        """Checkpoint and let go of the file; the second call does nothing."""
        with self._write_lock:
            if self._closed or os.getpid() != self._pid:
                return
            try:
                self.checkpoint()
            finally:
                self._closed = True
                self._writer.close()
                self._root.close()
                self._pooled.close()
                self.engine.dispose()
                with _registry_lock:
                    if self.path is not None and _registry.get(self.path) is self:
                        del _registry[self.path]

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def _roll_back(self) -> None:
        import duckdb

        try:
            self._writer.rollback()
        except duckdb.Error:  # DuckDB ends the transaction itself when a commit fails
            pass

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise LedgerError(
                f"the ledger {self.path} belongs to process {self._pid}, from which this process was "
                "forked. Return results to the notebook's process and let it write them."
            )
        if self._closed:
            raise WorkspaceError(f"the ledger {self.path} was closed; call bootstrap() again")


def open_database(path: Path | str) -> Database:
    """Return the one ``Database`` of a file in this process, opening it at the first call.

    Parameters
    ----------
    path
        The ledger file; missing folders are made.

    Raises
    ------
    LedgerError
        If the file is locked, damaged, not DuckDB's, or its folder cannot be written.
    """
    file = Path(path).expanduser().resolve()
    with _registry_lock:
        database = _registry.get(file)
        if database is None:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LedgerError(
                    f"the folder {file.parent} for the ledger cannot be made: {error.strerror}. "
                    "Choose a directory that can be written, for example bootstrap('/kaggle/working')."
                ) from error
            database = _registry[file] = Database(file)
        return database


def _make_engine(path: Path | None) -> Engine:
    config = {
        "storage_compatibility_version": STORAGE_VERSION,
        # DuckDB would take 80 % of what the machine claims to have, which the workers need.
        "memory_limit": f"{max(memory_bytes() // 4, 2**30) // 2**20}MiB",
        "temp_directory": os.path.join(tempfile.gettempdir(), f"foregsyte-spill-{os.getpid()}"),
    }
    # A named database in memory is shared by the pool's connections, unlike a plain ":memory:".
    name = str(path) if path else f":memory:foregsyte-{os.urandom(8).hex()}"
    engine = create_engine(
        URL.create("duckdb", database=name), connect_args={"config": config}, pool_size=2
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        _connections.add(connection)
        connection.execute("SET GLOBAL TimeZone = 'UTC'")

    return engine


_registry: dict[Path, Database] = {}
_registry_lock = threading.RLock()
_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_connections: weakref.WeakSet[Any] = weakref.WeakSet()


def _keep_alive_in_child() -> None:
    """Make a forked child leak the connections it inherited.

    When a child closes or garbage-collects an inherited connection, DuckDB deletes the parent's
    write-ahead log, and rows that the parent commits afterwards are gone after a crash.
    """
    for inherited in (*_open_databases, *_connections):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_alive_in_child)
