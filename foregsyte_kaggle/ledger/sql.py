"""Pieces that the statements of this package share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = ["NOW", "as_uuid", "of_dead_runs", "some"]

NOW = "(now() AT TIME ZONE 'UTC')"


def as_uuid(value: str | uuid.UUID) -> uuid.UUID:
    """Return a job's id as a UUID.

    Raises
    ------
    InvalidArgumentError
        If it is not one.
    """
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        raise InvalidArgumentError(
            f"{value!r} is not a job's id; expected a UUID as in jobs_frame().job_id"
        ) from None


def of_dead_runs(alive: str) -> str:
    """Return the condition that a job's run is none of the living."""
    return f"(run_id IS NULL OR run_id NOT IN (SELECT unnest({alive})))"


def some(ids: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Return ids with one that is nobody's, since an empty list has no type in SQL."""
    return [uuid.UUID(int=0), *ids]
