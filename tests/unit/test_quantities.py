"""Amounts that people write and read."""

from __future__ import annotations

import datetime as dt

import pytest

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.quantities import describe_seconds, parse_bytes, parse_seconds

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("8h30m", 30600),
        ("8 h 30 min", 30600),
        ("10min", 600),
        ("90s", 90),
        ("1.5 hours", 5400),
        ("2 Days", 172800),
        ("500ms", 0.5),
        ("1s 500 milliseconds", 1.5),
        ("2 mins 1 sec", 121),
        ("2 secs", 2),
        (dt.timedelta(minutes=3), 180),
    ],
)
def test_lengths_of_time_that_are_understood(value: object, seconds: float) -> None:
    assert parse_seconds("time_limit", value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", "8h30", "10 parsecs", "-5s", 0, -1, True, float("nan"), float("inf"), [1]),
        *("5 hs", "5 ds", "5 ss", "5 mss", "5 \u00b5s", "\u0663h", "\uff13h", "3\u00b2s"),
        *("9" * 400 + "h", 10**400, 10**5000),
    ],
    ids=lambda value: "" if isinstance(value, int) else f"{value!s:.9}",
)
def test_anything_else_is_an_error_that_names_the_argument(value: object) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"time_limit=.*expected seconds, or text such as"
    ):
        parse_seconds("time_limit", value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (45, "45 s"), (60, "1 min"), (3599, "1 h"), (30600, "8 h 30 min")],
)
def test_lengths_of_time_are_told_as_people_do(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (12, 12),
        ("0 B", 0),
        ("500MB", 500_000_000),
        (" 1.5 GiB ", 1_610_612_736),
        ("2 gb", 2_000_000_000),
        ("500M", 500_000_000),
        ("0.5G", 500_000_000),
        ("3k", 3_000),
        ("1T", 10**12),
        (500e6, 500_000_000),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_amounts_of_bytes_that_are_understood(value: object, size: int) -> None:
    assert parse_bytes("disk_reserve", value) == size


@pytest.mark.parametrize(
    "value",
    [
        *("", "much", "5", "-1MB", "5 parsecs", "\u0663GB", -1, 1.5, -2.0, True, [1], None),
        *("9" * 400 + "GB", "9" * 400 + "B", 10**400, 10**5000, 1e30, float("inf"), float("nan")),
    ],
    ids=lambda value: "" if isinstance(value, int) else f"{value!s:.9}",
)
def test_no_amount_of_bytes_is_an_error_that_names_the_argument(value: object) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"disk_reserve=.*expected a whole number of them"
    ):
        parse_bytes("disk_reserve", value)
