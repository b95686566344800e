"""The opaque text that the next page of jobs begins with: after which job, in the order of registering."""

from __future__ import annotations

import base64
import uuid
from typing import NamedTuple

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = ["Place", "read_place", "write_place"]


class Place(NamedTuple):
    """After a position; or after a job that was made by hand and has none yet."""

    position: int | None = None
    job_id: uuid.UUID | None = None


def write_place(place: Place) -> str:
    """Return a place as text that goes into a URL as it is."""
    plain = f"p{place.position}" if place.position is not None else f"j{place.job_id}"
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def read_place(text: str) -> Place:
    """Return the place of such a text.

    Raises
    ------
    InvalidArgumentError
        If it is none.
    """
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        if plain[:1] == "j":
            return Place(job_id=uuid.UUID(plain[1:]))
        position = int(plain.removeprefix("p"))
        if plain != f"p{position}" or not 0 <= position < 2**63:
            raise ValueError(plain)
    except ValueError:
        raise InvalidArgumentError(
            f"cursor={text!r:.80}; expected what 'next' of the page before said, unchanged"
        ) from None
    return Place(position)
