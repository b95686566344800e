"""Several ledgers as one: jobs, attempts, results and output files of each go into the open one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import (
    InvalidArgumentError,
    LedgerError,
    WorkspaceError,
    translated,
)
from foregsyte_kaggle.ledger import compare_jobs, unite_jobs
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.transfer.attached import earlier_outputs
from foregsyte_kaggle.transfer.choosing import ledger_named
from foregsyte_kaggle.transfer.differences import COLUMNS, find_differences
from foregsyte_kaggle.transfer.reading import read_one
from foregsyte_kaggle.transfer.records import Source, add_records, check_sources
from foregsyte_kaggle.transfer.result_tables import merged_tables
from foregsyte_kaggle.transfer.resuming import staged_copy
from foregsyte_kaggle.transfer.winners import copy_files, find_files
from foregsyte_kaggle.worker import remove_output
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

__all__ = ["Merged", "merge_ledgers"]

CATALOG = "incoming"


@dataclass(frozen=True)
class Merged:
    """What ``merge_ledgers`` did.

    Attributes
    ----------
    ledgers : list of pathlib.Path
        The files that were united with this ledger.
    added, replaced : int
        Jobs that are new here; jobs that were here and of which another ledger's try counts now.
    attempts, files : int
        Attempts, and output files, that came.
    missing : list of str
        Output files of such jobs that are not where their ledger was, or in an archive that is damaged.
    differences : pandas.DataFrame
        Jobs of which the ledgers say different things: ``job_id``, ``pipeline_id``, ``source``,
        ``input_path``, ``what`` (``results``, ``code`` or ``input_size``), ``kept`` and ``other``, and
        the ``ledger`` that the other is from.
    """

    ledgers: list[Path]
    added: int
    replaced: int
    attempts: int
    files: int
    missing: list[str]
    differences: pd.DataFrame

    def __str__(self) -> str:
        text = (
            f"{counted(len(self.ledgers), 'ledger')}: {counted(self.added, 'job')} added, "
            f"{self.replaced:,} replaced, {counted(self.attempts, 'attempt')} and "
            f"{counted(self.files, 'output file')} taken over"
        )
        if len(self.differences):
            text += f"; {counted(len(self.differences), 'difference')}, see .differences"
        if self.missing:
            text += f"; {counted(len(self.missing), 'output file')} not found, see .missing"
        return text

    def __repr__(self) -> str:
        return f"<Merged {self}>"


def merge_ledgers(
    paths: Iterable[str | os.PathLike[str]], *, workspace: Workspace | None = None
) -> Merged:
    """Unite other notebooks' ledgers, with their results and output files, with the open one.

    Of a job that several have, completed beats failed beats pending; among completed the latest finish
    wins, then the smaller attempt id. Its result rows and output files are the winner's; attempts of all
    are kept. Files that a notebook packed come as files of their own, and archives in this workspace stay
    as they are. Merging again, or in another order, changes nothing.

    Parameters
    ----------
    paths
        Ledger files, folders that hold ``data/foregsyte.duckdb``, or names of attached inputs such as
        ``"owner/notebook"``, as ``register_jobs`` takes them. They are only read.
    workspace
        The active one by default.

    Returns
    -------
    Merged
        How many jobs, attempts and files came, and what differed.

    Raises
    ------
    InvalidArgumentError
        If there is no ledger at a path.
    LedgerError
        If one cannot be read; nothing is changed then. If there is no room for the output files of one
        beside what is kept free (500 MB on Kaggle); it is not merged then, those before it are.
    SourceError
        If two ledgers know the same source name with different owners or kinds; nothing is changed then.
    WorkspaceError
        If a run works in this workspace, or one of the ledgers is open in this process.
    """
    chosen = active_workspace(workspace)
    if chosen.live_runs:
        raise WorkspaceError(
            f"a run works in {chosen.directory}; wait for it or stop it before merging"
        )
    ledgers = _ledgers(paths, chosen.ledger_path)
    with tempfile.TemporaryDirectory(prefix="foregsyte-merge-") as temporary:
        staged = [_stage(path, Path(temporary, str(n))) for n, path in enumerate(ledgers)]
        # New jobs are numbered ledger by ledger: the oldest first, in whatever order they were given.
        staged.sort(key=lambda one: one.order)
        with chosen.database.exclusive() as connection:
            sources: dict[str, Source] = {}
            check_sources(connection, "main", sources, chosen.ledger_path)
            for one in staged:
                with _attached(connection, one):
                    check_sources(connection, f"{CATALOG}.main", sources, one.ledger)
            parts = []
            for one in staged:
                with _attached(connection, one):
                    parts.append(_merge(connection, chosen, one))
        merged = _summed(parts)
    say(f"merged {merged}")
    return merged


@dataclass(frozen=True)
class _Staged:
    ledger: Path
    copy: Path
    order: tuple[str, str, str]
    outputs: list[Path]


def _ledgers(paths: object, own: Path | None) -> list[Path]:
    if isinstance(paths, (str, os.PathLike)) or not isinstance(paths, Iterable):
        raise InvalidArgumentError(
            f"paths={paths!r:.80}; expected a list of ledgers, such as ['owner/part-1', 'owner/part-2']"
        )
    found = [ledger_named(path) for path in paths]
    return [path for path in dict.fromkeys(found) if path != own]


def _stage(ledger: Path, folder: Path) -> _Staged:
    """Copy a ledger, which may be read-only or of an older revision, to where it can be upgraded."""
    about = read_one(ledger)
    if about is None:
        raise LedgerError(f"{ledger} is a DuckDB file, but no ledger of foregsyte_kaggle")
    folder.mkdir()
    try:
        with staged_copy(ledger, folder) as database:
            outputs = [ledger.parent / "outputs", *earlier_outputs(database)]
            with database.reading() as cursor:
                begun = cursor.execute("SELECT min(opened_at)::VARCHAR FROM ledger_info").fetchall()
            copy = database.path
    except OSError as error:
        raise LedgerError(f"{ledger} cannot be copied: {error.strerror or error}") from error
    assert copy is not None
    order = (str(begun[0][0]), str(about.ledger_id), str(about.head))
    return _Staged(ledger, copy, order, outputs)


@contextmanager
def _attached(connection: DuckDBPyConnection, one: _Staged) -> Iterator[None]:
    literal = str(one.copy).replace("'", "''")
    with translated(one.ledger, "open"):
        connection.execute(f"ATTACH '{literal}' AS {CATALOG} (READ_ONLY)")
    try:
        yield
    finally:
        connection.execute(f"DETACH {CATALOG}")


def _merge(connection: DuckDBPyConnection, workspace: Workspace, one: _Staged) -> Merged:
    """Unite one ledger: files, then columns, then all rows in one transaction."""
    compare_jobs(connection, CATALOG)
    wanted, unwanted = find_files(connection, CATALOG)
    copied, missing = copy_files(wanted, one.outputs, workspace.outputs, one.ledger)
    tables = merged_tables(connection, CATALOG)
    for table in tables:
        table.widen()
    differences = find_differences(
        connection, CATALOG, [table.differing() for table in tables], one.ledger
    )
    with workspace.database.transaction():
        united = unite_jobs(connection, CATALOG)
        for table in tables:
            table.replace_rows()
        add_records(connection, CATALOG)
        connection.execute("DROP TABLE united").fetchall()
    for path in unwanted:
        remove_output(workspace.outputs / path)
    return Merged(
        [one.ledger], united.added, united.replaced, united.attempts, copied, missing, differences
    )


def _summed(parts: Sequence[Merged]) -> Merged:
    import pandas as pd

    found = [part.differences for part in parts if len(part.differences)]
    return Merged(
        [ledger for part in parts for ledger in part.ledgers],
        sum(part.added for part in parts),
        sum(part.replaced for part in parts),
        sum(part.attempts for part in parts),
        sum(part.files for part in parts),
        [path for part in parts for path in part.missing],
        pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*COLUMNS]),
    )
