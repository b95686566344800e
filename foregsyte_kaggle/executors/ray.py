"""Ray's cluster: an actor of ours for each of its processors, made when a run begins and ended with it."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from foregsyte_kaggle.errors import MissingExtraError, RunError
from foregsyte_kaggle.executors import hosted
from foregsyte_kaggle.executors.cluster import WorkerGoneError
from foregsyte_kaggle.executors.contract import Chunk, Events
from foregsyte_kaggle.executors.hosted import Notebook, Reply
from foregsyte_kaggle.executors.remote import RemoteEngine

__all__ = ["is_ray", "ray_engine"]

ALLOWED_DEATHS = 3
#: So many actors in a row that cannot be started end the run.
FAILED_STARTS = 3
#: How long an actor that has nothing to say is waited for before it is asked again.
SILENCE_SECONDS = 5.0


def is_ray(executor: object) -> bool:
    """Whether something is ``"ray"``, or Ray's module."""
    is_module = isinstance(executor, ModuleType) and executor is sys.modules.get("ray")
    return is_module or (isinstance(executor, str) and executor == "ray")


def ray_engine(events: Events) -> RemoteEngine:
    """Return the engine over the Ray cluster that this process is connected to.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    RunError
        If this process is not connected to a cluster.
    """
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "executor='ray' needs Ray: pip install 'foregsyte-kaggle[ray]'"
        ) from error
    cluster = RayCluster()
    reason = cluster.broken()
    if reason is not None:
        raise RunError(reason)
    return RemoteEngine(cluster, events)


@cache
def _own_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="foregsyte-ray", daemon=True).start()
    return loop


class RayCluster:
    """What the engine needs of Ray."""

    name = "ray"
    label = "the Ray cluster"
    advice = "Ray's logs may say more."
    advice_on_forks = ""  # Ray starts its workers by a command

    def __init__(self) -> None:
        import ray

        self._ray: Any = ray
        self.loop = _own_loop()
        self.allowed_deaths = ALLOWED_DEATHS
        self._actors: dict[str, Any] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._listening: set[asyncio.Task[None]] = set()
        self._listen: Callable[[tuple[Any, ...]], None] | None = None
        self._failed_starts = 0
        self._why_not_started = ""

    def broken(self) -> str | None:
        """Say that this process is not connected, or no actor starts."""
        if not self._ray.is_initialized():
            return "this process is connected to no Ray cluster; call ray.init() first"
        if self._failed_starts >= FAILED_STARTS and not self._actors:
            return f"no worker of {self.label} can run jobs: {self._why_not_started}"
        return None

    async def expect(self, notebook: Notebook) -> int:  # noqa: ARG002 - none of its workers is forked
        """Return how many processors there are."""
        return await self._processors()

    async def begin(self, listen: Callable[[tuple[Any, ...]], None]) -> None:
        """Have actors started, and listen to each."""
        self._listen = listen

    async def end(self) -> None:
        """End the actors, with the jobs that still run there."""
        self._listen = None
        for task in [*self._starting, *self._listening]:
            task.cancel()
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors.clear()

    async def workers(self) -> dict[str, int]:
        """Return the actors that live, and start what is missing for one on each processor."""
        wanted = max(
            1, await self._processors()
        )  # a pending one makes Ray's autoscaler start a node
        for _ in range(wanted - len(self._actors) - len(self._starting)):
            _keep(self._starting, self._start())
        return dict.fromkeys(self._actors, 1)

    async def ask(
        self, workers: list[str], function: Callable[..., Any], *arguments: Any
    ) -> dict[str, Any]:
        """Call it in the threads of the actors that do not run jobs."""
        # Stored once, so that each machine gets large constants once.
        stored = await asyncio.to_thread(self._ray.put, arguments)
        actors = [(name, self._actors[name]) for name in workers if name in self._actors]
        answers = await asyncio.gather(
            *(_await(_beside(actor.ask, "beside").remote(function, stored)) for _, actor in actors),
            return_exceptions=True,
        )
        return {
            name: OSError(str(answer))
            if isinstance(answer, self._ray.exceptions.RayActorError)
            else answer
            for (name, _), answer in zip(actors, answers, strict=True)
        }

    async def run(self, worker: str, threads: int, chunk: Chunk, token: str) -> Reply:
        """Call it in the thread of an actor that runs jobs."""
        actor = self._actors.get(worker)
        if actor is None:
            raise WorkerGoneError
        try:
            reply: Reply = await actor.run.remote(threads, token, *hosted.arguments(chunk))
        except self._ray.exceptions.RayActorError as error:
            self._actors.pop(worker, None)
            raise WorkerGoneError from error
        else:
            return reply

    def drop(self, chunk: Chunk) -> None:
        """Let it be: what comes of it is not looked at."""

    async def _processors(self) -> int:
        found = await asyncio.to_thread(self._ray.cluster_resources)
        return int(found.get("CPU", 0))

    async def _start(self) -> None:
        make = self._ray.remote(
            num_cpus=1,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"beside": 1, "says": 1},
        )
        actor = make(_Worker).remote()
        try:
            name = await actor.meet.remote()
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            self._why_not_started = str(error)
            return
        self._failed_starts = 0
        self._actors[name] = actor
        _keep(self._listening, self._hear(name, actor))

    async def _hear(self, name: str, actor: Any) -> None:
        """Take what an actor says, until it is gone."""
        try:
            while self._listen is not None:
                for message in await _beside(actor.said, "says").remote():
                    self._listen(message)
        except self._ray.exceptions.RayError:
            self._actors.pop(name, None)


class _Worker:
    """The actor."""

    def __init__(self) -> None:
        self._name = ""
        self._said: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def meet(self) -> str:
        """Return its name."""
        import ray

        self._name = f"{ray.util.get_node_ip_address()}:{os.getpid()}"
        return self._name

    def run(self, threads: int, *arguments: Any) -> Reply:
        """Run a chunk."""
        return hosted.run(*arguments, name=self._name, threads=threads, send=self._said.put)

    def ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call a function beside the jobs."""
        return function(*arguments)

    def said(self) -> list[tuple[Any, ...]]:
        """Return what was said since it was asked last; waits for it a while."""
        try:
            heard = [self._said.get(timeout=SILENCE_SECONDS)]
            heard.extend(itertools.islice(iter(self._said.get_nowait, None), self._said.qsize()))
        except queue.Empty:
            return []
        return heard


def _beside(method: Any, group: str) -> Any:
    return method.options(concurrency_group=group)


async def _await(reference: Any) -> Any:
    return await reference


def _keep(tasks: set[asyncio.Task[None]], work: Any) -> None:
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
