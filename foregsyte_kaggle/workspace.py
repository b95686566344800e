"""The workspace: a working directory with its ledger and its output files, and which one is active."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.database import LEDGER_FILE, Database, SessionLocal
from foregsyte_kaggle.errors import InvalidArgumentError, WorkspaceError
from foregsyte_kaggle.notices import counted, say

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = [
    "Workspace",
    "activate",
    "active_workspace",
    "as_path",
    "current_workspace",
    "open_workspaces",
]


class _State:
    active: Workspace | None = None


_state = _State()

#: The workspaces that are open in this process, by directory; change it under ``workspaces_lock``.
open_workspaces: dict[Path, Workspace] = {}
workspaces_lock = threading.RLock()


class Workspace:
    """A working directory with its ledger ``data/foregsyte.duckdb`` and its ``data/outputs/``.

    Made by ``bootstrap``; every helper takes one as ``workspace=``.

    Attributes
    ----------
    directory : pathlib.Path
        The working directory.
    database : foregsyte_kaggle.database.Database
        Its open ledger.
    live_runs : set of uuid.UUID
        The runs that work in this process now.
    """

    def __init__(self, directory: Path, database: Database) -> None:
        self.directory = directory
        self.database = database
        self.live_runs: set[uuid.UUID] = set()
        self._listeners: list[Callable[[], None]] = []
        self._before_close: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Have somebody told, from any thread, whenever a run begins or ends; once, if named twice."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Tell a listener nothing more."""
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    def enter(self, run_id: uuid.UUID) -> None:
        """Note that a run works, and tell the listeners."""
        self.live_runs.add(run_id)
        self._tell()

    def leave(self, run_id: uuid.UUID) -> None:
        """Note that a run works no more, and tell the listeners."""
        if run_id in self.live_runs:
            self.live_runs.discard(run_id)
            self._tell()

    def before_close(self, end: Callable[[], None]) -> None:
        """Have something ended that works on the ledger, before that is closed."""
        self._before_close.append(end)

    def _tell(self) -> None:
        for listener in list(self._listeners):
            with contextlib.suppress(Exception):  # those who look on never end a run
                listener()

    @property
    def ledger_path(self) -> Path | None:
        """The ledger file; None for a ledger in memory."""
        return self.database.path

    @property
    def outputs(self) -> Path:
        """The folder for files that pipelines write."""
        return self.directory / LEDGER_FILE.parent / "outputs"

    @property
    def engine(self) -> Engine:
        """The one SQLAlchemy engine of the ledger."""
        return self.database.engine

    def close(self) -> None:
        """Close the ledger; ``bootstrap`` opens it again.

        Raises
        ------
        WorkspaceError
            If a run works in it.
        """
        if self.live_runs:
            raise WorkspaceError(
                f"the workspace {self.directory} has a run that works; stop it before closing"
            )
        while self._before_close:
            self._before_close.pop()()
        sessions = 0 if self.database.closed else self.database.open_sessions
        self.database.close()
        if sessions:
            is_open = "session of SessionLocal is still open and keeps"
            are_open = "sessions of SessionLocal are still open and keep"
            say(
                f"{counted(sessions, is_open, are_open)} {self.ledger_path} locked; "
                f"close {'it' if sessions == 1 else 'them'} too"
            )
        with workspaces_lock:
            if open_workspaces.get(self.directory) is self:
                del open_workspaces[self.directory]
            if _state.active is self:
                activate(None)

    def __repr__(self) -> str:
        return f"<Workspace {self.directory}{' (closed)' if self.database.closed else ''}>"


def active_workspace(workspace: Workspace | None = None) -> Workspace:
    """Return the given workspace, or the active one.

    Raises
    ------
    WorkspaceError
        If there is none, or it was closed.
    InvalidArgumentError
        If what was given is no workspace.
    """
    if workspace is not None and not isinstance(workspace, Workspace):
        raise InvalidArgumentError(
            f"workspace={workspace!r:.80}; expected what bootstrap() returned, or None for the active one"
        )
    chosen = workspace if workspace is not None else current_workspace()
    if chosen is None:
        raise WorkspaceError("no workspace is open: call foregsyte_kaggle.bootstrap() first")
    if chosen.database.closed:
        # What was made with it goes on with the same directory, opened again.
        again = open_workspaces.get(chosen.directory)
        if again is not None:
            return again
        raise WorkspaceError(f"the workspace {chosen.directory} was closed; call bootstrap() again")
    return chosen


def current_workspace() -> Workspace | None:
    """Return the active workspace; None when there is none."""
    return _state.active


def activate(workspace: Workspace | None) -> Workspace | None:
    """Make a workspace the default one, and bind ``SessionLocal`` to it; return the one before."""
    previous, _state.active = _state.active, workspace
    SessionLocal.configure(bind=workspace.engine if workspace else None)
    return previous


def as_path(name: str, value: object) -> Path:
    """Return a path that a user gave as an absolute one.

    Parameters
    ----------
    name
        Of the argument, for the message.

    Raises
    ------
    InvalidArgumentError
        If it is no path.
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str) or "\0" in text:
        raise InvalidArgumentError(
            f"{name}={value!r:.80}; expected a path, as text or a pathlib.Path"
        )
    return Path(os.path.expanduser(text)).resolve()
