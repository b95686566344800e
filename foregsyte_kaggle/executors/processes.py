"""The engine of worker processes, which survives whatever a job does to its process."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

from foregsyte_kaggle.executors.contract import (
    Chunk,
    Done,
    Events,
    Lost,
    Progress,
    Started,
    dump_target,
    unreadable,
)
from foregsyte_kaggle.executors.guard import Guard
from foregsyte_kaggle.executors.workers import WorkerEnd, WorkerProcess

__all__ = ["ProcessEngine"]

#: How long an idle worker may take to end when it is let go.
CLOSE_SECONDS = 5.0
#: How long after its end what a worker sent may still be on its way.
DRAIN_SECONDS = 2.0


class ProcessEngine:
    """Worker processes of our own, each started by a command, so that none is forked from this one.

    A worker that dies takes only the chunk it worked on; those that waited in it go to others.
    """

    name = "processes"

    def __init__(self, workers: int, events: Events, job_timeout: float | None) -> None:
        self.workers = workers
        self._events = events
        self._job_timeout = job_timeout
        self._pipelines: dict[str, tuple[bytes, str]] = {}
        self._running: list[WorkerProcess] = []
        self._guard: Guard | None = None
        self._lock = threading.RLock()
        self._closing = False

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Keep the bytes that workers make the pipeline from."""
        self._pipelines[pipeline_id] = (dump_target(pipeline_id, target), folder)

    def submit(self, chunk: Chunk) -> None:
        """Give a chunk to the worker that has least, or to a new one."""
        pipeline_id = chunk.pipeline_id
        with self._lock:
            usable = [one for one in self._running if one.is_usable]
            worker = min(usable, key=lambda one: len(one.chunks), default=None)
            if worker is None or (worker.chunks and len(usable) < self.workers):
                worker = self._start()
            worker.chunks.append(chunk)
            if pipeline_id not in worker.known:
                worker.known.add(pipeline_id)
                worker.send(("pipeline", pipeline_id, *self._pipelines[pipeline_id]))
            worker.send(("run", chunk.chunk_id, pipeline_id, chunk.tasks, chunk.time_box))

    def check(self) -> None:
        """Kill what takes too long, notice who died, and keep their output small."""
        now = time.monotonic()
        with self._lock:
            workers = list(self._running)
        for worker in workers:
            worker.limit_output()
            if worker.has_ended():
                self._check_ended(worker, now)
                continue
            with self._lock:
                if self._job_timeout is None or worker.began is None or not worker.chunks:
                    continue
                allowed = self._job_timeout + (worker.chunks[0].time_box or 0.0)
                if now - worker.began > allowed:
                    worker.timed_out = worker.chunks[0]
                    worker.kill()

    def hold(self) -> None:
        """Do nothing: what waits in a worker is short, and ends in the moment that a Stop gives."""

    def close(self, *, kill: bool) -> None:
        """End all workers; those that work only with ``kill``."""
        with self._lock:
            self._closing = True
            workers = list(self._running)
        for worker in workers:
            if kill:
                worker.kill()
            worker.let_go()
        for worker in workers:
            worker.listener.join(timeout=CLOSE_SECONDS)
            if worker.listener.is_alive():
                worker.kill()
                worker.listener.join(timeout=DRAIN_SECONDS)
                self._bury(worker)
        if self._guard is not None:
            self._guard.close()

    def _start(self) -> WorkerProcess:
        if self._guard is None:
            self._guard = Guard()
        worker = WorkerProcess(self._listen)
        self._guard.watch(worker.pid)
        self._running.append(worker)
        worker.listener.start()
        return worker

    def _check_ended(self, worker: WorkerProcess, now: float) -> None:
        """Make sure that the end of a worker is noticed, whoever else holds its pipe open.

        A child that a job forked does, as those of a torch DataLoader.
        """
        if worker.ended_at is None:
            worker.ended_at = now
            worker.kill()
        elif now - worker.ended_at > DRAIN_SECONDS:
            self._bury(worker)

    def _listen(self, worker: WorkerProcess) -> None:
        """Turn what one worker says into events, until it is gone."""
        while (data := worker.receive()) is not None and not worker.is_buried:
            message = pickle.loads(data)
            if message[0] == "progress":
                self._events.put(Progress(message[1], message[2]))
            elif message[0] == "started":
                with self._lock:
                    worker.began = time.monotonic()
                    begun = worker.chunks[0]
                self._events.put(Started(begun))
            elif message[0] == "leaving":
                worker.is_leaving = True
            else:
                self._take_reply(worker, message)
        self._bury(worker)
        worker.close_pipe()

    def _take_reply(self, worker: WorkerProcess, message: tuple[Any, ...]) -> None:
        with self._lock:
            if worker.is_buried:
                return
            worker.began = None
            chunk = worker.chunks.popleft()
        if message[0] == "unloadable":
            self._events.put(Lost(chunk, "unloadable", message[2], message[3]))
            return
        try:
            outcomes = pickle.loads(message[2])
        except BaseException as error:
            self._events.put(Lost(chunk, "failed", unreadable(error), worker=str(worker.pid)))
        else:
            self._events.put(Done(chunk, outcomes))

    def _bury(self, worker: WorkerProcess) -> None:
        """Tell what became of the chunks of a worker that is gone."""
        with self._lock:
            if worker.is_buried:
                return
            worker.is_buried = True
            if worker in self._running:
                self._running.remove(worker)
            chunks, began = list(worker.chunks), worker.began
            worker.chunks.clear()
        if self._guard is not None:
            self._guard.forget(worker.pid)
        how = worker.end()
        if not chunks:
            return
        if not self._closing and not worker.is_leaving:
            lost = self._lost(worker, chunks[0], began, how)
            if lost is not None:
                self._events.put(lost)
                del chunks[0]
        for chunk in chunks:
            self._events.put(Done(chunk, []))

    def _lost(
        self, worker: WorkerProcess, chunk: Chunk, began: float | None, how: WorkerEnd
    ) -> Lost | None:
        """Say why a chunk is lost; None where its worker was killed for the one before."""
        outcome, reason = "died", how.reason(began=began is not None)
        if worker.timed_out is not None:
            if worker.timed_out is not chunk:
                return None
            outcome = "timeout"
            reason = f"it took longer than job_timeout={self._job_timeout} s and was killed"
        seconds = time.monotonic() - began if began is not None else 0.0
        has_begun = began is not None
        return Lost(
            chunk, outcome, reason, how.output, seconds, began=has_begun, worker=str(worker.pid)
        )
