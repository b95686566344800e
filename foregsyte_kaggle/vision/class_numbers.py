"""The classes that a user names, by the numbers that a detector has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foregsyte_kaggle.errors import InvalidArgumentError, known_names

__all__ = ["class_numbers"]


def class_numbers(labels: Mapping[int, str], classes: Sequence[int | str]) -> set[int]:
    """Return the numbers of classes that are given by name or number.

    Parameters
    ----------
    labels
        The detector's names by number; empty where its metadata has none, and then any number will do.

    Raises
    ------
    InvalidArgumentError
        If the detector has no such class.
    """
    by_name = {name: number for number, name in labels.items()}
    numbers = set()
    for one in classes:
        number = by_name.get(one) if isinstance(one, str) else one
        if number is None or (labels and number not in labels):
            raise InvalidArgumentError(
                f"classes holds {one!r}, which the detector does not know.{known_names(str(one), by_name)}"
            )
        numbers.add(number)
    return numbers
