"""What an attached notebook's output holds that nobody means as an input."""

from __future__ import annotations

from pathlib import Path

from foregsyte_kaggle.database import LEDGER_FILE
from foregsyte_kaggle.patterns import has_magic

__all__ = ["not_inputs", "own_files"]

#: What Kaggle itself saves beside a notebook's output (seen in fetched outputs of 2026). One of ``SIGNS``
#: tells that a folder is such an output; the names are tried, since the folder may hold a million others.
SIGNS = (
    "__notebook__.ipynb",
    "__results__.html",
    "__output__.json",
    *(f"__script__.{ending}" for ending in ("py", "ipynb", "r", "R", "rmd", "Rmd", "irnb", "jl")),
)
KAGGLES_OWN = (*SIGNS, "__results___files", "custom.css")


def not_inputs(folder: Path, root: Path, pattern: str) -> list[Path]:
    """Return what is left out of an attached input.

    That is what Kaggle saves beside every notebook's output, and an earlier ledger of this package with
    its outputs and backups; but not what the pattern begins with. What the input holds tells, not its
    kind, since the older layout does not show that.

    Parameters
    ----------
    folder
        The input's own.
    root, pattern
        Where in it files are looked for, and which.
    """
    left_out = []
    if any((folder / name).exists() for name in SIGNS):
        left_out += [folder / name for name in KAGGLES_OWN]
    if (folder / LEDGER_FILE).exists():
        left_out += own_files(folder)
    fixed = []
    for part in pattern.split("/"):
        if has_magic(part):
            break
        fixed.append(part)
    named = root.joinpath(*fixed)
    return [path for path in left_out if path != named and path not in named.parents]


def own_files(directory: Path) -> list[Path]:
    """Return what this package writes in a workspace."""
    ledger = directory / LEDGER_FILE
    log = ledger.with_name(ledger.name + ".wal")
    return [ledger, log, ledger.with_name("backups"), ledger.with_name("outputs")]
