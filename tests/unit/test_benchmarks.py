"""What `make bench` says of figures; the figures themselves are no test's business."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import line
from tests.benchmarks.measuring import Bar, Bench, Row
from tests.benchmarks.one import ROWS

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ROWS)
def test_each_row_has_what_measures_it(name: str) -> None:
    assert callable(import_module(f"tests.benchmarks.{ROWS[name]}").ROWS[name])


@pytest.mark.parametrize(
    ("bar", "floor", "figure", "holds"),
    [
        pytest.param(Bar(times=1.5), 2.0, 3.0, True, id="just within the ratio"),
        pytest.param(Bar(times=1.5), 2.0, 3.1, False, id="beyond the ratio"),
        pytest.param(Bar(more=0.25), 1.0, 1.25, True, id="just within the difference"),
        pytest.param(Bar(more=0.25), 1.0, 1.3, False, id="beyond the difference"),
        pytest.param(Bar(times=1.5, at_most=0.1), 1.0, 1.2, False, id="good ratio, but too long"),
    ],
)
def test_a_bar_holds_or_not(bar: Bar, floor: float, figure: float, holds: bool) -> None:
    assert bar.holds(floor, figure) is holds


def in_turn(name: str, values: list[float], order: list[str]) -> Callable[[], float]:
    """Return a measurement that gives one value after the other and notes its turn."""
    left = iter(values)

    def measure() -> float:
        order.append(name)
        return next(left)

    return measure


def test_floor_and_figure_are_measured_in_turn_and_their_medians_kept(tmp_path: Path) -> None:
    order: list[str] = []
    row = Bench(sizes="small", rounds=3, folder=tmp_path, scratch=tmp_path).compare(
        Row("one", "some work", "its floor", bar=Bar(times=1.5)),
        in_turn("floor", [2.0, 90.0, 1.0], order),
        in_turn("figure", [3.0, 4.0, 80.0], order),
    )
    assert order == ["floor", "figure"] * 3
    assert (row.floor_value, row.value, row.ratio, row.verdict) == (2.0, 4.0, 2.0, "MISS")


def test_a_bar_that_asks_for_something_else_besides_can_miss_by_that() -> None:
    row = Row("one", "work", "floor", 1.0, 1.0, Bar(times=1.1), also=False)
    assert row.verdict == "MISS"


def test_a_row_without_a_bar_is_neither_kept_nor_missed() -> None:
    assert Row("one", "work", "floor", 1.0, 9.0).verdict == "no bar"
    assert Row("one", "work", "floor", 1.0, 9.0, Bar(unit="MB")).verdict == "no bar"


def test_a_line_says_verdict_figure_floor_cost_of_one_ratio_and_bar() -> None:
    row = Row("one", "register 10 files", "a walk", 1.0, 1.4, Bar(times=1.5), count=1_000_000)
    assert line(row.as_json()) == (
        "ok    one: register 10 files: 1.40 s; a walk: 1.00 s (1.4 against 1.0 µs each); ratio 1.40, bar 1.5 x"
    )


def test_a_line_without_figures_says_why() -> None:
    row = Row("one", "export", note="not there yet")
    assert line(row.as_json()) == "--    one: export: not there yet"
