"""Reading: frames and exports. Floors are plain duckdb on a copy of the ledger."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import foregsyte_kaggle as fk
from foregsyte_kaggle.frames import JOB_COLUMNS
from tests.benchmarks import inputs
from tests.benchmarks.machine import forget_peak, peak_megabytes
from tests.benchmarks.measuring import Bar, Bench, Row, python_prints, timed

#: Ids and params as text, as the frame has them: .df() would make a Python object of each id.
EXPRESSIONS = {
    "job_id": "job_id::VARCHAR",
    "run_id": "run_id::VARCHAR",
    "params": "params::VARCHAR",
    "duration_seconds": "epoch(finished_at - started_at)",
    "outdated": "false",
}


SUFFIXES = ("parquet", "csv")

#: More than are sorted, so that all of them are read the same way.
MANY = 1_500_000


def jobs_frame(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 1_000_000)
    made = inputs.finished_jobs(bench.folder, count)
    columns = ", ".join(
        f"{EXPRESSIONS[name]} AS {name}" if name in EXPRESSIONS else name for name in JOB_COLUMNS
    )
    row = Row(
        "jobs_frame",
        f"jobs_frame() of {count:,} jobs",
        "duckdb's own .df() of the same columns",
        bar=Bar(times=0.6),
        count=count,
    )
    with (
        inputs.plain(inputs.copied(made, bench.scratch)) as plain,
        inputs.opened(inputs.copied(made, bench.scratch)),
    ):
        floor = timed(lambda: plain.sql(f"SELECT {columns} FROM jobs").df())
        return [bench.compare(row, floor, timed(fk.jobs_frame), warm_up=True)]


def results_frame(bench: Bench) -> list[Row]:
    count = bench.size(MANY, 10_000_000)
    made = inputs.jobs_with_results(bench.folder, count)
    row = Row(
        "results_frame",
        f"results_frame() of {count:,} result rows",
        "a raw duckdb scan to Arrow to pandas",
        bar=Bar(times=1.2),
        count=count,
    )
    with (
        inputs.plain(inputs.copied(made, bench.scratch)) as plain,
        inputs.opened(inputs.copied(made, bench.scratch)),
    ):
        scan = "SELECT * REPLACE (job_id::VARCHAR AS job_id) FROM results.ten_rows"

        def floor() -> Any:
            return plain.sql(scan).to_arrow_table().to_pandas(types_mapper=_text_types().get)

        return [
            bench.compare(
                row, timed(floor), timed(partial(fk.results_frame, "ten_rows")), warm_up=True
            )
        ]


def export(bench: Bench) -> list[Row]:
    if not hasattr(fk, "export_results"):
        return [Row("export", "export_results to Parquet and to CSV", note="not there yet")]
    count = bench.size(MANY, 10_000_000)
    made = inputs.jobs_with_results(bench.folder, count)
    with (
        inputs.plain(inputs.copied(made, bench.scratch)) as plain,
        inputs.opened(inputs.copied(made, bench.scratch)),
    ):
        rows = [row for suffix in SUFFIXES for row in _export(bench, plain, count, suffix)]
    return rows + [row for suffix in SUFFIXES for row in _export_memory(bench, count, suffix)]


#: What an export is measured against: the least that writes the columns it promises, which has a bar, and
#: what writes neither the inputs' paths nor ids as text.
SAME_COLUMNS = "a COPY of the same columns in plain duckdb: ids as text, paths joined"
EXPORT_FLOORS = {
    SAME_COLUMNS: (
        Bar(times=1.2),
        """
        SELECT found.job_id::VARCHAR AS job_id, jobs.input_path, found.* EXCLUDE (job_id)
        FROM results.ten_rows AS found JOIN jobs USING (job_id)
        """,
    ),
    "a raw COPY of the result table": (Bar(), "SELECT * FROM results.ten_rows"),
}


def _export(bench: Bench, plain: Any, count: int, suffix: str) -> list[Row]:
    raw, path = bench.scratch / f"raw.{suffix}", bench.scratch / f"exported.{suffix}"

    def copy(query: str) -> None:
        plain.execute(f"COPY ({query}) TO '{raw}' (FORMAT {suffix})").fetchall()

    rows = []
    for floor, (bar, query) in EXPORT_FLOORS.items():
        row = Row(
            "export",
            f"export_results of {count:,} result rows to {suffix}",
            floor,
            bar=bar,
            count=count,
        )
        ours = timed(lambda: fk.export_results("ten_rows", path))
        rows.append(bench.compare(row, timed(partial(copy, query)), ours, warm_up=True))
    return rows


def _export_memory(bench: Bench, count: int, suffix: str) -> list[Row]:
    """More rows may not take more, nor may it be more than the ``COPY`` takes; a job takes its id and path.

    Only at full size are the fewer rows too many to be sorted, which takes more memory.
    """
    bench = replace(bench, rounds=min(3, bench.rounds))
    few = count // 5

    def peak(printer: str, rows: int, each: int = 10) -> float:
        folder = inputs.copied(inputs.jobs_with_results(bench.folder, rows, each), bench.scratch)
        code = f"from tests.benchmarks import rows_read; rows_read.{printer}({str(folder)!r}, {suffix!r})"
        return python_prints(code, bench.scratch)

    bar, none = Bar(times=1.2, unit="MB"), Bar(unit="MB")
    row = Row("export", f"peak memory while exporting {count:,} result rows to {suffix}")
    floors = {
        f"{few:,} rows of as many jobs": (bar, partial(peak, "print_peak", few, 2)),
        SAME_COLUMNS: (bar, partial(peak, "print_plain_peak", count)),
        f"{few:,} rows of a fifth of the jobs": (none, partial(peak, "print_peak", few)),
    }
    figure = partial(peak, "print_peak", count)
    return [
        bench.compare(replace(row, floor=what, bar=bar), floor, figure)
        for what, (bar, floor) in floors.items()
    ]


def print_peak(folder: str, suffix: str) -> None:
    """Export the results of a workspace, and print the most memory that took."""
    fk.pipeline("ten_rows")(lambda _text: None)
    with inputs.opened(Path(folder)):
        forget_peak()
        fk.export_results("ten_rows", Path(folder) / f"exported.{suffix}")
        print(peak_megabytes())


def print_plain_peak(folder: str, suffix: str) -> None:
    """Copy the same columns with plain duckdb, and print the most memory that took."""
    (_, query), path = EXPORT_FLOORS[SAME_COLUMNS], Path(folder) / f"plain.{suffix}"
    with inputs.plain(Path(folder)) as plain:
        forget_peak()
        plain.execute(f"COPY ({query}) TO '{path}' (FORMAT {suffix})").fetchall()
        print(peak_megabytes())


def _text_types() -> dict[Any, Any]:
    """Return what makes text of Arrow the fastest text of this pandas, as pandas 3 does by itself."""
    import pandas as pd
    import pyarrow as pa

    if int(pd.__version__.partition(".")[0]) >= 3:
        return {}
    return {pa.string(): pd.StringDtype("pyarrow_numpy")}


ROWS = {
    "jobs_frame": jobs_frame,
    "results_frame": results_frame,
    "export": export,
}
