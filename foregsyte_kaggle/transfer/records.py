"""Sources and runs of a ledger that is attached, added to this one's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.layouts import ATTACHED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Source", "add_records", "check_sources"]

#: Kinds of sources that say which attached input it is; a "mount" can be any of them.
KNOWN_KINDS = ATTACHED - {"mount"}


@dataclass(frozen=True)
class Source:
    """What ledgers know of a source, and which of them."""

    kind: str
    owner: str | None
    kind_in: Path | None
    owner_in: Path | None


def check_sources(
    connection: DuckDBPyConnection,
    schema: str,
    known: dict[str, Source],
    ledger: Path | None,
) -> None:
    """Refuse a name that stands for different sources in two ledgers."""
    rows = connection.execute(f"SELECT name, kind, owner FROM {schema}.sources").fetchall()
    for name, kind, owner in rows:
        before = known.setdefault(name, Source(kind, owner, ledger, ledger))
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


def add_records(connection: DuckDBPyConnection, catalog: str) -> None:
    """Add the sources and runs that are unknown here."""
    connection.execute(
        f"INSERT INTO main.sources BY NAME SELECT * FROM {catalog}.main.sources AS theirs"
        " WHERE NOT EXISTS (SELECT 1 FROM main.sources AS own WHERE own.name = theirs.name)"
    ).fetchall()
    of_known_kind = " IN (" + ", ".join(f"'{kind}'" for kind in sorted(KNOWN_KINDS)) + ")"
    connection.execute(
        "UPDATE main.sources SET owner = coalesce(sources.owner, theirs.owner),"
        f" kind = CASE WHEN theirs.kind{of_known_kind} THEN theirs.kind ELSE sources.kind END"
        f" FROM {catalog}.main.sources AS theirs WHERE sources.name = theirs.name"
        " AND ((sources.owner IS NULL AND theirs.owner IS NOT NULL)"
        f" OR (sources.kind NOT{of_known_kind} AND theirs.kind{of_known_kind}))"
    ).fetchall()
    connection.execute(
        "INSERT INTO main.runs BY NAME SELECT * REPLACE (coalesce(ended_by, 'died') AS ended_by)"
        f" FROM {catalog}.main.runs AS theirs WHERE NOT EXISTS"
        " (SELECT 1 FROM main.runs AS own WHERE own.run_id = theirs.run_id)"
    ).fetchall()
