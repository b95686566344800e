"""One value in the type of a column: as it was, or an error."""

from __future__ import annotations

import datetime as dt
import math
import struct
import uuid
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

from foregsyte_kaggle.results.kinds import to_json
from foregsyte_kaggle.results.values import plain

__all__ = ["INTEGERS", "TEXTS", "exact_value"]

_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
#: The types of whole numbers, with their least value and the first that is too large.
INTEGERS = {kind: (-(2 ** (bits - 1)), 2 ** (bits - 1)) for kind, bits in _BITS.items()} | {
    f"U{kind}": (0, 2**bits) for kind, bits in _BITS.items() if kind != "HUGEINT"
}
#: Types whose values are handed to DuckDB as text.
TEXTS = {"JSON", "UUID", "HUGEINT"}
_LARGEST_FLOAT = 3.4028235e38
_MANY_DIGITS = Context(prec=400)


def exact_value(value: Any, kind: str) -> Any:
    """Return a plain value as Arrow takes it for a type.

    Raises
    ------
    ValueError, ArithmeticError, ResultError
        If it does not fit.
    """
    if value is None:
        return None
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise ValueError
        return [exact_value(item, kind[:-2]) for item in value]
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        number = _whole(value)
        if not low <= number < high:
            raise ValueError
        return str(number) if kind in TEXTS else number
    if kind.startswith("DECIMAL"):
        precision, scale = map(int, kind[len("DECIMAL(") : -1].split(","))
        return _decimal(value, precision, scale)
    return _FITS[kind](value)


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, (float, Decimal)) and math.isfinite(value) and value == int(value):
        return int(value)
    raise ValueError


def _double(value: Any) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError
    number = float(value)
    if value != number and (isinstance(value, int) or value != Decimal(repr(number))):
        raise ValueError
    return number


def _float(value: Any) -> float:
    number = _double(value)
    if math.isfinite(number) and abs(number) > _LARGEST_FLOAT:
        raise ValueError
    if isinstance(value, int) and struct.unpack("f", struct.pack("f", number))[0] != value:
        raise ValueError
    return number


def _decimal(value: Any, precision: int, scale: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError
    # A float stands for the shortest number that is read as it.
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    scaled = number.scaleb(scale, _MANY_DIGITS)
    if scaled != int(scaled) or abs(scaled) >= 10**precision:
        raise ValueError
    return number


def _moment(value: Any) -> dt.datetime:
    if type(value) is dt.date:
        return dt.datetime.combine(value, dt.time())
    if not isinstance(value, dt.datetime) or value.tzinfo is not None:
        raise ValueError
    return value


def _moment_to_the_nanosecond(value: Any) -> dt.datetime:
    moment = _moment(value)
    if not 1678 <= moment.year <= 2261:
        raise ValueError
    return moment


def _moment_with_zone(value: Any) -> dt.datetime:
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise ValueError
    return value


def _date(value: Any) -> dt.date:
    if type(value) is dt.date:
        return value
    moment = _moment(value)
    if moment.time() != dt.time():
        raise ValueError
    return moment.date()


def _only(kind: type) -> Callable[[Any], Any]:
    def fit(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return fit


_FITS: dict[str, Callable[[Any], Any]] = {
    "BOOLEAN": _only(bool),
    "FLOAT": _float,
    "DOUBLE": _double,
    "VARCHAR": _only(str),
    "BLOB": _only(bytes),
    "DATE": _date,
    "TIME": _only(dt.time),
    "TIMESTAMP": _moment,
    "TIMESTAMP_NS": _moment_to_the_nanosecond,
    "TIMESTAMP WITH TIME ZONE": _moment_with_zone,
    "INTERVAL": _only(dt.timedelta),
    "UUID": lambda value: str(uuid.UUID(_only(str)(value))),
    "JSON": lambda value: to_json(plain(value)),
}
