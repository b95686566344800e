"""Going on from the ledger of an earlier notebook: a copy of it that appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foregsyte_kaggle import schema
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.ledger import begin_session
from foregsyte_kaggle.packed import Archives
from foregsyte_kaggle.surroundings import missing_room
from foregsyte_kaggle.transfer.attached import (
    earlier_outputs,
    locate,
    recorded_archives,
    stored_folder,
)
from foregsyte_kaggle.transfer.choosing import Earlier
from foregsyte_kaggle.transfer.output_files import (
    Output,
    copy_outputs,
    find_outputs,
    partial_folder,
)
from foregsyte_kaggle.worker import remove_output

__all__ = ["bring_copy", "bring_outputs", "discard_copy", "staged_copy"]

#: The folder, beside the ledger, that a copy is made in; whatever is left in it is no ledger.
STAGING = ".resuming"


def bring_copy(earlier: Earlier, file: Path, outputs: str) -> Path:
    """Make a copy of a ledger, upgraded and in a new session, ready to be renamed to ``file``.

    Parameters
    ----------
    earlier
        What to continue from; it is only read.
    file
        The workspace's ledger, which nothing happens to.
    outputs
        ``"copy"`` to copy its output files into the workspace too.

    Returns
    -------
    pathlib.Path
        The copy, in a folder of its own beside ``file``.
    """
    staging = file.parent / STAGING
    discard_copy(file)
    try:
        staging.mkdir(parents=True)
        _check_room(earlier.ledger, staging)
        with staged_copy(earlier.ledger, staging) as database:
            folders = [earlier.outputs, *earlier_outputs(database)]
            archives = recorded_archives(database)
            stay = outputs == "leave" and (earlier.outputs.is_dir() or archives)
            begin_session(database, stored_folder(earlier.outputs) if stay else None)
        if outputs == "copy":
            _copy_outputs(folders, archives, file.parent / "outputs")
    except OSError as error:
        discard_copy(file)
        raise LedgerError(
            f"{earlier.ledger} cannot be copied to {file}: {error.strerror or error}"
        ) from error
    except BaseException:
        discard_copy(file)
        raise
    return staging / file.name


def bring_outputs(database: Database, file: Path) -> int:
    """Copy the output files that stayed with earlier notebooks, if they are not here; return how many.

    Parameters
    ----------
    database
        The ledger of a workspace.
    file
        Its file.

    Raises
    ------
    LedgerError
        If there is no room for them, or they cannot be copied.
    """
    folders = earlier_outputs(database)
    if not folders:
        return 0
    return _copy_outputs(folders, recorded_archives(database), file.parent / "outputs")


def discard_copy(file: Path) -> None:
    """Remove what ``bring_copy`` left beside a ledger."""
    shutil.rmtree(file.parent / STAGING, ignore_errors=True)
    remove_output(partial_folder(file.parent / "outputs"))


@contextmanager
def staged_copy(ledger: Path, folder: Path) -> Iterator[Database]:
    """Copy a ledger and its log into an empty folder, and give it open and upgraded.

    Errors name the ledger that was copied.
    """
    copy = folder / "foregsyte.duckdb"
    for source in _with_log(ledger):
        target = copy.with_name(source.name.replace(ledger.name, copy.name))
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
    try:
        database = Database(copy)
        try:
            if not schema.check_revision(database):
                schema.upgrade(database)
            yield database
        finally:
            database.close()
    except LedgerError as error:
        raise type(error)(str(error).replace(str(copy), str(ledger))) from error


def _with_log(ledger: Path) -> tuple[Path, Path]:
    return ledger, ledger.with_name(f"{ledger.name}.wal")


def _check_room(ledger: Path, folder: Path) -> None:
    needed = sum(file.stat().st_size for file in _with_log(ledger) if file.exists())
    missing = missing_room(folder, needed)
    if missing:
        raise LedgerError(
            f"there is no room for a copy of {ledger}: {missing}. Free some room, or begin a new ledger "
            "with resume=False."
        )


def _copy_outputs(folders: Sequence[Path], names: Iterable[str], outputs: Path) -> int:
    """Copy output files, and archives that were made elsewhere than among them, if they are not here."""
    wanted: dict[Path, Output] = {}
    for folder in folders:
        for path in find_outputs(folder):
            wanted.setdefault(outputs / path, Output(folder / path))
    with Archives() as archives:
        for name in sorted(names):
            found = locate(name, folders, archives)
            if found is not None:
                wanted.setdefault(outputs.parents[1] / name, Output(found))
        lacking = {target: output for target, output in wanted.items() if not target.exists()}
        copy_outputs(
            lacking,
            archives,
            outputs,
            "Free some room, or leave them where they are with outputs='leave'.",
        )
    return len(lacking)
