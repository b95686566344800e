"""``bootstrap``: open or create a workspace, upgrade its ledger, recover what a dead session left."""

from __future__ import annotations

import atexit
from pathlib import Path

from foregsyte_kaggle import ledger, schema
from foregsyte_kaggle.database import LEDGER_FILE, Database, open_database
from foregsyte_kaggle.errors import WorkspaceError
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.transfer import keep_copy
from foregsyte_kaggle.workspace import (
    Workspace,
    activate,
    as_path,
    current_workspace,
    open_workspaces,
    workspaces_lock,
)

__all__ = ["bootstrap", "prepare_ledger"]

#: So many tables that are not the ledger's does the message name.
SHOWN_TABLES = 5


def bootstrap(directory: str | Path | None = None) -> Workspace:
    """Open or create the workspace of a directory and make it the active one.

    Creates ``data/foregsyte.duckdb``, upgrades it to the newest revision (keeping a copy of a ledger
    that has jobs), and puts jobs that a dead session left running back to pending. Calling it again
    changes nothing. A DuckDB file with other tables in that place keeps them, and gets the ledger's beside.

    Parameters
    ----------
    directory
        The working directory; the current one by default.

    Returns
    -------
    Workspace
        The same object while the directory stays open in this process.

    Raises
    ------
    LedgerError
        If the ledger cannot be opened: locked by another process, damaged, not DuckDB's, written by a
        newer version, or in a folder that cannot be written. Nothing is changed then.
    WorkspaceError
        If another workspace is active and a run works in it.
    InvalidArgumentError
        If ``directory`` is no path.
    """
    folder = as_path("directory", directory if directory is not None else ".")
    with workspaces_lock:
        workspace = open_workspaces.get(folder)
        if workspace is not None and workspace.database.closed:
            del open_workspaces[folder]
            workspace = None
        previous = current_workspace()
        if previous is not None and previous is not workspace and previous.live_runs:
            raise WorkspaceError(
                f"a run works in {previous.directory}; wait for it or stop it before opening {folder}"
            )
        if workspace is None:
            workspace = _open_workspace(folder)
            open_workspaces[folder] = workspace
        elif not workspace.live_runs and not schema.check_revision(workspace.database):
            prepare_ledger(workspace.database)  # Alembic took it to an older revision meanwhile
        if previous is not None and previous is not workspace and not previous.database.closed:
            say(f"the default workspace is now {folder} (it was {previous.directory})")
        activate(workspace)
        return workspace


def prepare_ledger(database: Database) -> None:
    """Bring a ledger to the newest revision and begin a session in it."""
    if not schema.check_revision(database):
        _upgrade(database)
    ledger.begin_session(database)


def _open_workspace(folder: Path) -> Workspace:
    file = folder / LEDGER_FILE
    existed = file.exists()
    database = open_database(file)
    try:
        prepare_ledger(database)
        recovered = ledger.recover(database, alive=frozenset())
    except BaseException:
        database.close()
        raise
    counts = ledger.status_counts(database)
    say(f"{'opened' if existed else 'created'} {file}: {_describe(counts)}")
    if recovered.pending or recovered.failed:
        say(_describe_recovery(recovered))
    return Workspace(folder, database)


def _upgrade(database: Database) -> None:
    before = schema.current_revision(database)
    if database.path is not None and before is not None and ledger.has_jobs(database):
        copy = keep_copy(database, before)
        say(f"upgrading the ledger from revision {before}; its copy is {copy}")
    others = schema.other_tables(database) if before is None else []
    schema.upgrade(database)
    if others:
        shown = [repr(name if len(name) <= 40 else f"{name[:40]}…") for name in others]
        if len(shown) > SHOWN_TABLES:
            shown[SHOWN_TABLES:] = ["…"]
        count = counted(len(others), "other table")
        say(
            f"{database.path} has {count} in it already ({', '.join(shown)}); the ledger's were added beside"
        )


def _describe(counts: dict[str, int]) -> str:
    parts = [f"{number:,} {status}" for status, number in counts.items() if number]
    return "jobs: " + ", ".join(parts) if parts else "no jobs yet"


def _describe_recovery(recovered: ledger.Recovery) -> str:
    parts = []
    if recovered.pending:
        verb = "is" if recovered.pending == 1 else "are"
        parts.append(
            f"{counted(recovered.pending, 'job')} that it left running {verb} pending again"
        )
    if recovered.failed:
        parts.append(f"{recovered.failed:,} that it took down twice failed")
    return "the last session ended unexpectedly: " + ", ".join(parts)


@atexit.register
def _close_all() -> None:
    for workspace in list(open_workspaces.values()):
        if not workspace.live_runs:
            workspace.database.close()
