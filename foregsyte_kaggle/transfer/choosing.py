"""Which earlier ledger a workspace continues from: by itself, by a name, or by a path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from foregsyte_kaggle import schema
from foregsyte_kaggle.database import Database, is_open
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, WorkspaceError, translated
from foregsyte_kaggle.handles import parse_handle, place_today
from foregsyte_kaggle.ledger import has_jobs as ledger_has_jobs
from foregsyte_kaggle.mounts import attached_inputs, best_fits
from foregsyte_kaggle.surroundings import input_root
from foregsyte_kaggle.transfer.attached import attached_ledgers, ledger_of
from foregsyte_kaggle.transfer.lineage import LedgerCopy, descends, read_copy

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "Earlier",
    "Resume",
    "check_resume",
    "find_earlier",
    "ledger_named",
    "read_one",
]

#: As ``bootstrap`` takes it; of the booleans False.
Resume: TypeAlias = str | os.PathLike[str] | bool

CHOOSE = 'resume="owner/notebook", the path of one of them, or resume=False for a new ledger'


@dataclass(frozen=True)
class Earlier:
    """A ledger to continue from.

    Attributes
    ----------
    ledger : pathlib.Path
        Its file.
    """

    ledger: Path

    @property
    def outputs(self) -> Path:
        """Return the folder of its output files."""
        return self.ledger.parent / "outputs"


def check_resume(resume: object, outputs: object) -> None:
    """Refuse arguments that are not of the expected form.

    Raises
    ------
    InvalidArgumentError
        If one is not.
    """
    is_path = isinstance(resume, (str, os.PathLike)) and os.fspath(resume)
    if resume is not False and not is_path:
        raise InvalidArgumentError(
            f"resume={resume!r:.80}; expected 'auto', 'owner/notebook', the path of a ledger, or False"
        )
    if outputs not in ("leave", "copy"):
        raise InvalidArgumentError(f"outputs={outputs!r:.80}; expected 'leave' or 'copy'")


def find_earlier(resume: Resume, own: Database | None, file: Path) -> Earlier | None:
    """Return the ledger to continue from; None if there is none, or this one continues it already.

    Parameters
    ----------
    resume
        As ``bootstrap`` takes it.
    own
        The workspace's ledger, open; None where there is no file yet.
    file
        Where the workspace's ledger is, or will be.

    Raises
    ------
    LedgerError
        If several may be meant, if the one that is meant cannot be read, or if the workspace's ledger
        has jobs and does not continue it.
    InvalidArgumentError
        If there is no ledger where ``resume`` says.
    """
    if isinstance(resume, bool):
        return None
    has_jobs = own is not None and _has_jobs(own)
    if resume == "auto":
        if has_jobs or input_root() is None:
            return None
        # What has no jobs says nothing of where to go on.
        chosen = _choose(attached_ledgers(), "attached", with_jobs=True)
    else:
        named = [path for path in _named(str(os.fspath(resume))) if path != file]
        if not named:
            return None
        chosen = _choose(named, f"that resume={os.fspath(resume)!r} may mean", with_jobs=False)
        if chosen is None:
            raise LedgerError(f"{named[0]} is a DuckDB file, but no ledger of foregsyte_kaggle")
    if chosen is None or own is None:
        return chosen
    if has_jobs:
        _check_continued(own, chosen.ledger)
        return None
    others = schema.tables_beside(own)
    if others:
        if resume == "auto":
            return None
        raise LedgerError(
            f"{own.path} has other tables in it ({', '.join(map(repr, others[:5]))}), which a copy of "
            f"{chosen.ledger} would replace; bootstrap another directory, or move the file away"
        )
    return chosen


def _has_jobs(database: Database) -> bool:
    return schema.current_revision(database) is not None and ledger_has_jobs(database)


def _named(resume: str) -> list[Path]:
    """Return the ledgers that a text may mean: by the name of an attached input, or by a path."""
    name = parse_handle(resume)
    inputs = best_fits(name, attached_inputs()) if name else []
    here = Path(place_today(os.path.abspath(os.path.expanduser(resume))))
    ledgers = map(ledger_of, [*(one.folder for one in inputs), here])
    found = dict.fromkeys(path.resolve() for path in ledgers if path is not None)
    if found:
        return list(found)
    attached = ", ".join(map(str, attached_ledgers())) or "none"
    raise InvalidArgumentError(
        f"there is no ledger {resume!r}, neither of that name among the inputs nor at that path. "
        f"Attached ledgers: {attached}. Attach the notebook's output (Add Input, Notebook Outputs), or "
        "pass the path of a ledger or of the folder that holds data/foregsyte.duckdb."
    )


def ledger_named(path: str | os.PathLike[str]) -> Path:
    """Return the ledger that a path or the name of an attached notebook stands for.

    Raises
    ------
    InvalidArgumentError
        If there is none.
    LedgerError
        If several may be meant.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidArgumentError(
            f"{path!r:.80}; expected the path of a ledger, or the name of an attached notebook"
        )
    text = str(os.fspath(path))
    found = _named(text)
    if len(found) > 1:
        chosen = _choose(found, f"that {text!r} may mean", with_jobs=False)
        return chosen.ledger if chosen else found[0]
    return found[0]


def read_one(ledger: Path) -> LedgerCopy | None:
    """Return what a ledger file says about itself; None if it is no ledger."""
    with _reading([ledger]) as (_, copies):
        return copies[0] if copies else None


def _choose(paths: Sequence[Path], which: str, *, with_jobs: bool) -> Earlier | None:
    """Return the one that goes on where the others stopped."""
    if not paths:
        return None
    with _reading(paths) as (connection, copies):
        wanted = [copy for copy in copies if copy.total or not with_jobs]
        if not wanted:
            return None
        # One without an id is from a revision that had none, and is taken for a ledger of its own.
        ledgers = {copy.ledger_id or copy.path for copy in wanted}
        if len(ledgers) > 1:
            raise LedgerError(
                f"{len(ledgers)} different ledgers are {which}:\n{_listed(wanted)}\nSay which one to "
                f"continue: {CHOOSE}. To unite them, bootstrap(resume=False) and merge_ledgers([...])."
            )
        newest = [
            one for one in wanted if all(descends(connection, one, other) for other in wanted)
        ]
        if not newest:
            raise LedgerError(
                "two notebooks went on from the same ledger, and neither holds all that the other does:\n"
                f"{_listed(wanted)}\nSay which one to continue: {CHOOSE}. To unite them, "
                "bootstrap(resume=False) and merge_ledgers([...])."
            )
        # Equal copies differ at most in a job under way; the one that changed last says more.
        best = max(newest, key=lambda copy: (str(copy.changed_at), -paths.index(copy.path)))
        return Earlier(best.path)


def _listed(copies: Sequence[LedgerCopy]) -> str:
    return "\n".join(f"- {copy}" for copy in copies)


def _check_continued(own: Database, ledger: Path) -> None:
    with own.exclusive() as connection, _attaching(connection, ledger, "earlier") as theirs:
        name = str(connection.execute("SELECT current_database()").fetchall()[0][0])
        quoted = '"' + name.replace('"', '""') + '"'
        mine = read_copy(connection, quoted, own.path or Path("memory"))
        continues = mine is None or theirs is None or descends(connection, mine, theirs)
    if not continues:
        raise LedgerError(
            f"the ledger of this workspace has jobs already and does not continue {ledger}:\n"
            f"{_listed([one for one in (mine, theirs) if one])}\nNothing was changed. To continue that one, "
            "bootstrap another directory, or move this ledger away; to unite both, call "
            "merge_ledgers([...])."
        )


@contextmanager
def _reading(paths: Sequence[Path]) -> Iterator[tuple[DuckDBPyConnection, list[LedgerCopy]]]:
    """Open ledgers side by side, to read only, in a database in memory."""
    memory = Database(None)
    try:
        with memory.exclusive() as connection, ExitStack() as attached:
            found = [
                attached.enter_context(_attaching(connection, path, f"copy_{number}"))
                for number, path in enumerate(paths)
            ]
            yield connection, [copy for copy in found if copy is not None]
    finally:
        memory.close()


@contextmanager
def _attaching(
    connection: DuckDBPyConnection, path: Path, catalog: str
) -> Iterator[LedgerCopy | None]:
    if is_open(path):
        raise WorkspaceError(
            f"the ledger {path} is open in this process; close its workspace first (workspace.close())"
        )
    literal = str(path).replace("'", "''")
    with translated(path, "open"):
        connection.execute(f"ATTACH '{literal}' AS {catalog} (READ_ONLY)")
    try:
        with translated(path, "read"):
            copy = read_copy(connection, catalog, path)
        yield copy
    finally:
        connection.execute(f"DETACH {catalog}")
