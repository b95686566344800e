"""Dask's cluster behind a ``distributed.Client``; nothing is imported of it that the user did not import."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from collections.abc import Callable
from typing import Any

from foregsyte_kaggle.errors import InvalidArgumentError, RunError
from foregsyte_kaggle.executors import hosted
from foregsyte_kaggle.executors.cluster import WorkerGoneError, refusal
from foregsyte_kaggle.executors.contract import Chunk, Events
from foregsyte_kaggle.executors.hosted import Notebook, Reply
from foregsyte_kaggle.executors.remote import RemoteEngine

__all__ = ["dask_engine", "is_dask_client"]

LOOK_SECONDS = 10.0


def is_dask_client(executor: object) -> bool:
    """Whether something is a ``distributed.Client``."""
    client = getattr(sys.modules.get("distributed"), "Client", None)
    return client is not None and isinstance(executor, client)


def dask_engine(client: Any, events: Events) -> RemoteEngine:
    """Return the engine over a client's cluster.

    Raises
    ------
    InvalidArgumentError
        If the client is an asynchronous one.
    RunError
        If it is closed, or none of its workers can run jobs.
    """
    if client.asynchronous:
        raise InvalidArgumentError(
            "this Dask client is asynchronous, and run_jobs waits for its answers; make it with "
            "Client(..., asynchronous=False)"
        )
    cluster = DaskCluster(client)
    reason = cluster.broken()
    if reason is not None:
        raise RunError(reason)
    return RemoteEngine(cluster, events)


class DaskCluster:
    """What the engine needs of Dask.

    Each chunk is a task that one worker alone may run, so that it is known where it is when that worker dies:
    Dask alone would try it again beside the same others, and blame whichever dies with it the fourth time.
    """

    name = "dask"
    label = "the Dask cluster"
    advice = "The worker's own log may say more."
    advice_on_forks = (
        "Before the cluster is made, run: "
        "dask.config.set({'distributed.worker.multiprocessing-method': 'spawn'})"
    )

    def __init__(self, client: Any) -> None:
        import dask

        self.loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        self.allowed_deaths = int(dask.config.get("distributed.scheduler.allowed-failures", 3))
        self._client = client
        self._topic = f"foregsyte-{uuid.uuid4().hex}"
        self._futures: dict[int, Any] = {}
        self._listeners: list[Callable[[tuple[Any, ...]], None]] = []
        self._wish: Any = None

    def broken(self) -> str | None:
        """Say that the client is closed, or alone."""
        status = self._client.status
        if status == "running":
            return None
        if status == "connecting":
            return "this Dask client has lost its scheduler; run_jobs goes on with a new one"
        return "this Dask client is closed; make a new one"

    async def expect(self, notebook: Notebook) -> int:
        """Ask each worker what it is."""
        found = await self.workers()
        answers: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):  # one that is busy answers later
            asked = self.ask(list(found), hosted.look, notebook)
            answers = await asyncio.wait_for(asked, LOOK_SECONDS)
        refused = [why for name in found if (why := refusal(answers.get(name), self))]
        if refused and len(refused) == len(found):
            raise RunError(f"no worker of {self.label} can run jobs: {refused[0]}")
        return sum(found.values())

    async def begin(self, listen: Callable[[tuple[Any, ...]], None]) -> None:
        """Listen to a topic of Dask's events."""
        listeners = self._listeners = [listen]
        self._client.subscribe_topic(
            self._topic, lambda event: [told(event[1]) for told in listeners]
        )

    async def end(self) -> None:
        """Leave the topic."""
        self._wish = None
        self._listeners.clear()  # since the client keeps the handler, and with it would keep the run
        self._client.unsubscribe_topic(self._topic)

    async def workers(self) -> dict[str, int]:
        """Ask the scheduler; while it has none, a task waits there, since adaptive clusters start at one."""
        found = dict(await self._client.nthreads())
        # Not one that is paused since its memory is nearly full, or is about to leave.
        running = await self._client.scheduler.ncores_running()
        found = {name: threads if name in running else 0 for name, threads in found.items()}
        if found:
            self._wish = None  # which releases it
        elif self._listeners and self._wish is None:
            key = f"foregsyte-waits-{uuid.uuid4().hex}"
            self._wish = self._client.submit(int, pure=False, key=key)
        return found

    async def ask(
        self, workers: list[str], function: Callable[..., Any], *arguments: Any
    ) -> dict[str, Any]:
        """Call it in the workers' event loops, which are not the threads that run jobs."""
        if not workers:
            return {}
        answers = await self._client.run(function, *arguments, workers=workers, on_error="return")
        return dict(answers)

    async def run(self, worker: str, threads: int, chunk: Chunk, token: str) -> Reply:
        """Submit it as a task of this worker."""
        from distributed import KilledWorker

        future = self._client.submit(
            _run,
            self._topic,
            threads,
            token,
            *hosted.arguments(chunk),
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            key=f"{chunk.pipeline_id}-{uuid.uuid4().hex}",
        )
        self._futures[chunk.chunk_id] = future
        try:
            return await self._client.gather(future, asynchronous=True)  # type: ignore[no-any-return]
        except KilledWorker as error:
            raise WorkerGoneError from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise WorkerGoneError from error  # Dask's own: it was dropped, or the cluster restarted
        finally:
            if self._futures.get(chunk.chunk_id) is future:  # the chunk may be elsewhere by now
                self.drop(chunk)

    def drop(self, chunk: Chunk) -> None:
        """Release its future, which ends the wait for it."""
        future = self._futures.pop(chunk.chunk_id, None)
        if future is not None:
            future.release()


def _run(topic: str, threads: int, *arguments: Any) -> Reply:
    """Run a chunk in a worker of Dask's."""
    from distributed import get_worker

    worker = get_worker()
    return hosted.run(
        *arguments,
        name=worker.address,
        threads=threads,
        send=lambda message: worker.log_event(topic, message),
    )
