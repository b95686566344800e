"""The errors that a user can meet, and the one place where DuckDB's and SQLAlchemy's become ours.

::

    ForegsyteError
    ├── WorkspaceError          no workspace is open, or this one may not be opened now
    ├── LedgerError             the ledger file cannot be opened, read or written
    │   ├── LedgerLockedError   another process holds it
    │   └── LedgerVersionError  written by a newer DuckDB, or at a revision unknown here
    ├── InvalidArgumentError    an argument is not of the expected form
    ├── SourceError             inputs cannot be found, read or named
    ├── PipelineError           a pipeline is unknown, ambiguous or cannot be called
    ├── ResultError             what a pipeline returned cannot be stored
    ├── RunError                a run cannot start, or ended because of an error
    └── MissingExtraError       what an extra of the package brings is not installed
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "ForegsyteError",
    "InvalidArgumentError",
    "LedgerError",
    "LedgerLockedError",
    "LedgerVersionError",
    "MissingExtraError",
    "PipelineError",
    "ResultError",
    "RunError",
    "SourceError",
    "WorkspaceError",
    "known_names",
    "translated",
]


class ForegsyteError(Exception):
    """Base of every error that foregsyte_kaggle raises on purpose."""


class WorkspaceError(ForegsyteError, RuntimeError):
    """No workspace is open, or the one asked for may not be opened now."""


class LedgerError(ForegsyteError, RuntimeError):
    """The ledger file cannot be opened, read or written."""


class LedgerLockedError(LedgerError):
    """Another process holds the ledger; DuckDB lets one process open a file."""


class LedgerVersionError(LedgerError):
    """The ledger was written by a newer DuckDB, or is at a revision unknown here."""


class InvalidArgumentError(ForegsyteError, ValueError):
    """An argument is not of the expected form."""


class SourceError(ForegsyteError, ValueError):
    """Inputs cannot be found, read or named."""


class PipelineError(ForegsyteError, LookupError):
    """A pipeline is unknown, defined twice, or cannot be called as asked."""


class ResultError(ForegsyteError, TypeError):
    """What a pipeline returned cannot be stored as rows."""


class RunError(ForegsyteError, RuntimeError):
    """A run cannot start, or ended because of an error."""


class MissingExtraError(ForegsyteError, ImportError):
    """What an extra of the package brings is not installed."""


#: So many names that there are does a message list.
MOST_NAMES = 20


def known_names(given: str, known: Iterable[str]) -> str:
    """Return what a message says after a name that is unknown: the nearest, and which there are."""
    import difflib

    names = sorted(known)
    if not names:
        return " There are none yet."
    near = difflib.get_close_matches(given, names, n=1)
    if names == near:
        return f" Did you mean {near[0]!r}, the only one?"
    shown = [name if name.isidentifier() else repr(name) for name in names[:MOST_NAMES]]
    more = f" and {len(names) - MOST_NAMES:,} more" if names[MOST_NAMES:] else ""
    hint = f" Did you mean {near[0]!r}?" if near else ""
    verb = "is only" if len(names) == 1 else "are"
    return f"{hint} Known {verb} {', '.join(shown)}{more}."


@contextmanager
def translated(path: Path | str | None, doing: str) -> Iterator[None]:
    """Turn errors of DuckDB and SQLAlchemy into ours, with the cause kept.

    Parameters
    ----------
    path
        The ledger file that is worked on; None for one in memory.
    doing
        What was tried, as it reads after "cannot", such as ``"open"``.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C, or the notebook's Stop, ended a query.
    """
    # Both are loaded by whoever got far enough to raise; asking sys.modules keeps this module light.
    try:
        yield
    except Exception as error:
        if type(error) is RuntimeError and str(error) == "Query interrupted":
            raise KeyboardInterrupt from error  # what DuckDB makes of Ctrl-C within a query
        kinds: list[type[BaseException]] = []
        for module, name in (("duckdb", "Error"), ("sqlalchemy.exc", "SQLAlchemyError")):
            if module in sys.modules:
                kinds.append(getattr(sys.modules[module], name))
        if not isinstance(error, tuple(kinds)):
            raise
        raise _translate(error, path, doing) from error


def _translate(error: BaseException, path: Path | str | None, doing: str) -> LedgerError:
    where = f"the ledger {path}" if path else "the ledger in memory"
    original = getattr(error, "orig", None) or error
    text = str(original).strip()
    why = text.splitlines()[0] if text else type(original).__name__
    words = text.replace(str(path), "")  # a folder may be named like an error
    if doing == "open" or not _is_about_values(original):
        if "Could not set lock" in words or "used by another process" in words:
            return LedgerLockedError(_locked_message(where, words))
        if "not a valid DuckDB" in words and path and _is_empty(path):
            return LedgerError(
                f"{where} is an empty file, as an interrupted copy leaves it. Copy it again from where it "
                "came, or remove it to start a new ledger in its place."
            )
        for pattern, kind, message in _MEANINGS:
            if re.search(pattern, words):
                return kind(message.format(where=where, why=why, duckdb=_duckdb_version()))
    return LedgerError(f"cannot {doing} {where}: {text or type(original).__name__}")


#: What DuckDB's messages mean to a user: a pattern, the error, and its text.
_MEANINGS: tuple[tuple[str, type[LedgerError], str], ...] = (
    (
        "different configuration",
        LedgerLockedError,
        (
            "{where} is open in this process already, through a plain duckdb.connect. Close that connection, "
            "and read the open ledger with foregsyte_kaggle.sql(...) instead."
        ),
    ),
    (
        r"created with an older|created with DuckDB version v0",
        LedgerVersionError,
        (
            "{where} was written by an old DuckDB, whose files DuckDB {duckdb} does not read any more ({why}). "
            "Open it with the one that wrote it and run EXPORT DATABASE there."
        ),
    ),
    (
        r"version number|[Ss]torage [Vv]ersion|Serialization Error|newer version of DuckDB",
        LedgerVersionError,
        (
            "{where} was written by a newer DuckDB than {duckdb}, which cannot read it ({why}). Run "
            "`pip install -U duckdb`, restart the kernel and bootstrap again."
        ),
    ),
    (
        r"not a valid DuckDB|existing extension|sqlite_scanner",
        LedgerError,
        (
            "{where} is not a DuckDB file. Nothing was changed. Move it away to start a new ledger in its "
            "place, or call bootstrap() on another directory."
        ),
    ),
    (
        "replaying WAL",
        LedgerError,
        (
            "the write-ahead log beside {where} is damaged ({why}). Nothing was changed. Copy both files again "
            "from where they came, or move the .wal file away: what was committed last is lost then."
        ),
    ),
    (
        r"Could not read enough bytes|Corrupt|checksum|Failed to load metadata",
        LedgerError,
        (
            "{where} is truncated or damaged ({why}). Nothing was changed. Copy it again from where it came, "
            "together with the .wal file beside it, or move it away to start anew."
        ),
    ),
    (
        "database has been invalidated",
        LedgerError,
        (
            "DuckDB gave {where} up after an earlier error ({why}). What was committed is safe: restart the "
            "kernel and bootstrap again."
        ),
    ),
    (
        r"No space left|[Dd]isk full",
        LedgerError,
        "{where} cannot be written: the disk is full. What was committed is safe; free some room and go on.",
    ),
    (
        "Is a directory",
        LedgerError,
        (
            "{where} is a folder, where a file is expected. Move it away, or call bootstrap() on another "
            "directory."
        ),
    ),
    (
        r"Permission denied|Read-only file system|Cannot open file",
        LedgerError,
        (
            "{where} cannot be opened or created ({why}). Choose a directory that can be written, for example "
            "bootstrap('/kaggle/working')."
        ),
    ),
    (
        r"[Cc]onflict",
        LedgerError,
        (
            "{where} was changed by an open session at the same time ({why}). Commit or close that session and "
            "try again."
        ),
    ),
)


def _is_about_values(error: BaseException) -> bool:
    """Whether an error's text may quote data or SQL, in which any words can stand."""
    duckdb = sys.modules.get("duckdb")
    kinds = ("ProgrammingError", "DataError", "IntegrityError")
    return isinstance(error, tuple(getattr(duckdb, kind) for kind in kinds if duckdb))


def _is_empty(path: Path | str) -> bool:
    try:
        return os.stat(path).st_size == 0
    except OSError:
        return False


def _locked_message(where: str, text: str) -> str:
    found = re.search(r"PID ([1-9]\d*)", text)
    if not found:
        return f"{where} is locked by another process. Close that program or kernel and try again."
    pid = int(found.group(1))
    return (
        f"{where} is locked by process {pid}, most likely another notebook's kernel: only one process "
        "may hold a ledger. Shut that kernel down (Jupyter: Kernel > Shut Down; shell: "
        f"`kill {pid}`) and call bootstrap() again, or bootstrap another directory. To look at it "
        "meanwhile, call snapshot(path) in the process that holds it."
    )


def _duckdb_version() -> str:
    return str(getattr(sys.modules.get("duckdb"), "__version__", "unknown"))
