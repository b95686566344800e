"""What the command takes and says in its help; imports nothing heavy."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from foregsyte_kaggle.errors import known_names
from foregsyte_kaggle.surroundings import package_version

__all__ = ["ExitCode", "parse"]

PROGRAM = "python -m foregsyte_kaggle"


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """As argparse has it."""
    LOCKED = 3
    BEHIND = 4
    INTERRUPTED = 130
    NOT_READ = 141


EXIT_CODES = """\
exit codes:
  0    done
  1    refused or failed; one line on stderr says why, and what to do
  2    the arguments are not understood
  3    another process holds the ledger, such as a notebook's kernel
  4    upgrade --check: the ledger is not at the newest revision
  130  interrupted by Ctrl-C
  141  nobody reads stdout any more, as after `| head`
"""

DESCRIPTION = """\
Look at a ledger, export its results, and copy, upgrade or merge ledgers, from a shell.

PATH is a ledger file, or a workspace: a folder that holds data/foregsyte.duckdb.
Only one process can hold a ledger that is written to. While a notebook does, look at a
copy: call foregsyte_kaggle.snapshot("copy.duckdb") in the notebook."""

#: Of each command what it does in a line, what else to know, and an example.
TEXTS = {
    "status": (
        "show what is in a ledger",
        (
            "Counts by pipeline, source and status, the revision of the schema, and the last run. The ledger\n"
            "is only read: nothing is made, upgraded, recovered or written."
        ),
        "status /kaggle/working",
    ),
    "export": (
        "write the results of a pipeline to one Parquet or CSV file",
        (
            "The rows of completed jobs, as foregsyte_kaggle.export_results writes them. The file appears\n"
            "whole or not at all, and replaces one that exists. The ledger is only read."
        ),
        "export /kaggle/working --pipeline video_info --to video_info.parquet",
    ),
    "upgrade": (
        "bring a ledger to the newest revision of the schema",
        (
            "All missing migrations take effect, or none. A copy of a ledger that has jobs is kept in\n"
            "backups/ beside it. Jobs stay as they are: bootstrap() recovers those left running."
        ),
        "upgrade /kaggle/working --check",
    ),
    "snapshot": (
        "copy a ledger to one file",
        (
            "With what a process that died left in the write-ahead log. The copy appears whole or not at all;\n"
            "any DuckDB from 1.3 on opens it. The ledger is only read, at any revision."
        ),
        "snapshot /kaggle/working copy.duckdb",
    ),
    "merge": (
        "unite ledgers, with their results and output files, into one workspace",
        (
            "As foregsyte_kaggle.merge_ledgers does: of a job that several have, completed beats failed beats\n"
            "pending, and the latest finish wins. Merging again, or in another order, changes nothing. The\n"
            "workspace is made if it is not there, else opened as bootstrap() does, upgraded and recovered."
        ),
        "merge whole part-1 part-2/data/foregsyte.duckdb",
    ),
}


def parse(arguments: Sequence[str]) -> Namespace:
    """Return what the shell gave; a name that is unknown is refused with the nearest.

    Raises
    ------
    SystemExit
        After help, or where they are not understood.
    """
    parser, commands = _parsers()
    first = next(iter(arguments), None)
    if first is None:
        parser.error(f"a command is missing.{known_names('', TEXTS)}")
    if not first.startswith("-") and first not in TEXTS:
        parser.error(f"there is no command {first!r}.{known_names(first, TEXTS)}")
    options, others = parser.parse_known_args(arguments)
    if others:
        command = commands[options.command]
        known = command.format_usage().replace("[", " ").replace("]", " ").split()
        names = {one for one in known if one.startswith("--")}
        if others[0] in names:
            command.error(f"{others[0]} goes after the command: {options.command} {others[0]}")
        hint = known_names(others[0], names)
        is_option = others[0].startswith("-")
        command.error(
            f"there is no option {others[0]!r}.{hint}"
            if is_option
            else f"there is no place for {others[0]!r}"
        )
    return options


def _parsers() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    parser = ArgumentParser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=f"`{PROGRAM} COMMAND --help` tells more, with an example.\n\n{EXIT_CODES}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"foregsyte_kaggle {package_version() or 'unknown'}",
    )
    group = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands = {name: _command(group, name) for name in TEXTS}

    for name in ("status", "export", "upgrade", "snapshot"):
        commands[name].add_argument(
            "path",
            metavar="PATH",
            nargs="?",
            default=".",
            help="a ledger file or a workspace; the current folder by default",
        )
    export = commands["export"]
    export.add_argument("--pipeline", metavar="ID", required=True, help="whose results")
    export.add_argument(
        "--to", metavar="FILE", required=True, help="the file: .parquet, .csv or .csv.gz"
    )
    export.add_argument(
        "--escape-formulas",
        action=BooleanOptionalAction,
        default=True,
        help="in a CSV file, put an apostrophe before what a spreadsheet would run as a formula (the default)",
    )
    commands["upgrade"].add_argument(
        "--check",
        action="store_true",
        help="change nothing; the exit code is 0 at the newest revision, else 4",
    )
    commands["snapshot"].add_argument("to", metavar="TO", help="the new file; must not exist")
    commands["merge"].add_argument("to", metavar="TO", help="the workspace that gets all")
    commands["merge"].add_argument(
        "ledgers", metavar="FROM", nargs="+", help="a ledger file or a workspace; is only read"
    )
    for command in commands.values():
        command.add_argument(
            "--json", action="store_true", help="print one JSON object on stdout instead of text"
        )
    return parser, commands


def _command(group: Any, name: str) -> ArgumentParser:
    line, more, example = TEXTS[name]
    command: ArgumentParser = group.add_parser(
        name,
        help=line,
        description=f"{line[0].upper()}{line[1:]}.\n\n{more}",
        epilog=f"example:\n  {PROGRAM} {example}\n\n{EXIT_CODES}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return command
