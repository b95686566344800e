"""Types of result columns: which one holds the values of two others exactly."""

from __future__ import annotations

from collections.abc import Callable

from foregsyte_kaggle.results.arrow import EMPTY_LISTS

__all__ = ["json_expression", "merged_type", "retyped"]

#: For each type, those that hold all of its values exactly, the narrowest first.
WIDER: dict[str, tuple[str, ...]] = {
    "TINYINT": ("SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"),
    "UTINYINT": (
        "SMALLINT",
        "USMALLINT",
        "INTEGER",
        "UINTEGER",
        "BIGINT",
        "UBIGINT",
        "HUGEINT",
        "FLOAT",
        "DOUBLE",
    ),
    "SMALLINT": ("INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"),
    "USMALLINT": ("INTEGER", "UINTEGER", "BIGINT", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE"),
    "INTEGER": ("BIGINT", "HUGEINT", "DOUBLE"),
    "UINTEGER": ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"),
    "BIGINT": ("HUGEINT",),
    "UBIGINT": ("HUGEINT",),
    "FLOAT": ("DOUBLE",),
}
_FLOATS = {"FLOAT", "DOUBLE"}
#: Types whose values may be too large to be exact as floats.
LONG = {"BIGINT", "UBIGINT", "HUGEINT"}


def merged_type(one: str, other: str, is_exact: Callable[[], bool]) -> str:
    """Return the type that holds the values of both; ``JSON`` where no other does.

    Parameters
    ----------
    is_exact
        Asked whether all whole numbers of both are exact as floats.
    """
    if one == other or {one, other} == {"JSON", EMPTY_LISTS}:
        return one if one != EMPTY_LISTS else other
    if one.endswith("[]") and other.endswith("[]"):
        if EMPTY_LISTS in (one, other):
            return other if one == EMPTY_LISTS else one
        inner = merged_type(one[:-2], other[:-2], is_exact)
        return "JSON" if inner == "JSON" else f"{inner}[]"
    for kind in (one, *WIDER.get(one, ())):
        if kind in (other, *WIDER.get(other, ())):
            return kind
    both = {one, other}
    if both & _FLOATS and both & LONG and is_exact():
        return "DOUBLE"
    return "JSON"


def retyped(quoted: str, before: str, after: str, *, blank: bool) -> str:
    """Return the expression that turns a stored value into another type.

    Parameters
    ----------
    blank
        Whether nothing but NULL, empty lists and lists of NULL is stored.
    """
    if blank and before.endswith("[]") and after.endswith("[]"):
        return f"[NULL::{after[:-2]} FOR item IN {quoted}]"
    if blank and after != "JSON":
        return f"NULL::{after}"
    return json_expression(quoted, before) if after == "JSON" else f"{quoted}::{after}"


def json_expression(quoted: str, kind: str) -> str:
    """Return the expression for a value as JSON; what JSON cannot hold becomes text."""
    if kind.endswith("[]"):
        return f"to_json([{json_expression('item', kind[:-2])} FOR item IN {quoted}])"
    if kind in _FLOATS:
        text = f"WHEN {quoted} IS NOT NULL THEN to_json({quoted}::VARCHAR)"
        return f"CASE WHEN isfinite({quoted}) THEN to_json({quoted}) {text} END"
    if kind == "BLOB":
        return f"to_json(lower(hex({quoted})))"
    return f"to_json({quoted})"
