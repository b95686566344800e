"""The engine over the workers of somebody else's cluster, whatever runs it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.executors import hosted
from foregsyte_kaggle.executors.answers import read_part, read_rest
from foregsyte_kaggle.executors.cluster import Cluster, WorkerGoneError
from foregsyte_kaggle.executors.contract import (
    Chunk,
    Done,
    Events,
    Lost,
    Part,
    Progress,
    Started,
    dump_target,
)
from foregsyte_kaggle.executors.placing import Host, Placed, Placing
from foregsyte_kaggle.executors.roster import Roster
from foregsyte_kaggle.executors.tasks import Tasks
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.worker import describe

__all__ = ["RemoteEngine"]

LOOK_SECONDS = 0.25
ASK_SECONDS = 30.0
CLOSE_SECONDS = 5.0


class RemoteEngine:
    """The workers of a cluster, which stays its owner's.

    Everything but the calls of ``Engine`` happens in the cluster's event loop, so that nothing is locked.
    Workers are looked for all the time: jobs go to those that come, and away from those that die.
    """

    #: A chunk's way to a worker and back takes tens of milliseconds, so longer jobs share one too.
    short_job_seconds = 0.05

    def __init__(self, cluster: Cluster, events: Events) -> None:
        self.name = cluster.name
        self._label = cluster.label
        self._cluster = cluster
        self._events = events
        self._token = uuid.uuid4().hex
        self._placing = Placing(cluster.allowed_deaths)
        self._tasks = Tasks(self._fail)
        self._roster = Roster(
            cluster,
            self._placing,
            self._tasks,
            self._token,
            on_ready=self._place,
            on_none=self._break,
        )
        self._begun: set[tuple[str, str]] = set()
        self._in_flight: dict[int, Chunk] = {}
        self._is_held = self._is_closed = self._has_said = self._is_watching = False
        self._carries: set[asyncio.Task[None]] = set()
        expected = self._wait_for(cluster.expect(self._roster.notebook))
        self.workers = max(1, expected)
        self._has_no_worker = not expected

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Keep the bytes that workers make the pipeline from; each is sent them once."""
        self._roster.add_pipeline(pipeline_id, dump_target(pipeline_id, target), folder)

    def submit(self, chunk: Chunk) -> None:
        """Keep a chunk until a worker has room for it."""
        reason = self._cluster.broken()
        if reason is not None:
            raise RunError(reason)
        self._in_flight[chunk.chunk_id] = chunk
        self._later(self._take, chunk)

    def check(self) -> None:
        """Say what keeps all jobs waiting, and give up when the cluster is gone."""
        if self._has_no_worker and not self._has_said:
            self._has_said = True
            say(f"{self._label} has no worker now; the run waits for one")
        reason = self._cluster.broken()
        if reason is not None:
            self._break(reason)

    def hold(self) -> None:
        """Take back what has not begun, in the workers too."""
        self._later(self._hold)

    def close(self, *, kill: bool) -> None:  # noqa: ARG002 - what works in a cluster cannot be killed
        """Leave the cluster to its owner; what still works there is dropped."""
        self._is_closed = True
        if self._cluster.broken() is None:
            with contextlib.suppress(
                Exception
            ):  # what it cannot be told any more, it need not know
                self._wait_for(self._leave(), CLOSE_SECONDS)

    # In the calling thread

    def _wait_for(self, work: Coroutine[Any, Any, Any], seconds: float = ASK_SECONDS) -> Any:
        waited = asyncio.run_coroutine_threadsafe(work, self._cluster.loop)
        try:
            return waited.result(seconds)
        except TimeoutError as error:
            waited.cancel()
            raise RunError(f"{self._label} did not answer in {seconds:g} s") from error

    def _later(self, act: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, which `check` notices
            self._cluster.loop.call_soon_threadsafe(act, *arguments)

    # In the loop

    def _take(self, chunk: Chunk) -> None:
        if self._is_closed:
            return
        if not self._is_watching:
            self._is_watching = True
            self._tasks.start(self._watch())
        if self._is_held:
            self._finish(Done(chunk, []))
            return
        self._placing.add(chunk)
        self._place()

    def _place(self) -> None:
        for host, chunk in self._placing.place():
            task = self._tasks.start(self._carry(host, self._placing.note(host, chunk)))
            self._carries.add(task)
            task.add_done_callback(self._carries.discard)

    async def _carry(self, host: Host, placed: Placed) -> None:
        """Have a chunk run, and take what comes of it."""
        chunk = placed.chunk
        try:
            reply = await self._cluster.run(host.name, max(1, host.threads), chunk, self._token)
            if placed.asking is not None:  # what it said before comes first
                await asyncio.wait([placed.asking])
        except Exception as error:
            if self._cluster.broken() is not None:  # no job's fault, and `check` says it
                return
            why = "" if isinstance(error, WorkerGoneError) else f" ({describe(error)})"
            if self._placing.release(host, placed):
                self._lose(host, placed, why)
                self._place()
            return
        if not self._placing.release(host, placed):
            return
        if reply[0] == "unknown":
            self._lose(host, placed)
        elif reply[0] == "unloadable":
            self._finish(Lost(chunk, "unloadable", reply[1], reply[2]))
        else:
            self._placing.clear(placed.positions)
            self._finish(read_rest(placed, reply[1], self._roster.folder(chunk.pipeline_id)))
        self._place()

    def _lose(self, host: Host, placed: Placed, why: str = "") -> None:
        """Have a job whose worker died tried again, or tell that it is the job's fault."""
        chunk, seconds = placed.chunk, time.monotonic() - placed.since
        host.is_ready = False  # until it is known to live, and told anew
        deaths = self._placing.note_death(placed)
        has_begun = any(begun == chunk.pipeline_id for _, begun in self._begun)
        # Where no worker began yet, perhaps none can, which the loop counts; one death counts once.
        may_retry = deaths is not None and (
            self._placing.may_retry(deaths) if has_begun else not deaths
        )
        # Of one that came back in part the loop has jobs, perhaps already in other chunks.
        if placed.is_whole and may_retry:
            self._again(chunk)
            return
        is_known = (host.name, chunk.pipeline_id) in self._begun
        when = "ran this job" if is_known else "started, or built the pipeline"
        times = f" ({deaths} of its workers did)" if deaths is not None and deaths > 1 else ""
        reason = (
            f"its worker {host.name} died while it {when}{times}{why}, or its machine was lost: most likely it "
            f"ran out of memory, or a native library crashed. {self._cluster.advice}"
        )
        began = placed.is_whole and (has_begun or deaths is None)
        self._finish(Lost(chunk, "died", reason, seconds=seconds, began=began, worker=host.name))

    def _again(self, chunk: Chunk) -> None:
        if self._is_held:
            self._finish(Done(chunk, []))
        else:
            self._placing.add(chunk)

    def _finish(self, event: Done | Lost) -> None:
        if self._in_flight.pop(event.chunk.chunk_id, None) is not None:
            self._events.put(event)

    def _break(self, reason: str) -> None:
        for chunk in list(self._in_flight.values()):
            self._finish(Lost(chunk, "broken", reason))

    def _fail(self, why: str) -> None:
        """End the run where a task failed, since a chunk may wait for it."""
        if not self._is_closed:
            reason = f"what waits for {self._label} failed: {why}"
            self._break(self._cluster.broken() or reason)

    def _listen(self, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if self._is_closed:
            return
        if kind == "progress":
            self._events.put(Progress(rest[0], rest[1]))
        elif kind == "begun":
            name, pipeline_id = rest
            self._begun.add((name, pipeline_id))
            host = self._placing.hosts.get(name)
            for placed in host.placed if host is not None else ():
                if placed.chunk.pipeline_id == pipeline_id:
                    self._events.put(Started(placed.chunk))
                    break

    # Looking after workers

    async def _watch(self) -> None:
        worked_at, is_listening = time.monotonic(), False
        while not self._is_closed and self._cluster.broken() is None:
            try:
                if not is_listening:
                    await self._cluster.begin(self._listen)
                    is_listening = True
                self._compare(await asyncio.wait_for(self._cluster.workers(), ASK_SECONDS))
                self._place()
                self._ask_what_takes_long()
                worked_at = time.monotonic()
            except Exception as error:
                # It may be on its way back, as when a scheduler is too busy to answer.
                if time.monotonic() - worked_at > ASK_SECONDS:
                    why = f"{type(error).__name__}: {describe(error)}"
                    self._break(f"{self._label} does not answer: {why}")
            await asyncio.sleep(LOOK_SECONDS)

    def _compare(self, found: dict[str, int]) -> None:
        """Note which workers came and went."""
        for host in self._roster.remove_missing(found):
            for placed in list(host.placed):
                self._placing.release(host, placed)
                self._cluster.drop(placed.chunk)
                self._lose(host, placed)
        self._roster.take(found)
        self._has_no_worker = not any(host.threads for host in self._placing.hosts.values())
        self.workers = max(1, self._placing.threads)

    # Taking back

    def _ask_what_takes_long(self) -> None:
        for host in self._placing.hosts.values():
            late = self._placing.overdue(host, LOOK_SECONDS)
            if len(host.placed) <= host.threads:  # nothing waits behind a chunk of one
                for placed in [one for one in late if len(one.positions) == 1]:
                    placed.was_asked = True
                    late.remove(placed)
                    self._events.put(Part(placed.chunk, [], 0))
            if late:
                self._ask(host, late, hold=False)

    def _ask(self, host: Host, chosen: list[Placed], *, hold: bool) -> None:
        asking = self._tasks.start(self._take_back(host, chosen, hold=hold))
        for placed in chosen:
            placed.was_asked, placed.asking = True, asking

    async def _take_back(self, host: Host, chosen: list[Placed], *, hold: bool) -> None:
        ids = [placed.chunk.chunk_id for placed in chosen]
        given: Any = None
        with contextlib.suppress(Exception):
            answers = await self._cluster.ask([host.name], hosted.give_back, self._token, ids, hold)
            given = answers.get(host.name)
        if not isinstance(given, dict):  # most likely it died, which is noticed elsewhere
            for placed in chosen:
                placed.was_asked = False
            return
        for placed in chosen:
            if placed not in host.placed or placed.chunk.chunk_id not in given:
                continue
            answer = given[placed.chunk.chunk_id]
            if answer is None:
                self._placing.release(host, placed)
                self._cluster.drop(placed.chunk)
                self._finish(Done(placed.chunk, []))
            else:
                packed, returned = answer
                folder = self._roster.folder(placed.chunk.pipeline_id)
                part = read_part(placed, packed, returned, folder)
                if part is not None:
                    self._events.put(part)
        self._place()

    def _hold(self) -> None:
        self._is_held = True
        for chunk in self._placing.take_waiting():
            self._finish(Done(chunk, []))
        for host in self._placing.hosts.values():
            if host.is_ready:
                self._ask(host, list(host.placed), hold=True)

    async def _leave(self) -> None:
        self._placing.take_waiting()
        # Those that carry chunks end with them; cancelled, they would take with them what Dask gathers for others.
        self._tasks.cancel(but=self._carries)
        for host in self._placing.hosts.values():
            for placed in list(host.placed):
                self._placing.release(host, placed)
                self._cluster.drop(placed.chunk)
        names = list(self._placing.hosts)
        with contextlib.suppress(Exception):  # one that is stuck, or gone
            await asyncio.wait_for(
                self._cluster.ask(names, hosted.forget, self._token), CLOSE_SECONDS / 2
            )
        await self._cluster.end()
