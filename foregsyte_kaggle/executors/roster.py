"""Which workers of a cluster a run has: they come and go, and each is sent the run's pipelines once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from foregsyte_kaggle.executors import hosted
from foregsyte_kaggle.executors.cluster import Cluster, refusal
from foregsyte_kaggle.executors.hosted import Facts, Notebook
from foregsyte_kaggle.executors.placing import Host, Placing
from foregsyte_kaggle.executors.tasks import Tasks
from foregsyte_kaggle.notices import say

__all__ = ["Roster"]

TELL_SECONDS = 10.0
#: At so many bytes a second large constants reach workers, at least.
TELL_BYTES_PER_SECOND = 10_000_000
#: All workers together send no more messages of progress a second.
MESSAGES_PER_SECOND = 100


class Roster:
    """The workers that a run found, and those of them that it cannot use.

    Parameters
    ----------
    cluster
        Whose workers they are.
    placing
        Gives chunks to those that know the pipelines.
    tasks
        Has what is awaited go on beside.
    token
        The run's name in the workers.
    on_ready
        Called when workers know the pipelines.
    on_none
        Told why no worker can be used.
    """

    def __init__(
        self,
        cluster: Cluster,
        placing: Placing,
        tasks: Tasks,
        token: str,
        *,
        on_ready: Callable[[], None],
        on_none: Callable[[str], None],
    ) -> None:
        self.notebook = Notebook.here()
        self._cluster = cluster
        self._placing = placing
        self._tasks = tasks
        self._token = token
        self._on_ready = on_ready
        self._on_none = on_none
        self._pipelines: dict[str, tuple[bytes, str]] = {}
        self._refused: dict[str, str] = {}

    def add_pipeline(self, pipeline_id: str, payload: bytes, folder: str) -> None:
        """Keep what workers make a pipeline from, and the folder of its outputs."""
        self._pipelines[pipeline_id] = (payload, folder)

    def folder(self, pipeline_id: str) -> str:
        """Return the folder of a pipeline's outputs."""
        return self._pipelines[pipeline_id][1]

    def remove_missing(self, found: dict[str, int]) -> list[Host]:
        """Forget and return the workers that are not found any more."""
        return [self._placing.remove(name) for name in self._placing.hosts.keys() - found.keys()]

    def take(self, found: dict[str, int]) -> None:
        """Note the workers that came, and how many jobs each takes; tell those that are not ready."""
        hosts = self._placing.hosts
        for name in found.keys() - hosts.keys() - self._refused.keys():
            hosts[name] = Host(name, found[name])
        for name, host in hosts.items():
            self._placing.set_threads(host, found[name])
        unready = [name for name, host in hosts.items() if not host.is_ready and not host.is_told]
        if unready:
            for name in unready:
                hosts[name].is_told = True
            self._tasks.start(self._tell(unready))

    async def _tell(self, names: list[str]) -> None:
        """Send workers the pipelines, once each."""
        interval = max(0.1, len(self._placing.hosts) / MESSAGES_PER_SECOND)
        told = (hosted.learn, self.notebook, self._token, self._pipelines, interval)
        size = sum(len(payload) for payload, _ in self._pipelines.values()) * len(names)
        patience = TELL_SECONDS + size / TELL_BYTES_PER_SECOND
        answers: dict[str, Any] = {}
        try:
            # One by itself takes what time it needs, since nobody waits for it.
            asked = self._cluster.ask(names, *told)
            answers = await asyncio.wait_for(asked, patience if len(names) > 1 else None)
        except TimeoutError:  # one that is stuck must not keep the others waiting
            for name in names:
                self._tasks.start(self._tell([name]))
            return
        except Exception as error:  # most likely the cluster is gone, which is noticed elsewhere
            answers = dict.fromkeys(names, OSError(str(error)))
        for name in names:
            host = self._placing.hosts.get(name)
            if host is None:
                continue
            host.is_told = False
            answer = answers.get(name)
            why = refusal(answer, self._cluster)
            if why is None:
                host.is_ready = isinstance(answer, Facts)
            elif not host.placed:
                self._refuse(name, why)
        self._on_ready()

    def _refuse(self, name: str, why: str) -> None:
        self._refused[name] = why
        self._placing.remove(name)
        if self._placing.hosts:
            say(f"the worker {name} of {self._cluster.label} is left out: {why}")
        else:
            self._on_none(f"no worker of {self._cluster.label} can run jobs: {why}")
