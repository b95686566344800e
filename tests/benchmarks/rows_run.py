"""Running: what a job costs beside a bare executor's call, and how that grows with the ledger."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import foregsyte_kaggle as fk
from foregsyte_kaggle.workspace import active_workspace
from tests.benchmarks import inputs, pipelines
from tests.benchmarks.floors import bare_processes, bare_threads
from tests.benchmarks.machine import forget_peak, peak_megabytes
from tests.benchmarks.measuring import Bar, Bench, Row, python_prints, seconds, timed

FLOORS = {
    "threads": (bare_threads, "ThreadPoolExecutor.submit"),
    "processes": (bare_processes, "ProcessPoolExecutor.submit, spawned"),
}


#: Prints how long the bare executor takes where nothing else was imported, whose objects Python's garbage
#: collector would look through.
BARE = """
import time
from tests.benchmarks import floors, pipelines
texts = [f"clip-{number:07}" for number in range(%d)]
begun = time.perf_counter()
floors.bare_threads(pipelines.trivial, texts)
print(time.perf_counter() - begun)
"""


def threads(bench: Bench) -> list[Row]:
    count, bar = 100_000, Bar(times=0.8)
    alone = partial(python_prints, BARE % count, bench.scratch)
    where = ", in a process that imported nothing else"
    return [
        _run(bench, "threads", pipelines.trivial, count, bar),
        _run(bench, "threads", pipelines.trivial, count, bar, floor=alone, where=where),
    ]


def processes(bench: Bench) -> list[Row]:
    count = bench.size(20_000, 100_000)
    return [_run(bench, "processes", pipelines.trivial, count, Bar(times=0.3))]


def five_milliseconds(bench: Bench) -> list[Row]:
    count = bench.size(1_000, 2_000)
    rows = [
        _run(bench, executor, pipelines.five_milliseconds, count, Bar(times=1.03))
        for executor in FLOORS
    ]
    return [Row(**{**vars(row), "name": "five_ms"}) for row in rows]


def _run(
    bench: Bench,
    executor: str,
    function: Callable[[str], Any],
    count: int,
    bar: Bar,
    floor: Callable[[], float] | None = None,
    where: str = "",
) -> Row:
    """Compare a whole call of ``run_jobs``, bar and all, with all that the executor needs, here or elsewhere."""
    bare, how = FLOORS[executor]
    texts = inputs.ids(count).column("id").to_pylist()
    fk.pipeline("measured")(function)

    def figure() -> float:
        with inputs.workspace(bench.scratch):
            fk.register_jobs(inputs.ids(count), "measured", name="inputs")
            taken = seconds(partial(fk.run_jobs, "measured", executor=executor))
            _check(count)
            return taken

    row = Row(
        executor,
        f"run {count:,} {_named(function)} jobs on {executor}, bar on, all durable",
        f"{how}, one call a job{where}",
        bar=bar,
        count=count,
    )
    return bench.compare(row, floor or timed(partial(bare, function, texts)), figure)


def cost_at_size(bench: Bench) -> list[Row]:
    """The same number of jobs is run in both, so that what a run costs once is in both.

    What registering left to a checkpoint, above all the whole index of ids, is written before: 0.5 s here.
    """
    large, count = bench.size(200_000, 1_000_000), bench.size(20_000, 50_000)
    fk.pipeline("trivial")(pipelines.trivial)
    folder = inputs.copied(inputs.finished_jobs(bench.folder, large), bench.scratch)
    rounds = iter(range(bench.rounds + 1))

    def run(name: str) -> float:
        fk.register_jobs(inputs.ids(count, name), "trivial", name=name)
        active_workspace().database.checkpoint()
        return seconds(partial(fk.run_jobs, "trivial", executor="threads"))

    def floor() -> float:
        with inputs.workspace(bench.scratch):
            return run("alone")

    def figure() -> float:
        with inputs.opened(folder):
            return run(f"round-{next(rounds)}")

    row = Row(
        "cost_at_size",
        f"run {count:,} trivial jobs in a ledger of {large:,} more",
        f"the same {count:,} alone in their ledger",
        bar=Bar(times=1.3),
        count=count,
    )
    return [bench.compare(row, floor, figure, warm_up=True)]


def start(bench: Bench) -> list[Row]:
    large, few = bench.size(200_000, 1_000_000), 10
    fk.pipeline("trivial")(pipelines.trivial)
    folder = inputs.copied(inputs.finished_jobs(bench.folder, large), bench.scratch)
    rounds = iter(range(2 * bench.rounds + 2))

    def run() -> float:
        fk.register_jobs(inputs.ids(few), "trivial", name=f"round-{next(rounds)}")
        return seconds(partial(fk.run_jobs, "trivial", executor="threads"))

    def floor() -> float:
        with inputs.workspace(bench.scratch):
            return run()

    def figure() -> float:
        with inputs.opened(folder):
            return run()

    row = Row(
        "start",
        f"a run of {few} jobs that are pending in a ledger of {large:,}",
        f"the same in a ledger of {few}",
        bar=Bar(more=0.2),
    )
    return [bench.compare(row, floor, figure, warm_up=True)]


def memory(bench: Bench) -> list[Row]:
    """Each run is in a process of its own, and its peak counts from when the ledger is open."""
    few, many = 10_000, bench.size(200_000, 1_000_000)

    def peak(count: int) -> float:
        folder = inputs.copied(inputs.pending_jobs(bench.folder, count), bench.scratch)
        code = f"from tests.benchmarks import rows_run; rows_run.print_peak({str(folder)!r})"
        return python_prints(code, bench.scratch)

    row = Row(
        "memory",
        f"peak memory while running {many:,} trivial jobs on threads",
        f"the same with {few:,}",
        bar=Bar(times=1.2, unit="MB"),
    )
    return [bench.compare(row, partial(peak, few), partial(peak, many))]


def print_peak(folder: str) -> None:
    """Run all jobs of a workspace, and print the most memory that took."""
    fk.pipeline("trivial")(pipelines.trivial)
    with inputs.opened(Path(folder)):
        forget_peak()
        run = fk.run_jobs("trivial", executor="threads")
        if run.failed:
            raise RuntimeError(f"{run.failed} jobs failed")
        print(peak_megabytes())


def _check(count: int) -> None:
    """A run that lost a job, or its result, measures nothing."""
    rows = fk.sql(
        "SELECT (SELECT count(*) FROM jobs WHERE status = 'completed') AS jobs,"
        " (SELECT count(*) FROM job_attempts) AS attempts, (SELECT count(*) FROM results.measured) AS results"
    )
    found = rows.iloc[0].tolist()
    if found != [count] * 3:
        raise RuntimeError(f"jobs, attempts and result rows are {found}; expected {count} of each")


def _named(function: Callable[[str], Any]) -> str:
    return "trivial" if function is pipelines.trivial else "5 ms"


ROWS = {
    "threads": threads,
    "processes": processes,
    "five_ms": five_milliseconds,
    "cost_at_size": cost_at_size,
    "start": start,
    "memory": memory,
}
