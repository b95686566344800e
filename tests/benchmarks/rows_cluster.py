"""Clusters: what a job costs beside the bare map of the cluster's own, and what waits in its scheduler.

The cluster is two worker processes of this machine with a thread each, started once for all rounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

import foregsyte_kaggle as fk
from tests.benchmarks import inputs, pipelines
from tests.benchmarks.measuring import Bar, Bench, Row, seconds, timed

WORKERS = 2
#: What a job may cost more than in the bare map.
MORE_SECONDS = 50e-6
Floor = Callable[[Callable[[str], Any], list[str]], None]


def dask(bench: Bench) -> list[Row]:
    if find_spec("distributed") is None:
        return [Row("dask", "Dask", note="needs the extra dask")]
    with dask_client() as client:

        def bare(function: Callable[[str], Any], texts: list[str]) -> None:
            client.gather(client.map(function, texts, pure=False))

        return _rows(bench, "dask", client, bare, "client.map")


def ray(bench: Bench) -> list[Row]:
    if find_spec("ray") is None:
        return [Row("ray", "Ray", note="needs the extra ray")]
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)

    def bare(function: Callable[[str], Any], texts: list[str]) -> None:
        remote = ray.remote(function)
        ray.get([remote.remote(text) for text in texts])

    try:
        return _rows(bench, "ray", "ray", bare, "a remote function for each")
    finally:
        ray.shutdown()


def _rows(bench: Bench, name: str, executor: Any, bare: Floor, how: str) -> list[Row]:
    return [
        _run(bench, name, executor, partial(bare, function), how, function, count)
        for function, count in (
            (pipelines.trivial, bench.size(2_000, 10_000)),
            (pipelines.five_milliseconds, bench.size(400, 2_000)),
            (pipelines.twenty_milliseconds, bench.size(200, 1_000)),
        )
    ]


def _run(
    bench: Bench,
    name: str,
    executor: Any,
    bare: Callable[[list[str]], None],
    how: str,
    function: Callable[[str], Any],
    count: int,
) -> Row:
    texts = inputs.ids(count).column("id").to_pylist()
    fk.pipeline("measured")(function)

    def figure() -> float:
        with inputs.workspace(bench.scratch):
            fk.register_jobs(inputs.ids(count), "measured", name="inputs")
            taken = seconds(partial(fk.run_jobs, "measured", executor=executor))
            if len(fk.results_frame("measured")) != count:
                raise RuntimeError("results are missing")
            return taken

    row = Row(
        name,
        f"run {count:,} {function.__name__.replace('_', ' ')} jobs on {name}, bar on, all durable",
        f"{how}, one call a job",
        bar=Bar(more=MORE_SECONDS * count),
        count=count,
    )
    return bench.compare(row, timed(partial(bare, texts)), figure, warm_up=True)


def scheduler(bench: Bench) -> list[Row]:
    """Not a time: the most tasks that Dask's scheduler held at once, beside two for each thread."""
    if find_spec("distributed") is None:
        return [Row("scheduler", "Dask", note="needs the extra dask")]
    waiting, run = bench.size(100_000, 1_000_000), 5_000
    fk.pipeline("trivial")(pipelines.trivial)
    folder = inputs.copied(inputs.pending_jobs(bench.folder, waiting), bench.scratch)
    with dask_client() as client, inputs.opened(folder):
        tasks, most, is_over = client.cluster.scheduler.tasks, [0], threading.Event()

        def watch() -> None:
            while not is_over.wait(0.001):
                most[0] = max(most[0], len(tasks))

        watcher = threading.Thread(target=watch)
        watcher.start()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            fk.run_jobs("trivial", executor=client, limit=run, progress=False)
        is_over.set()
        watcher.join()
    row = Row(
        "scheduler",
        f"most tasks in Dask's scheduler while {waiting:,} jobs wait",
        "two for each thread",
        2.0 * WORKERS,
        float(most[0]),
        Bar(times=1.0, unit="tasks"),
        rounds=1,
    )
    return [row]


@contextmanager
def dask_client() -> Iterator[Any]:
    """Give the client of a new cluster."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


ROWS = {"dask": dask, "ray": ray, "scheduler": scheduler}
