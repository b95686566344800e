"""``python -m foregsyte_kaggle``: look at a ledger, export, copy, upgrade and merge from a shell."""

from __future__ import annotations

import io
import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout

from foregsyte_kaggle.errors import ForegsyteError, LedgerLockedError
from foregsyte_kaggle.notices import show
from foregsyte_kaggle.shell.arguments import ExitCode, parse

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one command, and return the exit code.

    What was asked for goes to stdout, errors and what happens on the way to stderr.

    Parameters
    ----------
    arguments
        What follows the program's name; by default as the shell gave it.

    Raises
    ------
    SystemExit
        After help, or where the arguments are not understood.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a path need not fit the terminal's encoding
    try:
        try:
            return _answer(parse(sys.argv[1:] if arguments is None else arguments))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has gone, as `head` does; Python would complain at its exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.NOT_READ
    except KeyboardInterrupt:
        show("foregsyte: interrupted", as_error=True)
        return ExitCode.INTERRUPTED


def _answer(options: Namespace) -> int:
    from foregsyte_kaggle.shell.commands import COMMANDS

    try:
        with redirect_stdout(sys.stderr):  # what helpers say on the way
            answer = COMMANDS[options.command](options)
    except (ForegsyteError, OSError) as error:
        return _fail(error, as_json=options.json)
    if options.json:
        show(json.dumps(answer.facts))
    else:
        show("\n".join(answer.lines))
    return answer.code


def _fail(error: Exception, *, as_json: bool) -> int:
    text = " ".join(str(error).splitlines())
    show(f"foregsyte: error: {text}", as_error=True)
    if as_json:
        show(json.dumps({"error": type(error).__name__, "message": str(error)}))
    return ExitCode.LOCKED if isinstance(error, LedgerLockedError) else ExitCode.FAILED
