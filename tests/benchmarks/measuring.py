"""How a figure is measured beside its floor, and what is said of it.

A machine is noisy, so floor and figure are measured in turn, and only their medians and the ratio of
these mean something.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Bar:
    """What a figure may cost: times its floor, more than its floor, and at most; all that are given hold."""

    times: float | None = None
    more: float | None = None
    at_most: float | None = None
    unit: str = "s"

    def holds(self, floor: float, figure: float) -> bool:
        return (
            (self.times is None or figure <= self.times * floor)
            and (self.more is None or figure <= self.more + floor)
            and (self.at_most is None or figure <= self.at_most)
        )

    def __str__(self) -> str:
        parts = [f"{self.times} x"] if self.times is not None else []
        parts += [f"{shown(self.more, self.unit)} more"] if self.more is not None else []
        parts += [shown(self.at_most, self.unit)] if self.at_most is not None else []
        return " and ".join(parts)


@dataclass(frozen=True)
class Row:
    """One line of the table; without figures it says in ``note`` why there are none."""

    name: str
    work: str
    floor: str = ""
    floor_value: float | None = None
    value: float | None = None
    bar: Bar = Bar()
    count: int | None = None
    """Jobs, files or rows, for the cost of one."""
    rounds: int = 0
    note: str = ""
    also: bool = True
    """What the bar asks besides."""

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor_value if self.value and self.floor_value else None

    @property
    def verdict(self) -> str:
        if self.value is None or self.floor_value is None:
            return "none"
        if self.bar == Bar(unit=self.bar.unit):
            return "no bar"
        return "ok" if self.also and self.bar.holds(self.floor_value, self.value) else "MISS"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "work": self.work,
            "floor": self.floor,
            "floor_value": self.floor_value,
            "value": self.value,
            "unit": self.bar.unit,
            "ratio": self.ratio,
            "bar": str(self.bar),
            "verdict": self.verdict,
            "count": self.count,
            "rounds": self.rounds,
            "note": self.note,
        }


@dataclass(frozen=True)
class Bench:
    """What a row is measured with.

    Attributes
    ----------
    sizes : str
        ``"full"``, those of the table; ``"small"``; or ``"tiny"``, where figures mean nothing: to see whether all
        rows still work.
    rounds : int
        How often floor and figure are measured.
    folder : pathlib.Path
        For what rows share, such as a folder of files.
    scratch : pathlib.Path
        For what this row alone needs; removed after it.
    """

    sizes: str
    rounds: int
    folder: Path
    scratch: Path

    def size(self, small: int, full: int) -> int:
        return {"full": full, "small": small, "tiny": max(1, small // 100)}[self.sizes]

    def compare(
        self,
        row: Row,
        floor: Callable[[], float],
        figure: Callable[[], float],
        *,
        warm_up: bool = False,
    ) -> Row:
        """Return the row with the medians of both, measured in turn; they return what they cost."""
        if warm_up:
            floor(), figure()
        pairs = [(floor(), figure()) for _ in range(self.rounds)]
        values = {
            "floor_value": statistics.median(low for low, _ in pairs),
            "value": statistics.median(high for _, high in pairs),
            "rounds": self.rounds,
        }
        return Row(**{**vars(row), **values})


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes; what it returns is let go of afterwards."""
    begun = time.perf_counter()
    kept = work()
    taken = time.perf_counter() - begun
    del kept
    return taken


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Return the call that measures a call."""
    return lambda: seconds(work)


def python_seconds(code: str, folder: Path) -> float:
    """Return how long a new interpreter takes for some code, from its start to its end."""
    return seconds(lambda: _python(code, folder))


def python_prints(code: str, folder: Path) -> float:
    """Return the number that some code prints last, in a new interpreter."""
    return float(_python(code, folder).split()[-1])


def _python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{code!r} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def shown(value: float, unit: str) -> str:
    """Return a figure with its unit, as a person reads it."""
    if unit != "s":
        return f"{value:,.0f} {unit}"
    return f"{value:,.2f} s" if value >= 1 else f"{value * 1e3:,.1f} ms"
