"""``bootstrap``: open or create a workspace, upgrade its ledger, recover what a dead session left."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

from foregsyte_kaggle import ledger, schema
from foregsyte_kaggle.database import LEDGER_FILE, Database, open_database
from foregsyte_kaggle.errors import WorkspaceError
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.transfer import (
    Earlier,
    Resume,
    bring_copy,
    bring_outputs,
    check_resume,
    discard_copy,
    find_earlier,
    keep_copy,
    locate_outputs,
)
from foregsyte_kaggle.workspace import (
    Workspace,
    activate,
    as_path,
    current_workspace,
    open_workspaces,
    workspaces_lock,
)

__all__ = ["bootstrap", "prepare_ledger", "upgrade_ledger"]

#: So many tables that are not the ledger's does the message name.
SHOWN_TABLES = 5


def bootstrap(
    directory: str | Path | None = None,
    *,
    resume: str | os.PathLike[str] | bool = "auto",
    outputs: str = "leave",
) -> Workspace:
    """Open or create the workspace of a directory and make it the active one.

    Creates ``data/foregsyte.duckdb``, upgrades it to the newest revision (keeping a copy of a ledger
    that has jobs), and puts jobs that a dead session left running back to pending. Calling it again
    changes nothing. A DuckDB file with other tables in that place keeps them, and gets the ledger's beside.

    Parameters
    ----------
    directory
        The working directory; the current one by default.
    resume
        The earlier ledger to continue from, which is copied with all that is in it: ``"auto"`` takes the
        one among a Kaggle notebook's inputs (of several copies of one ledger, the one that goes on where
        the others stopped), if this workspace has no jobs yet. ``"owner/notebook"``, or another name of an
        attached input as ``register_jobs`` takes it, says which; a path names a ledger file or the folder
        that holds ``data/foregsyte.duckdb``; False starts a new ledger.
    outputs
        What to do with the earlier notebook's output files, and archives of them: ``"leave"`` them where
        they are, and find them there, or ``"copy"`` them into this workspace, also if it continues from it
        already. Left ones are found only as long as that output is attached: copy them where a notebook
        attaches its own last version, whose place the next version takes.

    Returns
    -------
    Workspace
        The same object while the directory stays open in this process.

    Raises
    ------
    LedgerError
        If the ledger cannot be opened: locked by another process, damaged, not DuckDB's, written by a
        newer version, or in a folder that cannot be written. If several ledgers could be continued, or
        ``resume`` names one while this workspace has jobs that do not come from it. If there is no room for
        what is to be copied, beside what is kept free (500 MB on Kaggle). Nothing is changed then.
    WorkspaceError
        If another workspace is active and a run works in it.
    InvalidArgumentError
        If ``directory`` is no path, or there is no ledger where ``resume`` says.
    SourceError
        If ``resume`` is a path in the inputs' other layout, and can be in several of today's.
    """
    check_resume(resume, outputs)
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
            workspace = _open_workspace(folder, resume, outputs)
            open_workspaces[folder] = workspace
        elif not workspace.live_runs:
            if not schema.check_revision(workspace.database):
                prepare_ledger(workspace.database)  # Alembic took it to an older revision meanwhile
            _continue_open(workspace, resume, outputs)
        if previous is not None and previous is not workspace and not previous.database.closed:
            say(f"the default workspace is now {folder} (it was {previous.directory})")
        activate(workspace)
        return workspace


def prepare_ledger(database: Database) -> None:
    """Bring a ledger to the newest revision and begin a session in it."""
    if not schema.check_revision(database):
        upgrade_ledger(database)
    ledger.begin_session(database)


def upgrade_ledger(database: Database) -> Path | None:
    """Bring a ledger to the newest revision; return the copy that is kept of one that has jobs."""
    before = schema.current_revision(database)
    copy = None
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
    return copy


def _open_workspace(folder: Path, resume: Resume, outputs: str) -> Workspace:
    file = folder / LEDGER_FILE
    existed = file.exists()
    database = open_database(file) if existed else None
    discard_copy(file)  # what a process that was killed left
    try:
        earlier = find_earlier(resume, database, file)
        if earlier is not None:
            database = _continue(earlier, database, file, outputs)
        else:
            database = database or open_database(file)
            prepare_ledger(database)
        recovered = ledger.recover(database, alive=frozenset())
    except BaseException:
        if database is not None:
            database.close()
        raise
    if earlier is None:
        counts = ledger.status_counts(database)
        say(f"{'opened' if existed else 'created'} {file}: {_describe(counts)}")
        _copy_what_stayed(database, file, outputs)
    else:
        _say_continued(earlier, database, file)
    if recovered.pending or recovered.failed:
        say(_describe_recovery(recovered))
    return Workspace(folder, database)


def _continue_open(workspace: Workspace, resume: Resume, outputs: str) -> None:
    """Continue from an earlier ledger in a workspace that is open and has no jobs yet."""
    file = workspace.ledger_path
    if file is None:
        return
    earlier = find_earlier(resume, workspace.database, file)
    if earlier is None:
        _copy_what_stayed(workspace.database, file, outputs)
        return
    workspace.database = _continue(earlier, workspace.database, file, outputs)
    recovered = ledger.recover(workspace.database, alive=frozenset())
    _say_continued(earlier, workspace.database, file)
    if recovered.pending or recovered.failed:
        say(_describe_recovery(recovered))


def _continue(earlier: Earlier, own: Database | None, file: Path, outputs: str) -> Database:
    """Put a copy of an earlier ledger in the place of this one, which has no jobs, and open it."""
    if own is not None and own.open_sessions:
        raise WorkspaceError(
            f"a session of SessionLocal is open on {file}; close it before continuing from {earlier.ledger}"
        )
    copy = bring_copy(earlier, file, outputs)
    if own is not None:
        own.close()
    file.with_name(f"{file.name}.wal").unlink(missing_ok=True)
    os.replace(copy, file)
    discard_copy(file)
    return open_database(file)


def _copy_what_stayed(database: Database, file: Path, outputs: str) -> None:
    """Copy output files into a workspace that went on from others before."""
    copied = bring_outputs(database, file) if outputs == "copy" else 0
    if copied:
        say(f"{counted(copied, 'output file')} copied to {file.parent / 'outputs'}")


def _say_continued(earlier: Earlier, database: Database, file: Path) -> None:
    counts = ledger.status_counts(database)
    say(f"continued from {earlier.ledger} in {file}: {_describe_rest(counts)}")
    where = locate_outputs(database, file.parent / "outputs")
    if where.left:
        number = sum(where.left.values())
        say(
            f"{counted(number, 'output file')} {'stays' if number == 1 else 'stay'} in "
            f"{' and '.join(map(str, where.left))}; attach that to the versions after this one too, or copy "
            "all into this one: bootstrap(outputs='copy')"
        )
    if where.missing:
        say(
            f"{counted(where.missing, 'output file')} of completed jobs "
            f"{'is' if where.missing == 1 else 'are'} in no attached output; attach the version that wrote "
            "them and bootstrap again, or run these jobs again with retry_jobs"
        )


def _describe(counts: dict[str, int]) -> str:
    parts = [f"{number:,} {status}" for status, number in counts.items() if number]
    return "jobs: " + ", ".join(parts) if parts else "no jobs yet"


def _describe_rest(counts: dict[str, int]) -> str:
    total, done = sum(counts.values()), counts["completed"]
    rest = {status: number for status, number in counts.items() if status != "completed"}
    verb = "is" if done == 1 else "are"
    if done == total:
        return f"all {counted(total, 'job')} {verb} completed"
    left = ", ".join(f"{number:,} {status}" for status, number in rest.items() if number)
    return f"{done:,} of {counted(total, 'job')} {verb} completed, left are {left}"


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
