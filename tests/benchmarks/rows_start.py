"""What it takes to begin: importing, opening, the first result."""

from __future__ import annotations

from functools import partial

from tests.benchmarks import inputs
from tests.benchmarks.measuring import Bar, Bench, Row, python_prints, python_seconds

CLOCKED = "import time, {imports}; t = time.perf_counter(); {work}; print(time.perf_counter() - t)"


def import_and_bootstrap(bench: Bench) -> list[Row]:
    floor = "import pandas, sqlalchemy.orm, duckdb, duckdb_engine"
    code = "import foregsyte_kaggle as fk; fk.bootstrap()"
    folder = inputs.copied(inputs.pending_jobs(bench.folder, 10), bench.scratch)
    row = Row(
        "import", "import foregsyte_kaggle, then bootstrap", f"{floor} alone", bar=Bar(times=1.1)
    )
    return [
        bench.compare(
            row,
            lambda: python_seconds(floor, folder),
            lambda: python_seconds(code, folder),
            warm_up=True,
        )
    ]


def light(bench: Bench) -> list[Row]:
    """What every process of a session begins with, the kernel's and a worker's; neither has a bar."""
    rows = []
    for work, module in (
        ("import foregsyte_kaggle", "foregsyte_kaggle"),
        ("what a worker process imports", "foregsyte_kaggle.worker.serving"),
    ):
        row = Row("light", f"{work}, in a new process", "a new process that does nothing")
        rows.append(
            bench.compare(
                row,
                lambda: python_seconds("pass", bench.scratch),
                partial(python_seconds, f"import {module}", bench.scratch),
                warm_up=True,
            )
        )
    return rows


def bootstrap_at_head(bench: Bench) -> list[Row]:
    """The ledger's size is that of ``start``; each opening is in a process of its own."""
    count = bench.size(200_000, 1_000_000)
    folder = inputs.copied(inputs.finished_jobs(bench.folder, count), bench.scratch)
    plain = CLOCKED.format(
        imports="duckdb", work="duckdb.connect('data/foregsyte.duckdb').execute('SELECT 1')"
    )
    ours = CLOCKED.format(
        imports="foregsyte_kaggle.opening, sqlalchemy.orm, duckdb, duckdb_engine",
        work="foregsyte_kaggle.opening.bootstrap()",
    )
    alembic = python_prints(
        "import sys, foregsyte_kaggle as fk; fk.bootstrap(); print(int('alembic' in sys.modules))",
        folder,
    )
    row = Row(
        "bootstrap",
        f"bootstrap() on a ledger at head, {count:,} jobs",
        "opening the file with plain duckdb",
        bar=Bar(more=0.25),
        note="it imports Alembic" if alembic else "Alembic is not imported",
        also=not alembic,
    )
    return [
        bench.compare(
            row,
            lambda: python_prints(plain, folder),
            lambda: python_prints(ours, folder),
            warm_up=True,
        )
    ]


def first_result(bench: Bench) -> list[Row]:
    return [_first_result(bench, registers=True), _first_result(bench, registers=False)]


def _first_result(bench: Bench, *, registers: bool) -> Row:
    """The whole call of ``run_jobs`` for one job: its result is in the ledger and its worker gone."""
    folder = inputs.copied(inputs.pending_jobs(bench.folder, 1_000), bench.scratch)
    bare = "import tests.benchmarks.pipelines"
    before = "fk.register_jobs(inputs.ids(1_000), 'trivial', name='inputs')" if registers else ""
    ours = (
        "import time, foregsyte_kaggle as fk\n"
        "from tests.benchmarks import inputs, pipelines\n"
        "fk.pipeline('trivial')(pipelines.trivial)\n"
        f"fk.bootstrap(); {before}\n"
        "begun = time.perf_counter()\n"
        "fk.run_jobs('trivial', limit=1, workers=1)\n"
        "print(time.perf_counter() - begun)\n"
    )
    when = "after register_jobs" if registers else "right after bootstrap"
    row = Row(
        "first_result",
        f"a run of one job on processes, to its end, as the first run of a session, {when}",
        "a bare process that imports the pipeline's module",
        bar=Bar(more=0.3),
    )
    return bench.compare(
        row,
        lambda: python_seconds(bare, folder),
        lambda: python_prints(ours, folder),
        warm_up=True,
    )


ROWS = {
    "light": light,
    "first_result": first_result,
    "bootstrap": bootstrap_at_head,
    "import": import_and_bootstrap,
}
