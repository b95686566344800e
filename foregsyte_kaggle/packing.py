"""``pack_outputs``: the files that jobs wrote as one archive, since Kaggle hands out about 500 files.

A part is removed only after the archive has its final name, holds it byte for byte, and the ledger says
so. Whatever comes between two of these steps, the next call finds parts that an archive holds already, and
goes on from there.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.archives import (
    Part,
    State,
    as_part,
    find_parts,
    held_parts,
    name_in_archive,
    write_archive,
)
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, WorkspaceError
from foregsyte_kaggle.ledger import NOW
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.packed import IN_ARCHIVE
from foregsyte_kaggle.quantities import in_bytes
from foregsyte_kaggle.surroundings import is_on_kaggle, missing_room
from foregsyte_kaggle.transfer import recorded_archives
from foregsyte_kaggle.views import arrow_view
from foregsyte_kaggle.worker import remove_output
from foregsyte_kaggle.workspace import Workspace, active_workspace, as_path

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = ["pack_outputs"]

_lock = threading.Lock()
_number = re.compile(r"packed-(\d+)\.zip").fullmatch


def pack_outputs(
    path: str | Path | None = None, *, workspace: Workspace | None = None
) -> Path | None:
    """Put the files of ``data/outputs`` into one zip archive, and remove them when it holds them safely.

    For a version on Kaggle with hundreds of output files. The ledger then says where they are: an
    ``output_path`` such as ``data/outputs/packed-1.zip!/detect/<job id>-boxes.json`` names the archive
    and, behind ``!/``, the file in it, which ``zipfile.Path`` opens. Files that jobs write later are loose
    again; another call puts those into another archive.

    The archive appears whole or not at all, and each file in it is read back before its part is removed.
    A call that is interrupted, wherever it is, loses nothing, and the next one goes on. Files that compress
    are compressed. For a time there must be room for all files twice.

    Parameters
    ----------
    path
        The new archive, below the working directory, with a name that ends in ``.zip``; by default
        ``data/outputs/packed-1.zip``, or the next number that no notebook before had either.
    workspace
        The active one by default.

    Returns
    -------
    pathlib.Path or None
        The archive that the last file went to; None where there is no file, nor an archive.

    Raises
    ------
    WorkspaceError
        If a run works, there is no room, or the archive cannot be written.
    InvalidArgumentError
        If ``path`` is no such name, exists already, or is an archive of an earlier notebook.
    LedgerError
        If the ledger cannot be written; all files are where they were then.
    """
    chosen = active_workspace(workspace)
    given = None if path is None else _as_archive(chosen, path)
    with _lock:
        _check_idle(chosen)
        try:
            return _pack(chosen, given)
        except OSError as error:
            raise WorkspaceError(
                f"the files of {chosen.outputs} cannot be packed: {error.strerror or error}. Nothing is "
                "lost; when that is mended, pack_outputs() goes on"
            ) from error


def _pack(workspace: Workspace, given: Path | None) -> Path | None:
    outputs, latest = workspace.outputs, None
    earlier = sorted(outputs.glob("*.zip"), key=_age)
    if given is not None and given.exists() and given not in earlier:
        earlier.append(given)
    for archive in earlier:
        latest = archive
        held = held_parts(archive, outputs, find_parts(outputs))
        _hand_over(workspace, archive, held)
    for partial in outputs.glob(".*.zip.partial"):
        partial.unlink(missing_ok=True)
    parts = find_parts(outputs)
    if not parts:
        return latest
    # An earlier notebook may have archives that are not here, and still name the files in them.
    taken = {workspace.directory / name for name in recorded_archives(workspace.database)}
    if given is not None and (given in taken or given.exists()):
        where = "exists already" if given.exists() else "is an archive of an earlier notebook"
        raise InvalidArgumentError(f"{given} {where}; choose another name")
    files = sum(not path.is_dir() for part in parts for path in part.contents)
    target = given or _next_archive(outputs, taken)
    _check_room(target, parts)
    partial = target.with_name(f".{target.name}.partial")
    try:
        write_archive(partial, outputs, parts)
        held = held_parts(partial, outputs, parts)
        if len(held) < len(parts):
            raise WorkspaceError(
                f"{counted(len(parts) - len(held), 'file')} of {outputs} changed meanwhile, or the archive "
                "cannot be read back; nothing was removed, call pack_outputs() again"
            )
        os.replace(partial, target)
        _sync_folder(target.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    _hand_over(workspace, target, held)
    name = target.relative_to(workspace.directory).as_posix()
    say(f"{counted(files, 'file')} packed into {name} ({in_bytes(target.stat().st_size)})")
    return target


def _as_archive(workspace: Workspace, path: str | Path) -> Path:
    target = as_path("path", path)
    if target.suffix != ".zip" or not target.is_relative_to(workspace.directory):
        raise InvalidArgumentError(
            f"path={str(path)!r}; expected a name that ends in .zip, below {workspace.directory}"
        )
    if IN_ARCHIVE in target.relative_to(workspace.directory).as_posix():
        raise InvalidArgumentError(
            f"path={str(path)!r} holds {IN_ARCHIVE!r}, which stands between an archive and a file in it"
        )
    return target


def _check_idle(workspace: Workspace) -> None:
    if workspace.live_runs:
        raise WorkspaceError(
            f"the workspace {workspace.directory} has a run that works; wait for it, or stop it, before "
            "packing its files"
        )


def _age(archive: Path) -> tuple[int, str]:
    found = _number(archive.name)
    return int(found[1]) if found else 0, archive.name


def _next_archive(outputs: Path, taken: Iterable[Path]) -> Path:
    found = [*outputs.glob("packed-*.zip"), *(one for one in taken if one.parent == outputs)]
    last = max((_age(archive)[0] for archive in found), default=0)
    return outputs / f"packed-{last + 1}.zip"


def _check_room(target: Path, parts: Iterable[Part]) -> None:
    missing = missing_room(target.parent, sum(part.size for part in parts))
    if missing:
        raise WorkspaceError(
            f"there is no room for the archive {target}: up to {missing}. Nothing was changed"
        )


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _hand_over(workspace: Workspace, archive: Path, held: Mapping[Path, State]) -> None:
    """Have the ledger say that an archive holds the parts, then remove them."""
    if not held:
        return
    before = f"{archive.relative_to(workspace.directory).as_posix()}{IN_ARCHIVE}"
    outputs = workspace.outputs
    _record(
        workspace.database,
        {
            part.relative_to(workspace.directory).as_posix(): before
            + name_in_archive(outputs, part)
            for part in held
        },
    )
    for path, state in held.items():
        part = as_part(path)
        # What a run writes beside this is newer than the archive.
        if part is not None and part.state() == state:
            remove_output(path)
    if is_on_kaggle():
        with suppress(LedgerError):
            workspace.database.checkpoint_if_there_is_room()


def _record(database: Database, moved: Mapping[str, str]) -> None:
    """Replace paths, wherever a job or an attempt is recorded with them."""
    import pyarrow as pa

    paths = pa.table({"old": list(moved), "new": list(moved.values())})
    with database.transaction() as connection:
        with arrow_view(connection, "moved", paths):
            connection.execute(
                f"UPDATE jobs SET output_path = moved.new, updated_at = {NOW} FROM moved"
                " WHERE jobs.output_path = moved.old"
            ).fetchall()
        rows = connection.execute(
            "SELECT attempt_id::VARCHAR, output_paths::VARCHAR FROM job_attempts"
            " WHERE output_paths IS NOT NULL"
        ).fetchall()
        changed = {}
        for attempt_id, text in rows:
            named = json.loads(text)
            if isinstance(named, list) and any(isinstance(p, str) and p in moved for p in named):
                changed[attempt_id] = json.dumps(
                    [moved.get(p, p) if isinstance(p, str) else p for p in named]
                )
        if changed:
            table = pa.table({"id": list(changed), "paths": list(changed.values())})
            with arrow_view(connection, "changed", table):
                connection.execute(
                    "UPDATE job_attempts SET output_paths = changed.paths FROM changed"
                    " WHERE job_attempts.attempt_id = changed.id::UUID"
                ).fetchall()
