"""Several ledgers as one: jobs, attempts, results and output files of each go into the open one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import (
    InvalidArgumentError,
    LedgerError,
    SourceError,
    WorkspaceError,
    translated,
)
from foregsyte_kaggle.layouts import ATTACHED
from foregsyte_kaggle.ledger import compare_jobs, unite_jobs
from foregsyte_kaggle.notices import counted, say
from foregsyte_kaggle.packed import UNREADABLE, Archives, split_packed
from foregsyte_kaggle.transfer.attached import earlier_outputs, locate
from foregsyte_kaggle.transfer.choosing import ledger_named, read_one
from foregsyte_kaggle.transfer.output_files import copy_file, unpack_file
from foregsyte_kaggle.transfer.result_tables import merged_tables
from foregsyte_kaggle.transfer.resuming import staged_copy
from foregsyte_kaggle.worker import remove_output
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

__all__ = ["Merged", "merge_ledgers"]

CATALOG = "incoming"
#: Kinds of sources that say which attached input it is; a "mount" can be any of them.
KNOWN_KINDS = ATTACHED - {"mount"}


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
        If one cannot be read; nothing is changed then.
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
            sources: dict[str, _Source] = {}
            _check_sources(connection, "main", sources, chosen.ledger_path)
            for one in staged:
                with _attached(connection, one):
                    _check_sources(connection, f"{CATALOG}.main", sources, one.ledger)
            parts = []
            for one in staged:
                with _attached(connection, one):
                    parts.append(_merge(connection, chosen, one))
        merged = _summed([one.ledger for one in staged], parts)
    say(f"merged {merged}")
    return merged


@dataclass(frozen=True)
class _Source:
    """What ledgers know of a source, and which of them."""

    kind: str
    owner: str | None
    kind_in: Path | None
    owner_in: Path | None


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


def _check_sources(
    connection: DuckDBPyConnection,
    schema: str,
    known: dict[str, _Source],
    ledger: Path | None,
) -> None:
    """Refuse a name that stands for different sources in two ledgers."""
    rows = connection.execute(f"SELECT name, kind, owner FROM {schema}.sources").fetchall()
    for name, kind, owner in rows:
        before = known.setdefault(name, _Source(kind, owner, ledger, ledger))
        if owner and before.owner and owner.casefold() != before.owner.casefold():
            raise SourceError(
                f"the name {name!r} belongs to {before.owner} in {before.owner_in} and to {owner} in {ledger}, "
                "so their jobs cannot be united. Register one of them with another name=."
            )
        both_known = {kind, before.kind} <= KNOWN_KINDS and kind != before.kind
        if both_known or (kind == "ids") != (before.kind == "ids"):
            raise SourceError(
                f"the name {name!r} belongs to a source of another kind in {before.kind_in} ({before.kind}) "
                f"than in {ledger} ({kind}), so their jobs cannot be united. Register one with another name=."
            )
        if owner and not before.owner:
            before = replace(before, owner=owner, owner_in=ledger)
        if kind in KNOWN_KINDS and before.kind not in KNOWN_KINDS:
            before = replace(before, kind=kind, kind_in=ledger)
        known[name] = before


@dataclass(frozen=True)
class _Part:
    added: int
    replaced: int
    attempts: int
    files: int
    missing: list[str]
    differences: pd.DataFrame


def _merge(connection: DuckDBPyConnection, workspace: Workspace, one: _Staged) -> _Part:
    """Unite one ledger: columns, then files, then all rows in one transaction."""
    compare_jobs(connection, CATALOG)
    tables = merged_tables(connection, CATALOG)
    for table in tables:
        table.widen()
    differences = _differences(connection, [table.differing() for table in tables], one.ledger)
    wanted, unwanted = _files(connection)
    copied, missing = _copy_files(wanted, one.outputs, workspace.outputs)
    with workspace.database.transaction():
        united = unite_jobs(connection, CATALOG)
        for table in tables:
            table.replace_rows()
        _add_records(connection)
        connection.execute("DROP TABLE united").fetchall()
    for path in unwanted:
        remove_output(workspace.outputs / path)
    return _Part(united.added, united.replaced, united.attempts, copied, missing, differences)


def _add_records(connection: DuckDBPyConnection) -> None:
    """Add the sources and runs that are unknown here."""
    connection.execute(
        f"INSERT INTO main.sources BY NAME SELECT * FROM {CATALOG}.main.sources AS theirs"
        " WHERE NOT EXISTS (SELECT 1 FROM main.sources AS own WHERE own.name = theirs.name)"
    ).fetchall()
    of_known_kind = " IN (" + ", ".join(f"'{kind}'" for kind in sorted(KNOWN_KINDS)) + ")"
    connection.execute(
        "UPDATE main.sources SET owner = coalesce(sources.owner, theirs.owner),"
        f" kind = CASE WHEN theirs.kind{of_known_kind} THEN theirs.kind ELSE sources.kind END"
        f" FROM {CATALOG}.main.sources AS theirs WHERE sources.name = theirs.name"
        " AND ((sources.owner IS NULL AND theirs.owner IS NOT NULL)"
        f" OR (sources.kind NOT{of_known_kind} AND theirs.kind{of_known_kind}))"
    ).fetchall()
    connection.execute(
        "INSERT INTO main.runs BY NAME SELECT * REPLACE (coalesce(ended_by, 'died') AS ended_by)"
        f" FROM {CATALOG}.main.runs AS theirs WHERE NOT EXISTS"
        " (SELECT 1 FROM main.runs AS own WHERE own.run_id = theirs.run_id)"
    ).fetchall()


def _differences(
    connection: DuckDBPyConnection, differing: Sequence[str], ledger: Path
) -> pd.DataFrame:
    rows = " UNION ALL ".join(differing) or "SELECT NULL::UUID AS job_id WHERE false"
    which = "CASE WHEN united.wins THEN {0} ELSE {1} END::VARCHAR"
    sides = ("theirs.{}", "own.{}")

    def kept_and_other(column: str) -> str:
        theirs, own = (side.format(column) for side in sides)
        return f"{which.format(theirs, own)} AS kept, {which.format(own, theirs)} AS other"

    both = f"united JOIN {CATALOG}.main.jobs AS theirs USING (job_id) JOIN main.jobs AS own USING (job_id)"
    frame: pd.DataFrame = connection.sql(
        f"""
        SELECT job_id::VARCHAR AS job_id, jobs.pipeline_id, jobs.source, jobs.input_path, what, kept, other
        FROM (
            SELECT job_id, 'results' AS what,
                   CASE WHEN wins THEN tried ELSE own_tried END AS kept,
                   CASE WHEN wins THEN own_tried ELSE tried END AS other
            FROM united SEMI JOIN ({rows}) AS changed USING (job_id)
            UNION ALL SELECT job_id, 'code', {kept_and_other("code_version")} FROM {both}
            WHERE completed_twice AND theirs.code_version <> own.code_version
            UNION ALL SELECT job_id, 'input_size', {kept_and_other("input_size")} FROM {both}
            WHERE theirs.input_size <> own.input_size
        ) JOIN main.jobs AS jobs USING (job_id) ORDER BY jobs.pipeline_id, jobs.source, jobs.input_path, job_id, what
        """
    ).df()
    return frame.assign(ledger=str(ledger))


def _files(connection: DuckDBPyConnection) -> tuple[dict[str, str], list[str]]:
    """Return the output files that come with the winners, and those of the losers here.

    Both relative to the folder of outputs, and only such as a job of that id may have written; the first
    with the path that their ledger has. What is in an archive here stays in it.
    """
    query = """
        SELECT job_id::VARCHAR, pipeline_id, path FROM (
            SELECT united.job_id, united.pipeline_id,
                   unnest(json_extract_string(output_paths, '$[*]')) AS path
            FROM united JOIN {0}.job_attempts AS tries
            ON tries.job_id = united.job_id AND tries.attempt_id::VARCHAR = united.{1}
            WHERE {2} AND output_paths IS NOT NULL
            UNION SELECT job_id, united.pipeline_id, output_path FROM united
            JOIN {0}.jobs USING (job_id) WHERE {2} AND jobs.status::VARCHAR = 'completed'
        ) WHERE path IS NOT NULL ORDER BY 1, 3
    """

    def of(schema: str, tried: str, which: str) -> dict[str, str]:
        rows = connection.execute(query.format(schema, tried, which)).fetchall()
        found = {}
        for job_id, pipeline_id, recorded in rows:
            path = split_packed(recorded)[1] or recorded.removeprefix("data/outputs/")
            if path.startswith(f"{pipeline_id}/{job_id}-") and path.count("/") == 1:
                found[path] = recorded
        return found

    wanted = of(f"{CATALOG}.main", "tried", "brings_rows")
    own = of("main", "own_tried", "wins")
    loose = {path for path, recorded in own.items() if split_packed(recorded)[1] is None}
    return wanted, sorted(loose - wanted.keys())


def _copy_files(
    wanted: Mapping[str, str], folders: Sequence[Path], target: Path
) -> tuple[int, list[str]]:
    missing = []
    with Archives() as archives:
        for path, recorded in wanted.items():
            found, member = locate(recorded, folders, archives), split_packed(recorded)[1]
            try:
                if found is None:
                    missing.append(f"data/outputs/{path}")
                elif member is None:
                    copy_file(found, target / path)
                else:
                    unpack_file(archives, found, member, target / path)
            except OSError as error:
                raise LedgerError(
                    f"the output file {found} cannot be copied to {target / path}: {error.strerror or error}. "
                    "Its ledger was not merged; free some room and merge again."
                ) from error
            except UNREADABLE:  # a damaged archive, which merging again would not mend
                missing.append(f"data/outputs/{path}")
    return len(wanted) - len(missing), missing


def _summed(ledgers: list[Path], parts: Sequence[_Part]) -> Merged:
    import pandas as pd

    columns = ["job_id", "pipeline_id", "source", "input_path", "what", "kept", "other", "ledger"]
    found = [part.differences for part in parts if len(part.differences)]
    return Merged(
        ledgers,
        sum(part.added for part in parts),
        sum(part.replaced for part in parts),
        sum(part.attempts for part in parts),
        sum(part.files for part in parts),
        [path for part in parts for path in part.missing],
        pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns),
    )
