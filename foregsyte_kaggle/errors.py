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
    └── RunError                a run cannot start, or ended because of an error
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "ForegsyteError",
    "InvalidArgumentError",
    "LedgerError",
    "LedgerLockedError",
    "LedgerVersionError",
    "PipelineError",
    "ResultError",
    "RunError",
    "SourceError",
    "WorkspaceError",
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


@contextmanager
def translated(path: Path | str | None, doing: str) -> Iterator[None]:
    """Turn errors of DuckDB and SQLAlchemy into ours, with the cause kept.

    Parameters
    ----------
    path
        The ledger file that is worked on; None for one in memory.
    doing
        What was tried, as it reads after "cannot", such as ``"open"``.
    """
    # Both are loaded by whoever got far enough to raise; asking sys.modules keeps this module light.
    try:
        yield
    except Exception as error:
        kinds: list[type[BaseException]] = []
        for module, name in (("duckdb", "Error"), ("sqlalchemy.exc", "SQLAlchemyError")):
            if module in sys.modules:
                kinds.append(getattr(sys.modules[module], name))
        if not isinstance(error, tuple(kinds)):
            raise
        raise _translate(error, path, doing) from error


def _translate(error: BaseException, path: Path | str | None, doing: str) -> LedgerError:
    where = f"the ledger {path}" if path else "the ledger in memory"
    text = str(getattr(error, "orig", None) or error).strip()
    first_line = text.splitlines()[0] if text else type(error).__name__
    if "Could not set lock" in text or "used by another process" in text:
        return LedgerLockedError(_locked_message(where, text))
    if "different configuration" in text:
        return LedgerLockedError(
            f"{where} is open in this process already, through a plain duckdb.connect. "
            "Close that connection, and read the open ledger with foregsyte_kaggle.sql(...) instead."
        )
    if re.search(r"(newer|storage) version|version number|Serialization Error.*version", text):
        return LedgerVersionError(
            f"{where} was written by another version of DuckDB than {_duckdb_version()}, which cannot "
            f"read it ({first_line}). Install the DuckDB that wrote it, or a newer one."
        )
    if "not a valid DuckDB" in text:
        return LedgerError(
            f"{where} is not a DuckDB file. Nothing was changed. Move it away to start a new ledger "
            "in its place, or call bootstrap() on another directory."
        )
    if re.search(r"Could not read enough bytes|Corrupt|checksum|Failed to load metadata", text):
        return LedgerError(
            f"{where} is truncated or damaged ({first_line}). Nothing was changed. Copy it again from "
            "where it came, together with the .wal file beside it, or move it away to start anew."
        )
    if "No space left" in text or "disk full" in text.lower():
        return LedgerError(
            f"{where} cannot be written: the disk is full. What was committed is safe; free some room "
            "and go on."
        )
    if re.search(r"Permission denied|Read-only file system|Cannot open file", text):
        return LedgerError(
            f"{where} cannot be opened or created ({first_line}). Choose a directory that can be "
            "written, for example bootstrap('/kaggle/working')."
        )
    return LedgerError(f"cannot {doing} {where}: {text or type(error).__name__}")


def _locked_message(where: str, text: str) -> str:
    found = re.search(r"PID (\d+)", text)
    if not found:
        return f"{where} is locked by another process. Close that program or kernel and try again."
    pid = int(found.group(1))
    if pid == os.getpid():
        return (
            f"{where} is open in this process already, under another path or configuration. "
            "Use the workspace that is open, or close it first."
        )
    return (
        f"{where} is locked by process {pid}, most likely another notebook's kernel: only one process "
        "may hold a ledger. Shut that kernel down (Jupyter: Kernel > Shut Down; shell: "
        f"`kill {pid}`) and call bootstrap() again, or bootstrap another directory. To look at it "
        "meanwhile, call snapshot(path) in the process that holds it."
    )


def _duckdb_version() -> str:
    return str(getattr(sys.modules.get("duckdb"), "__version__", "unknown"))
