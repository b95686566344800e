"""Arrow arrays of Python's values, without pandas where they are few."""

from __future__ import annotations

import sys
import threading
from array import array
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FEW", "arrow_array", "import_ahead"]

#: So many take less than 1 ms here, more than pyarrow takes, but it would import pandas for 0.3 s (as
#: ``pyarrow.scalar`` does too).
FEW = 1_000

#: What stands in the place of a missing value of each plain type.
_BLANKS: dict[str, Any] = {
    "null": None,
    "bool": False,
    "int32": 0,
    "int64": 0,
    "double": 0.0,
    "string": "",
    "binary": b"",
}
_CODES = {"int32": "i", "int64": "q", "double": "d"}


def arrow_array(values: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    """Return ``pyarrow.array(values, arrow_type)``, without the import of pandas where it can be spared.

    ``pyarrow.array`` asks whether its argument is one of pandas' and imports pandas for that, before the
    first result of a session is in the ledger.

    Parameters
    ----------
    values
        None stands for a missing one.

    Raises
    ------
    pyarrow.ArrowException, TypeError, ValueError, OverflowError
        As ``pyarrow.array``, for what the type cannot hold.
    """
    import pyarrow as pa

    if "pandas" not in sys.modules and len(values) <= FEW:
        made = _from_few(values, arrow_type)
        if made is not None:
            return made
    return pa.array(values, arrow_type)


def _from_few(values: Sequence[Any], arrow_type: pa.DataType) -> pa.Array | None:
    """Return an array of one of the plain types; None for others, and for values of other types."""
    import pyarrow as pa

    name = str(arrow_type)
    if name not in _BLANKS or not set(map(type, values)) <= {type(_BLANKS[name]), type(None)}:
        return None
    if name == "null":
        return pa.nulls(len(values))
    missing = values.count(None)
    valid = pa.py_buffer(_bits([value is not None for value in values])) if missing else None
    present = [_BLANKS[name] if value is None else value for value in values]
    try:
        buffers = [valid, *map(pa.py_buffer, _buffers(present, name))]
    except (OverflowError, UnicodeEncodeError):
        return None
    return pa.Array.from_buffers(arrow_type, len(values), buffers, missing)


def _buffers(values: list[Any], name: str) -> list[Any]:
    """Return what Arrow's format has after the validity of values of one plain type."""
    if name == "bool":
        return [_bits(values)]
    if name in _CODES:
        return [array(_CODES[name], values)]
    pieces = [value.encode() for value in values] if name == "string" else values
    return [array("i", accumulate(map(len, pieces), initial=0)), b"".join(pieces)]


def _bits(flags: Sequence[bool]) -> bytes:
    """Return flags as Arrow packs them, the first in the lowest bit."""
    packed = bytearray(-(-len(flags) // 8))
    for number, flag in enumerate(flags):
        packed[number >> 3] |= flag << (number & 7)
    return bytes(packed)


@cache
def import_ahead() -> None:
    """Import pyarrow in a thread, once, where nobody did yet: the first workers start meanwhile.

    Whoever needs it finds out what is wrong with it.
    """
    if "pyarrow" not in sys.modules:
        with suppress(RuntimeError):  # no further thread can start
            threading.Thread(target=_import_quietly, name="foregsyte-imports").start()


def _import_quietly() -> None:
    with suppress(Exception):
        import_module("pyarrow")
