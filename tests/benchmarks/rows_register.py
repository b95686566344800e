"""Registering: a folder of real files, the same again, a Parquet manifest."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import foregsyte_kaggle as fk
from tests.benchmarks import inputs
from tests.benchmarks.measuring import Bar, Bench, Row, seconds

#: The columns that registering fills, with an id that is ready.
INSERT = """
    INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at, position, source,
                      params, input_size, attempts, interruptions)
    SELECT job_id::UUID, 'pending', 'trivial', path, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC',
           number, 'inputs', {params}, {size}, 0, 0 FROM {rows}
"""


def walk(folder: str) -> tuple[list[str], list[int]]:
    """Return paths and sizes of all files below a folder: the least that knows both."""
    paths, sizes, waiting = [], [], [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                else:
                    paths.append(entry.path)
                    sizes.append(entry.stat().st_size)
    return paths, sizes


def register_files(bench: Bench) -> list[Row]:
    fk.pipeline("trivial")(lambda _path: None)
    sizes = sorted({bench.size(100_000, 100_000), bench.size(100_000, 1_000_000)})
    return [_register_files(bench, count) for count in sizes]


def _register_files(bench: Bench, count: int) -> Row:
    folder = inputs.files(bench.folder, count)
    ready = _with_ids(walk(str(folder)))

    def figure() -> float:
        with inputs.workspace(bench.scratch):
            return seconds(partial(fk.register_jobs, folder, "trivial"))

    def floor() -> float:
        walking = seconds(partial(walk, str(folder)))
        return walking + _raw_insert(
            bench.scratch, ready, INSERT.format(params="NULL", size="size", rows="ready")
        )

    row = Row(
        "register_files",
        f"register {count:,} real files, first time",
        "one os.scandir walk with sizes, and a raw INSERT … SELECT with ids ready",
        bar=Bar(times=1.5),
        count=count,
    )
    return bench.compare(row, floor, figure, warm_up=True)


def register_again(bench: Bench) -> list[Row]:
    fk.pipeline("trivial")(lambda _path: None)
    count = bench.size(100_000, 1_000_000)
    folder = inputs.files(bench.folder, count)
    with inputs.workspace(bench.scratch) as made:
        fk.register_jobs(folder, "trivial")
        ours = made.database
        with ours.reading() as cursor:
            ready = cursor.sql(
                "SELECT job_id::VARCHAR AS job_id, input_path AS path, input_size AS size FROM jobs"
            ).to_arrow_table()

        def floor() -> float:
            def join() -> None:
                with ours.reading() as cursor:
                    cursor.register("ready", ready)
                    cursor.execute(
                        "SELECT count(*) FROM ready ANTI JOIN jobs ON jobs.job_id = ready.job_id::UUID"
                    ).fetchall()
                    cursor.unregister("ready")

            return seconds(partial(walk, str(folder))) + seconds(join)

        def figure() -> float:
            return seconds(partial(fk.register_jobs, folder, "trivial"))

        row = Row(
            "register_again",
            f"register the same {count:,} files again: nothing added",
            "the walk, and one anti-join",
            bar=Bar(times=1.5),
            count=count,
        )
        return [bench.compare(row, floor, figure, warm_up=True)]


def register_parquet(bench: Bench) -> list[Row]:
    fk.pipeline("trivial")(lambda _text, start=None: None)
    return [_register_parquet(bench, with_params=False), _register_parquet(bench, with_params=True)]


def _register_parquet(bench: Bench, *, with_params: bool) -> Row:
    """The floor's file has ids, numbers and the params' JSON ready; the figure's has what a user has."""
    import pyarrow as pa
    from pyarrow import parquet

    count = bench.size(200_000, 1_000_000)
    table = inputs.ids(count)
    ready = _with_ids((table.column("id").to_pylist(), [0] * count))
    if with_params:
        starts = [number % 977 for number in range(count)]
        table = table.append_column("start", pa.array(starts))
        ready = ready.append_column("params", pa.array([f'{{"start":{one}}}' for one in starts]))
    parquet.write_table(table, bench.scratch / "manifest.parquet")
    parquet.write_table(ready, bench.scratch / "ready.parquet")
    insert = INSERT.format(
        params="params" if with_params else "NULL",
        size="NULL",
        rows=f"'{bench.scratch / 'ready.parquet'}'",
    )

    def figure() -> float:
        manifest = bench.scratch / "manifest.parquet"
        with inputs.workspace(bench.scratch):
            return seconds(partial(fk.register_jobs, manifest, "trivial", name="inputs"))

    row = Row(
        "register_parquet",
        f"register {count:,} rows of a Parquet manifest, {'one param a row' if with_params else 'ids alone'}",
        "a raw INSERT … SELECT from such a file with ids ready",
        bar=Bar(times=2),
        count=count,
    )
    return bench.compare(
        row, lambda: _raw_insert(bench.scratch, None, insert), figure, warm_up=True
    )


def _with_ids(found: tuple[list[str], list[int]]) -> Any:
    import uuid

    import pyarrow as pa

    paths, sizes = found
    return pa.table(
        {
            "job_id": [str(uuid.uuid4()) for _ in paths],
            "path": paths,
            "size": sizes,
            "number": range(1, len(paths) + 1),
        }
    )


def _raw_insert(folder: Path, ready: Any, insert: str) -> float:
    """Return how long plain duckdb takes to insert into a new, empty ledger."""
    with inputs.workspace(folder) as made:
        made.close()
        connection = inputs.plain(made.directory)
        if ready is not None:
            connection.register("ready", ready)
        taken = seconds(lambda: connection.execute(insert).fetchall())
        connection.close()
        return taken


ROWS = {
    "register_files": register_files,
    "register_again": register_again,
    "register_parquet": register_parquet,
}
