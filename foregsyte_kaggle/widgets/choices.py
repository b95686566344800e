"""What the job table's filters offer to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = ["Choices", "load_choices"]


@dataclass(frozen=True)
class Choices:
    """The names that jobs have.

    Attributes
    ----------
    pipelines, sources : tuple of str
        Sorted.
    """

    pipelines: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def load_choices(database: Database) -> Choices:
    """Read which pipelines and sources the jobs of a ledger have.

    Raises
    ------
    LedgerError
        If the ledger cannot be read.
    """
    with database.reading() as cursor:
        # One query each: grouping by both columns takes longer than twice by one.
        pipelines, sources = (
            cursor.execute(f"SELECT DISTINCT {column} FROM jobs").fetchall()
            for column in ("pipeline_id", "source")
        )
    return Choices(
        pipelines=tuple(sorted(name for (name,) in pipelines)),
        sources=tuple(sorted(name for (name,) in sources if name is not None)),
    )
