"""Rows that are all alike, as those of most pipelines: columns of them at once instead of row by row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

__all__ = ["UniformRows", "uniform_rows"]

_WHOLE = {int, type(None)}
_TEXT = {str, type(None)}
_OTHERS = {bool, float, bytes, type(None)}


class UniformRows(NamedTuple):
    """Rows of several jobs, by column."""

    job_ids: list[str]
    """Of each row."""
    counts: dict[str, int]
    """Rows of each job."""
    columns: dict[Any, list[Any]]


def uniform_rows(results: Sequence[tuple[str, Any]]) -> UniformRows | None:
    """Return the rows by column where all have the same names and scalar values; else None.

    Parameters
    ----------
    results
        (job id, result), results as ``worker.as_rows`` leaves them.
    """
    lists = [result for _, result in results]
    if set(map(type, lists)) != {list}:
        return None
    rows = list(chain.from_iterable(lists))
    if set(map(type, rows)) != {dict}:
        return None
    names = list(rows[0])
    # As each row has a name once at most, all have the first one's, in its order, only where this holds.
    if not names or list(chain.from_iterable(rows)) != names * len(rows):
        return None
    flat = list(chain.from_iterable(map(dict.values, rows)))
    values = [flat[place :: len(names)] for place in range(len(names))]
    if not all(map(_is_plain, values)):
        return None
    counts = list(map(len, lists))
    ids = [job_id for job_id, _ in results]
    owners = ids
    if len(rows) != len(ids) or min(counts) != 1:
        owners = list(chain.from_iterable(map(repeat, ids, counts)))
    return UniformRows(
        owners,
        dict(zip(ids, counts, strict=True)),
        dict(zip(names, values, strict=True)),
    )


def _is_plain(values: list[Any]) -> bool:
    """Whether a column holds scalars of one kind that need neither change nor a check one by one."""
    types = set(map(type, values))
    if types <= _OTHERS:
        return True
    if types <= _WHOLE:
        numbers = values if len(types) == 1 else [value for value in values if value is not None]
        return bool(min(numbers) >= -(2**63) and max(numbers) < 2**63)
    if types <= _TEXT:
        try:
            "".join(values if len(types) == 1 else filter(None, values)).encode()
        except UnicodeEncodeError:
            return False
        return True
    return False
