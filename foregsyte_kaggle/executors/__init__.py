"""Where pipelines run: processes of our own, threads, this thread, any executor given, or a cluster.

Every engine takes chunks and puts what happens to them into one queue of events; none of them knows the
ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from types import ModuleType
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.executors.contract import (
    OVERDUE_SECONDS,
    Chunk,
    Done,
    Engine,
    Event,
    Events,
    Lost,
    Part,
    Progress,
    Started,
)
from foregsyte_kaggle.executors.dask import dask_engine, is_dask_client
from foregsyte_kaggle.executors.devices import as_devices
from foregsyte_kaggle.executors.futures import FutureEngine
from foregsyte_kaggle.executors.local import InlineEngine, ThreadEngine
from foregsyte_kaggle.executors.processes import ProcessEngine
from foregsyte_kaggle.executors.ray import is_ray, ray_engine

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "OVERDUE_SECONDS",
    "Chunk",
    "Done",
    "Engine",
    "Event",
    "Events",
    "InlineEngine",
    "Lost",
    "Part",
    "Progress",
    "Started",
    "as_devices",
    "make_engine",
]


def make_engine(
    executor: str | Executor | Client | ModuleType,
    workers: int,
    events: Events,
    job_timeout: float | None,
    *,
    devices: Sequence[str] | None = None,
    recycle_after: int | None = None,
) -> Engine:
    """Return the engine that an ``executor=`` argument asks for.

    Raises
    ------
    InvalidArgumentError
        If it is unknown, or cannot do what is asked of its workers, as end a job that takes too long.
    RunError
        If its workers would be forked from this process, which holds the ledger, or it takes no work.
    """
    if executor == "processes":
        return ProcessEngine(workers, events, job_timeout, devices or (), recycle_after)
    is_cluster = is_dask_client(executor) or is_ray(executor)
    named = "a cluster" if is_cluster else repr(executor)
    if job_timeout is not None:
        raise InvalidArgumentError(
            f"job_timeout={job_timeout:g} needs executor='processes': a job on {named} cannot be killed"
        )
    if devices is not None:
        why = (
            "its workers have the GPUs that they were started with"
            if is_cluster
            else "a thread cannot be given its own GPU"
        )
        raise InvalidArgumentError(
            f"devices= with executor={executor!r}: {why}; use executor='processes'"
        )
    if recycle_after is not None:
        raise InvalidArgumentError(
            f"recycle_after={recycle_after} needs executor='processes': the workers of {named} cannot "
            "be replaced"
        )
    if executor == "threads":
        return ThreadEngine(workers, events)
    if executor == "inline":
        return InlineEngine(events)
    if is_ray(executor):
        return ray_engine(events)
    if is_dask_client(executor):
        return dask_engine(executor, events)
    if isinstance(executor, Executor):
        return FutureEngine(executor, workers, events)
    raise InvalidArgumentError(
        f"executor={executor!r} is unknown; expected 'processes', 'threads', 'inline', 'ray', a "
        "concurrent.futures.Executor or a Dask client"
    )
