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
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import QueuePool

from foregsyte_kaggle.block_cache import BlockCache, repeatedly
from foregsyte_kaggle.errors import LedgerError, WorkspaceError, translated
from foregsyte_kaggle.surroundings import disk_space, memory_bytes

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "LEDGER_FILE",
    "Base",
    "Database",
    "SessionLocal",
    "borrowed_database",
    "check_path",
    "get_db",
    "is_open",
    "open_database",
    "reading_database",
]

#: Files of this storage version open in DuckDB 1.3, which Kaggle's image has, and in all later ones.
STORAGE_VERSION = "v1.0.0"

#: How long the write-ahead log may grow before a commit is followed by a checkpoint, as in DuckDB. What
#: is in the log is in memory too.
LOG_BYTES = 16 * 2**20

#: How many merges of small parts of a table into a full one a checkpoint makes at most. One takes as many
#: as fill it; DuckDB's 100 would take hundreds of megabytes after a long run.
MERGES = 1

#: What a checkpoint may need on the disk, generously: so many times the log, and some blocks a table.
CHECKPOINT_LOGS = 4
CHECKPOINT_BYTES = 16 * 2**20

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
    change of a table's columns and a copy of the file happen with no reader open, and a checkpoint with
    no session of the user's open either: DuckDB before 1.5 spins for ever when it meets a result that
    was not fetched to its end, as the one behind ``session.query(Job).first()``.

    Parameters
    ----------
    path
        The ledger file, made when it does not exist; None for a ledger in memory.
    read_only
        Whether nothing may change, neither the file nor its write-ahead log; others may read it too then.

    Attributes
    ----------
    is_read_only : bool
        Whether nothing may change.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self.is_read_only = read_only
        self._pid = os.getpid()
        self._write_lock = threading.RLock()
        self._in_transaction = False
        self._gate = threading.Condition()
        self._readings: set[tuple[int, object]] = set()
        self._waits_for_readers = False
        self._closed = False
        self._descriptor: int | None = None
        self._limit = f"{max(memory_bytes() // 4, 2**30) // 2**20}MiB"
        with translated(path, "open"):
            self.engine = self._make_engine()
            self._root = self._make_root()
            self._writer = self._root.cursor()
            self._block_cache = BlockCache(self._limit, self._writer)
        _open_databases.add(self)

    @contextmanager
    def transaction(self, *, log_bytes: int | None = None) -> Iterator[DuckDBPyConnection]:
        """Give the writing cursor inside a transaction; a nested call joins the outer one.

        Commits at the end; on any exception all of it is rolled back.

        Parameters
        ----------
        log_bytes
            A checkpoint follows if the write-ahead log is as long as this afterwards, where nobody reads and the disk
            has room; in any case if it is as long as ``LOG_BYTES``, the default.
        """
        self._check_usable()
        self._check_not_reading()
        with self._write_lock, translated(self.path, "write to"):
            self._check_usable()
            if self._in_transaction:
                yield self._writer
                return
            try:
                self._in_transaction = True
                self._writer.begin()
                yield self._writer
                self._writer.commit()
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._in_transaction = False
            self._checkpoint_a_long_log(log_bytes)

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """Give a cursor of its own that sees one consistent, read-only state of the ledger."""
        self._check_usable()
        token = (threading.get_ident(), object())
        with translated(self.path, "read"):
            try:
                with self._gate:
                    # Who waits to be alone goes first, or readers that overlap would keep it out; a
                    # thread that reads already is let through, or both would wait for ever.
                    self._gate.wait_for(lambda: not self._waits_for_readers or self._reads_here())
                    self._check_usable()
                    self._readings.add(token)
                    cursor = self._root.cursor()
                try:
                    cursor.execute("BEGIN TRANSACTION READ ONLY")
                    yield cursor
                finally:
                    cursor.close()
            finally:
                with self._gate:
                    self._readings.discard(token)
                    self._gate.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[DuckDBPyConnection]:
        """Give the writing cursor, outside a transaction, while nobody else reads or writes.

        Sessions that are open go on; new ones wait.
        """
        self._check_usable()
        self._check_not_reading()
        with self._write_lock, self._gate, translated(self.path, "change"):
            try:
                self._waits_for_readers = True
                self._gate.wait_for(lambda: not self._readings)
            finally:
                self._waits_for_readers = False
                self._gate.notify_all()
            self._check_usable()
            yield self._writer

    def checkpoint(self) -> bool:
        """Move what is committed from the write-ahead log into the file.

        Returns
        -------
        bool
            False when an open session or transaction of the user's did not let it, or the ledger may only be
            read; nothing is lost then.
        """
        import duckdb

        with self.exclusive() as connection:
            if self.open_sessions or self.is_read_only:
                return False
            try:
                connection.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False
        return True

    def checkpoint_if_there_is_room(self) -> bool:
        """Checkpoint, unless there is no log, or the disk may be too full for it.

        DuckDB gives a ledger up when a checkpoint fails; what is committed is safe in the log as it is.
        """
        log = self._log_size()
        return log is not None and self._has_room(log) and self.checkpoint()

    @contextmanager
    def kept_lean(self, cursor: DuckDBPyConnection) -> Iterator[None]:
        """Keep DuckDB's memory small while this thread reads much; what it keeps is for a next time only.

        Only while nobody else uses the ledger. The query itself may be refused memory, with DuckDB's
        ``OutOfMemoryException``; then it is to be tried again without this.
        """
        beside = cursor.cursor()

        def shrink_cache() -> None:
            if not self._write_lock.acquire(blocking=False):
                return
            try:
                with self._gate:
                    if len(self._readings) == 1 and not self.open_sessions:
                        self._block_cache.shrink(beside)
            finally:
                self._write_lock.release()

        with closing(beside), repeatedly(shrink_cache):
            yield

    @property
    def open_sessions(self) -> int:
        """How many of the user's sessions and connections hold a connection to the ledger now."""
        return int(self.engine.pool.checkedout())  # type: ignore[attr-defined]

    def file_descriptor(self) -> int:
        """Return a descriptor to read the ledger file from; it stays open until ``close``.

        Whoever opens the file another way and closes it again takes the lock away that keeps other
        processes out, since the system drops all locks of a process on a file when the process closes
        any descriptor of it.
        """
        if self.path is None:
            raise WorkspaceError("the ledger in memory has no file")
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        return self._descriptor

    def close(self) -> None:
        """Checkpoint and let go of the file; the second call does nothing.

        A session that is still open keeps the file open, until it is closed too.
        """
        if os.getpid() != self._pid:
            return
        with self._write_lock:
            if self._closed:
                return
            with self.exclusive():
                try:
                    self.checkpoint()
                finally:
                    self._closed = True
                    self._let_go()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def _let_go(self) -> None:
        still_open = self.open_sessions
        for connection in (self._writer, self._root, self._kept):
            connection.close()
        self.engine.dispose()
        if self._descriptor is not None and not still_open:
            os.close(self._descriptor)
        with _registry_lock:
            if self.path is not None and _registry.get(self.path) is self:
                del _registry[self.path]

    def _make_engine(self) -> Engine:
        config = {
            "storage_compatibility_version": STORAGE_VERSION,
            # DuckDB would take 80 % of what the machine claims to have, which the workers need.
            "memory_limit": self._limit,
            "temp_directory": os.path.join(tempfile.gettempdir(), f"foregsyte-spill-{os.getpid()}"),
            # DuckDB would checkpoint inside a commit, and a user's open session can make it spin then.
            "checkpoint_threshold": "1TB",
            "max_vacuum_tasks": str(MERGES),
            # A file of another format would make DuckDB download what reads it.
            "autoinstall_known_extensions": "false",
        }
        if self.is_read_only:
            config["access_mode"] = "READ_ONLY"
        # A named database in memory is shared by the pool's connections, unlike a plain ":memory:".
        name = str(self.path) if self.path else f":memory:foregsyte-{os.urandom(8).hex()}"
        engine = create_engine(
            URL.create("duckdb", database=name),
            connect_args={"config": config},
            poolclass=QueuePool,
            pool_size=2,
        )
        event.listen(engine, "do_connect", self._before_connect)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "checkout", self._before_use)
        event.listen(engine, "checkin", self._after_use)
        return engine

    def _make_root(self) -> DuckDBPyConnection:
        """Return what all cursors are made from; it never runs a query itself."""
        # The pool's connections come and go; this one keeps the file open.
        self._kept = self.engine.raw_connection()
        root: DuckDBPyConnection = self._kept.driver_connection.duplicate()  # type: ignore[union-attr]
        self._kept.detach()  # so that the pool counts the users' connections only
        return root

    def _before_connect(self, *_: object) -> None:
        self._check_usable()

    def _before_use(self, *_: object) -> None:
        self._check_usable()
        with self._gate:  # a copy or a checkpoint under way ends first
            pass

    def _after_use(self, connection: Any, _record: object) -> None:
        if self._closed and connection is not None and os.getpid() == self._pid:
            connection.close()  # the last one lets go of the file

    def _log_size(self) -> int | None:
        """Return how many bytes the write-ahead log has; None where there is none."""
        try:
            return None if self.path is None else os.stat(f"{self.path}.wal").st_size
        except OSError:
            return None

    def _has_room(self, log: int) -> bool:
        space = None if self.path is None else disk_space(self.path.parent)
        return space is None or space[0] >= CHECKPOINT_LOGS * log + CHECKPOINT_BYTES

    def _checkpoint_a_long_log(self, log_bytes: int | None) -> None:
        """Checkpoint as DuckDB does by itself, after a commit that left a long write-ahead log.

        The memory of who writes much stays the same for any amount: what the checkpoint wrote and read
        leaves it, and parts of tables are not merged, which takes more memory and time than all the rest
        of a checkpoint. The next other one does that.
        """
        log = self._log_size()
        if log is None or log < (LOG_BYTES if log_bytes is None else log_bytes):
            return
        if log < LOG_BYTES and (self._readings or not self._has_room(log)):
            return
        # The commit stands; a full disk, say, will be told by the next one that needs room.
        with suppress(LedgerError), self.exclusive() as connection:
            connection.execute("SET max_vacuum_tasks = 0")
            try:
                if self.checkpoint():
                    self._block_cache.empty(connection)
            finally:
                connection.execute(f"SET max_vacuum_tasks = {MERGES}")

    def _roll_back(self) -> None:
        import duckdb

        # DuckDB ends the transaction itself when a commit fails.
        with suppress(duckdb.Error):
            self._writer.rollback()

    def _reads_here(self) -> bool:
        thread = threading.get_ident()
        return any(reader == thread for reader, _ in tuple(self._readings))

    def _check_not_reading(self) -> None:
        if self._reads_here():
            raise LedgerError(
                f"this thread still reads {self.path or 'the ledger in memory'}; it must end that before "
                "it writes, since both would wait for each other"
            )

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise LedgerError(
                f"the ledger {self.path or 'in memory'} belongs to process {self._pid}, from which this "
                "process was forked. Return results to the notebook's process and let it write them."
            )
        if self._closed:
            raise WorkspaceError(
                f"the ledger {self.path or 'in memory'} was closed; call bootstrap() again"
            )


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
            check_path(file)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                advice = "Choose a directory that can be written, for example bootstrap('/kaggle/working')."
                taken = next((one for one in file.parents if one.is_file()), None)
                if taken is not None:
                    advice = f"{taken} is a file; expected the directory of a workspace."
                    if taken.name == LEDGER_FILE.name:
                        advice += f" For this ledger call bootstrap({str(taken.parents[1])!r})."
                raise LedgerError(
                    f"the folder {file.parent} for the ledger cannot be made: {error.strerror}. {advice}"
                ) from error
            database = _registry[file] = Database(file)
        return database


def is_open(path: Path) -> bool:
    """Return whether this process has a ledger file open through ``open_database``."""
    with _registry_lock:
        return path.expanduser().resolve() in _registry


@contextmanager
def borrowed_database(path: Path | str) -> Iterator[Database]:
    """Give the ``Database`` of a file, and close it afterwards unless it was open before."""
    with _registry_lock:
        was_open = Path(path).expanduser().resolve() in _registry
        database = open_database(path)
    try:
        yield database
    finally:
        if not was_open:
            database.close()


@contextmanager
def reading_database(path: Path) -> Iterator[Database]:
    """Give a ledger file that is there opened to read only, and close it afterwards.

    It is not upgraded, recovered or checkpointed: neither the file nor its write-ahead log changes.

    Raises
    ------
    LedgerError
        If it cannot be read; of these ``LedgerLockedError`` if another process writes to it.
    WorkspaceError
        If it is open in this process.
    """
    file = path.expanduser().resolve()
    if is_open(file):
        raise WorkspaceError(
            f"the ledger {file} is open in this process; close its workspace first (workspace.close())"
        )
    check_path(file)
    database = Database(file, read_only=True)
    try:
        yield database
    finally:
        database.close()


def check_path(file: Path) -> None:
    """Refuse a path that DuckDB would take for another one.

    Raises
    ------
    LedgerError
        If it holds a question mark, a backslash, or bytes that are not Unicode.
    """
    text = str(file)
    reason = None
    if "?" in text:
        reason = "a question mark, after which DuckDB looks for options"
    elif "\\" in text and os.sep != "\\":
        reason = "a backslash, which DuckDB takes for a slash"
    elif not text.isprintable() and any("\udc80" <= character <= "\udcff" for character in text):
        reason = "bytes that are not Unicode, which DuckDB cannot open"
    if reason:
        raise LedgerError(
            f"the path {text!r} has {reason}; choose another directory, for example "
            "bootstrap('/kaggle/working')"
        )


def _prepare(connection: Any, _record: object) -> None:
    _connections.add(connection)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")


_registry: dict[Path, Database] = {}
_registry_lock = threading.RLock()
_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_connections: weakref.WeakSet[Any] = weakref.WeakSet()


def _keep_alive_in_child() -> None:
    """Make a forked child leak the connections it inherited, and forget the pools that hold them.

    When a child closes or garbage-collects the last inherited connection, DuckDB deletes the parent's
    write-ahead log, and rows that the parent commits afterwards are gone after a crash.
    """
    if not _connections:
        return
    import duckdb

    # DuckDB 2.0 makes the child crash at its exit when it clears the module's own connection.
    for inherited in (*_open_databases, *_connections, duckdb.default_connection()):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
    for database in _open_databases:
        database.engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_alive_in_child)
