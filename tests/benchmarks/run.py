"""Measure what the toolkit costs, each figure beside a floor measured in the same run.

``make bench`` prints the table; ``--json PATH`` writes it too. Nothing here is asserted: a machine is
noisy, so figures are medians and only their ratios mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """One line of the table; times in seconds."""

    work: str
    floor: str
    floor_seconds: float
    seconds: float
    bar: str
    holds: bool

    @property
    def ratio(self) -> float:
        return self.seconds / self.floor_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    arguments = parser.parse_args()
    print(describe_machine(), flush=True)
    rows = []
    for measure in (import_and_bootstrap, bootstrap_at_head, worker_start):
        row = measure()
        rows.append(row)
        print(
            f"{'ok  ' if row.holds else 'MISS'} {row.work}: {row.seconds * 1e3:.0f} ms; "
            f"{row.floor}: {row.floor_seconds * 1e3:.0f} ms; ratio {row.ratio:.2f}, bar {row.bar}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps(
                {"machine": describe_machine(), "rows": [asdict(row) for row in rows]}, indent=1
            )
        )


def import_and_bootstrap() -> Row:
    floor = "import pandas, sqlalchemy.orm, duckdb, duckdb_engine"
    with tempfile.TemporaryDirectory() as folder:
        code = "import foregsyte_kaggle as fk; fk.bootstrap()"
        python(code, folder)
        low, high = alternate(lambda: python(floor, folder), lambda: python(code, folder))
    return Row(
        "import foregsyte_kaggle, then bootstrap", floor, low, high, "1.1 x", high <= 1.1 * low
    )


def bootstrap_at_head() -> Row:
    inside = (
        "import time, {imports}; t = time.perf_counter(); {work}; print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as folder:
        python("import foregsyte_kaggle as fk; fk.bootstrap()", folder)
        plain = inside.format(
            imports="duckdb", work="duckdb.connect('data/foregsyte.duckdb').execute('SELECT 1')"
        )
        ours = inside.format(
            imports="foregsyte_kaggle.opening, sqlalchemy.orm, duckdb, duckdb_engine",
            work="foregsyte_kaggle.opening.bootstrap()",
        )
        low, high = alternate(lambda: printed(plain, folder), lambda: printed(ours, folder))
    return Row(
        "bootstrap() on a ledger at head",
        "opening the file with plain duckdb",
        low,
        high,
        "0.25 s more",
        high - low <= 0.25,
    )


def worker_start() -> Row:
    from foregsyte_kaggle.executors import Chunk, make_engine
    from foregsyte_kaggle.registry.builtin import file_info
    from foregsyte_kaggle.worker import Task

    bare = "import foregsyte_kaggle.registry.builtin"

    def ours() -> float:
        events: queue.SimpleQueue[object] = queue.SimpleQueue()
        begun = time.perf_counter()
        engine = make_engine("processes", 1, events, None)
        engine.add_pipeline("file_info", file_info, "outputs")
        engine.submit(Chunk("file_info", [Task(1, "x", __file__, True, None, 1)]))
        events.get()
        seconds = time.perf_counter() - begun
        engine.close(kill=False)
        return seconds

    low, high = alternate(lambda: python(bare, "."), ours)
    return Row(
        "first result of a worker process",
        "a bare process that imports the pipeline's module",
        low,
        high,
        "0.3 s more",
        high - low <= 0.3,
    )


def alternate(floor: Callable[[], float], work: Callable[[], float]) -> tuple[float, float]:
    """Return the medians of both, measured in turn, so that a drifting machine hits both alike."""
    pairs = [(floor(), work()) for _ in range(ROUNDS)]
    return statistics.median(one for one, _ in pairs), statistics.median(two for _, two in pairs)


def python(code: str, folder: str) -> float:
    """Return how long a new interpreter takes for some code."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begun


def printed(code: str, folder: str) -> float:
    """Return the number that some code prints last in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def describe_machine() -> str:
    names = ("duckdb", "sqlalchemy", "pandas", "pyarrow")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    system = f"{platform.system()} {platform.machine()}, {processors} processors"
    return f"{system}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main()
