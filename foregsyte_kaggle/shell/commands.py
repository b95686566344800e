"""The commands: each takes what the shell gave, and returns facts and lines."""

from __future__ import annotations

import difflib
import json
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foregsyte_kaggle import schema
from foregsyte_kaggle.database import LEDGER_FILE, Database, borrowed_database, reading_database
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError
from foregsyte_kaggle.ledger import status_counts
from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.opening import bootstrap, upgrade_ledger
from foregsyte_kaggle.quantities import in_bytes
from foregsyte_kaggle.result_files import write_results
from foregsyte_kaggle.shell.arguments import PROGRAM, ExitCode
from foregsyte_kaggle.shell.overview import describe, read_overview
from foregsyte_kaggle.transfer import (
    Merged,
    copy_ledger,
    ledger_named,
    ledger_of,
    merge_ledgers,
)
from foregsyte_kaggle.workspace import as_path

__all__ = ["COMMANDS", "Answer"]

#: So many differences, and so many files, does the answer to people name.
SHOWN = 20


@dataclass(frozen=True)
class Answer:
    """What a command found or did.

    Attributes
    ----------
    facts : dict
        For programs: values that JSON has.
    lines : list of str
        The same for people.
    code : int
        The exit code.
    """

    facts: dict[str, Any]
    lines: list[str]
    code: int = ExitCode.DONE


def show_status(options: Namespace) -> Answer:
    """Show what is in a ledger."""
    with _reading(options.path) as (_, database):
        facts = read_overview(database)
    return Answer(facts, describe(facts))


def export(options: Namespace) -> Answer:
    """Write the results of a pipeline to a file."""
    with _reading(options.path) as (ledger, database):
        if not schema.check_revision(database):
            raise LedgerError(
                f"{ledger} is at revision {schema.current_revision(database)}, and results are read at the newest "
                f"one only ({schema.head_revision()}): run `{PROGRAM} upgrade` on it first, or on a copy that "
                f"`{PROGRAM} snapshot` makes"
            )
        file, rows = write_results(
            database, options.pipeline, options.to, escape_formulas=options.escape_formulas
        )
    facts = {
        "ledger": str(ledger),
        "pipeline_id": options.pipeline,
        "file": str(file),
        "rows": rows,
        "bytes": os.stat(file).st_size,
    }
    written = f"{counted(rows, 'row')} of {options.pipeline} written to {file}"
    return Answer(facts, [f"{written} ({in_bytes(facts['bytes'])})"])


def upgrade(options: Namespace) -> Answer:
    """Bring a ledger to the newest revision, or tell whether it is there."""
    with _reading(options.path) as (ledger, database):
        before, is_newest = schema.current_revision(database), schema.check_revision(database)
    newest, copy = schema.head_revision(), None
    if not is_newest and not options.check:
        with borrowed_database(ledger) as database:
            copy = upgrade_ledger(database)
    facts = {
        "ledger": str(ledger),
        "revision_before": before,
        "revision": before if options.check else newest,
        "newest_revision": newest,
        "is_newest": is_newest or not options.check,
        "copy": str(copy) if copy else None,
    }
    if is_newest:
        return Answer(facts, [f"{ledger} is at the newest revision, {newest}"])
    if options.check:
        line = f"{ledger} is at revision {before}; the newest is {newest}"
        return Answer(facts, [line], ExitCode.BEHIND)
    kept = f"; {copy} is as it was" if copy else ""
    return Answer(facts, [f"{ledger} was upgraded from revision {before} to {newest}{kept}"])


def take_snapshot(options: Namespace) -> Answer:
    """Copy a ledger to one file."""
    with _reading(options.path) as (ledger, database):
        copy = copy_ledger(database, as_path("TO", options.to))
    size = os.stat(copy).st_size
    facts = {"ledger": str(ledger), "copy": str(copy), "bytes": size}
    return Answer(facts, [f"{ledger} copied to {copy} ({in_bytes(size)})"])


def merge(options: Namespace) -> Answer:
    """Unite ledgers into one workspace."""
    directory = _workspace_folder(options.to)
    own = directory / LEDGER_FILE
    ledgers = [ledger_named(one) for one in options.ledgers]
    for ledger in ledgers:
        if ledger != own:
            with _reading(str(ledger)):  # refused before anything is made
                pass
    workspace = bootstrap(directory, resume=False)
    try:
        merged = merge_ledgers(ledgers, workspace=workspace)
        counts = status_counts(workspace.database)
    finally:
        workspace.close()
    differences = json.loads(merged.differences.to_json(orient="records"))
    facts = {
        "ledger": str(own),
        "merged": [str(ledger) for ledger in merged.ledgers],
        "added": merged.added,
        "replaced": merged.replaced,
        "attempts": merged.attempts,
        "files": merged.files,
        "missing": merged.missing,
        "differences": differences,
        "counts": {**counts, "total": sum(counts.values())},
    }
    return Answer(facts, _merge_lines(own, merged, differences, counts))


#: By their names in the shell.
COMMANDS: dict[str, Callable[[Namespace], Answer]] = {
    "status": show_status,
    "export": export,
    "upgrade": upgrade,
    "snapshot": take_snapshot,
    "merge": merge,
}


@contextmanager
def _reading(given: str) -> Iterator[tuple[Path, Database]]:
    """Give the ledger that a path stands for, opened to read only."""
    ledger = _find_ledger(given)
    with reading_database(ledger) as database:
        if schema.current_revision(database) is None:
            raise LedgerError(f"{ledger} is a DuckDB file, but no ledger of foregsyte_kaggle")
        yield ledger, database


def _find_ledger(given: str) -> Path:
    path = as_path("PATH", given)
    ledger = ledger_of(path)
    if ledger is None:
        raise InvalidArgumentError(
            f"there is no ledger at {path}.{_nearest(path)} Expected a ledger file, or a folder that holds "
            f"{LEDGER_FILE}."
        )
    return ledger.resolve()


def _nearest(path: Path) -> str:
    names = os.listdir(path.parent) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=5)
    # Any file may be a ledger, but only a folder that holds one, or such a suffix, is worth a guess.
    found = ((name, ledger_of(path.parent / name)) for name in near)
    ledgers = [name for name, ledger in found if ledger and ledger.suffix == LEDGER_FILE.suffix]
    return f" Did you mean {str(path.with_name(ledgers[0]))!r}?" if ledgers else ""


def _workspace_folder(given: str) -> Path:
    path = as_path("TO", given)
    if path.parts[-2:] == LEDGER_FILE.parts:
        return path.parents[1]
    if path.is_file() or path.suffix == LEDGER_FILE.suffix:
        raise InvalidArgumentError(
            f"TO={given!r} is no workspace; expected a folder, which gets the ledger as {LEDGER_FILE} and the "
            "output files beside it"
        )
    return path


def _merge_lines(
    ledger: Path, merged: Merged, differences: list[dict[str, Any]], counts: dict[str, int]
) -> list[str]:
    jobs = ", ".join(f"{number:,} {status}" for status, number in counts.items() if number)
    lines = [f"{ledger} has {counted(sum(counts.values()), 'job')}{f': {jobs}' if jobs else ''}"]
    named = [
        f"differs: {one['pipeline_id']} of {one['input_path']}: {one['what']} {one['kept']} kept, not {one['other']} "
        f"of {one['ledger']}"
        for one in differences
    ]
    for found in (named, [f"not found: {path}" for path in merged.missing]):
        lines += found[:SHOWN]
        if len(found) > SHOWN:
            lines.append(f"… and {len(found) - SHOWN:,} more, which --json lists")
    return lines
