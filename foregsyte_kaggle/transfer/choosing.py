"""Which earlier ledger a workspace continues from: by itself, by a name, or by a path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from foregsyte_kaggle import schema
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, WorkspaceError
from foregsyte_kaggle.handles import parse_handle, place_today
from foregsyte_kaggle.ledger import has_jobs as ledger_has_jobs
from foregsyte_kaggle.mounts import attached_inputs, best_fits
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.surroundings import input_root
from foregsyte_kaggle.transfer.attached import TOP, attached_ledgers, ledger_of, place_in_output
from foregsyte_kaggle.transfer.lineage import LedgerCopy, descends, read_copy
from foregsyte_kaggle.transfer.reading import CHOOSE, attaching, read_one, reading

if TYPE_CHECKING:
    pass

__all__ = [
    "Earlier",
    "Resume",
    "check_resume",
    "find_earlier",
    "ledger_named",
]

#: As ``bootstrap`` takes it; of the booleans False.
Resume: TypeAlias = str | os.PathLike[str] | bool


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
    place = place_in_output(file.parents[1])
    has_jobs = own is not None and _has_jobs(own)
    if resume == "auto":
        if input_root() is None:
            return None
        attached = attached_ledgers(place)
        if own is not None and has_jobs:
            _say_what_is_passed_over(own, attached)
            return None
        # What has no jobs says nothing of where to go on.
        chosen = _choose(attached, "attached", with_jobs=True)
    else:
        named = [path for path in _named(str(os.fspath(resume)), place) if path != file]
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


def _say_what_is_passed_over(own: Database, attached: Sequence[Path]) -> None:
    """Tell of attached ledgers that this one does not continue, so that nobody waits for their jobs."""
    with own.reading() as cursor:
        known = {row[0] for row in cursor.execute("SELECT session_id FROM ledger_info").fetchall()}
    for path in attached:
        try:
            copy = read_one(path)
        except (LedgerError, WorkspaceError):  # damaged, or open here: it is not asked for
            continue
        if copy is not None and copy.total and copy.head is not None and copy.head not in known:
            say(
                f"{copy} is attached and not continued, since this workspace has jobs already; "
                "bootstrap another directory, or unite both with merge_ledgers([...])"
            )


def _named(resume: str, place: Path = TOP) -> list[Path]:
    """Return the ledgers that a text may mean: by the name of an attached input, or by a path."""
    name = parse_handle(resume)
    inputs = best_fits(name, attached_inputs()) if name else []
    here = Path(place_today(os.path.abspath(os.path.expanduser(resume))))
    ledgers = (ledger_of(one, place) for one in [*(one.folder for one in inputs), here])
    found = dict.fromkeys(path.resolve() for path in ledgers if path is not None)
    if found:
        return list(found)
    attached = ", ".join(map(str, attached_ledgers(place))) or "none"
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


def _choose(paths: Sequence[Path], which: str, *, with_jobs: bool) -> Earlier | None:
    """Return the one that goes on where the others stopped."""
    if not paths:
        return None
    with reading(paths) as (connection, copies):
        wanted = [copy for copy in copies if copy.total or not with_jobs]
        if not wanted:
            for copy in copies:
                say(f"{copy} is {which}, and not continued")
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
    with own.exclusive() as connection, attaching(connection, ledger, "earlier") as theirs:
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
