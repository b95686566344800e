"""Going on from the ledger of an earlier notebook: a copy of it that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foregsyte_kaggle import schema
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.ledger import begin_session
from foregsyte_kaggle.packed import Archives
from foregsyte_kaggle.transfer.attached import (
    earlier_outputs,
    locate,
    recorded_archives,
    stored_folder,
)
from foregsyte_kaggle.transfer.choosing import Earlier
from foregsyte_kaggle.transfer.output_files import copy_tree

__all__ = ["bring_copy", "copy_outputs", "discard_copy", "staged_copy"]

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
        with staged_copy(earlier.ledger, staging) as database:
            folders = [earlier.outputs, *earlier_outputs(database)]
            archives = recorded_archives(database)
            stay = outputs == "leave" and (earlier.outputs.is_dir() or archives)
            begin_session(database, stored_folder(earlier.outputs) if stay else None)
        if outputs == "copy":
            _copy_outputs(folders, archives, file, staging)
    except OSError as error:
        discard_copy(file)
        raise LedgerError(
            f"{earlier.ledger} cannot be copied to {file}: {error.strerror or error}"
        ) from error
    except BaseException:
        discard_copy(file)
        raise
    return staging / file.name


def copy_outputs(database: Database, file: Path) -> int:
    """Copy the output files that stayed with earlier notebooks, if they are not here; return how many.

    Parameters
    ----------
    database
        The ledger of a workspace.
    file
        Its file.
    """
    folders = earlier_outputs(database)
    if not folders:
        return 0
    staging = file.parent / STAGING
    try:
        staging.mkdir(exist_ok=True)
        return _copy_outputs(folders, recorded_archives(database), file, staging)
    except OSError as error:
        raise LedgerError(
            f"output files cannot be copied from {', '.join(map(str, folders))}: {error.strerror or error}"
        ) from error
    finally:
        discard_copy(file)


def discard_copy(file: Path) -> None:
    """Remove what ``bring_copy`` left beside a ledger."""
    shutil.rmtree(file.parent / STAGING, ignore_errors=True)


@contextmanager
def staged_copy(ledger: Path, folder: Path) -> Iterator[Database]:
    """Copy a ledger and its log into an empty folder, and give it open and upgraded.

    Errors name the ledger that was copied.
    """
    copy = folder / "foregsyte.duckdb"
    for source in (ledger, ledger.with_name(f"{ledger.name}.wal")):
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


def _copy_outputs(
    folders: Sequence[Path], archives: Iterable[str], file: Path, staging: Path
) -> int:
    """Copy files, and archives that were made elsewhere than in the folder of outputs."""
    directory = file.parents[1]
    copied = sum(copy_tree(folder, file.parent / "outputs") for folder in folders)
    with Archives() as opened:
        for name in sorted(archives):
            found = locate(name, folders, opened)
            target = directory / name
            if found is not None and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(shutil.copyfile(found, staging / "archive"), target)
                copied += 1
    return copied
