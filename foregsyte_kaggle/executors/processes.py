"""The engine of worker processes, which survives whatever a job does to its process."""

from __future__ import annotations

import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from foregsyte_kaggle.executors.contract import (
    OVERDUE_SECONDS,
    Chunk,
    Done,
    Events,
    Lost,
    Part,
    Progress,
    Started,
    dump_target,
    unreadable,
)
from foregsyte_kaggle.executors.guard import Guard
from foregsyte_kaggle.executors.workers import WorkerEnd, WorkerProcess
from foregsyte_kaggle.worker import Outcome

__all__ = ["ProcessEngine"]

#: How long an idle worker may take to end when it is let go.
CLOSE_SECONDS = 5.0
#: How long after its end what a worker sent may still be on its way.
DRAIN_SECONDS = 2.0


class ProcessEngine:
    """Worker processes of our own, each started by a command, so that none is forked from this one.

    A worker that dies takes only the chunk it worked on; those that waited in it go to others. So do those
    that wait behind a long job, unless it is in native code that lets no other thread of Python run.
    """

    name = "processes"

    def __init__(
        self,
        workers: int,
        events: Events,
        job_timeout: float | None = None,
        devices: Sequence[str] = (),
        recycle_after: int | None = None,
    ) -> None:
        self.workers = workers
        self._events = events
        self._job_timeout = job_timeout
        self._devices = devices
        self._recycle_after = recycle_after
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
            worker = min(usable, key=lambda one: (one.is_overdue, len(one.chunks)), default=None)
            if worker is None or (worker.chunks and len(usable) < self.workers):
                worker = self._start()
            worker.chunks.append(chunk)
            worker.overdue = None  # so that it is asked again
            if pipeline_id not in worker.known:
                worker.known.add(pipeline_id)
                worker.send(("pipeline", pipeline_id, *self._pipelines[pipeline_id]))
            worker.send(
                ("run", chunk.chunk_id, pipeline_id, chunk.tasks, chunk.time_box, chunk.is_batch)
            )

    def check(self) -> None:
        """Kill what takes too long, take back what waits behind it, and notice who died."""
        now = time.monotonic()
        with self._lock:
            workers = list(self._running)
        for worker in workers:
            worker.limit_output()
            if worker.has_ended():
                self._check_ended(worker, now)
                continue
            with self._lock:
                if worker.began is not None and worker.chunks:
                    self._check_time(worker, now - worker.began)

    def _check_time(self, worker: WorkerProcess, seconds: float) -> None:
        current = worker.chunks[0]
        boxed = current.time_box or 0.0
        if self._job_timeout is not None and seconds > self._job_timeout * worker.together + boxed:
            worker.timed_out = current
            worker.kill()
        elif seconds > boxed + OVERDUE_SECONDS and not worker.is_overdue:
            worker.send(("give back",))
            worker.overdue = current

    def hold(self) -> None:
        """Have all workers give back what has not begun."""
        with self._lock:
            for worker in self._running:
                worker.send(("give back",))

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
        slot = self._free_slot()
        device = None if slot is None else self._devices[slot]
        worker = WorkerProcess(self._listen, slot, device, self._recycle_after, self.workers)
        self._guard.watch(worker.pid)
        self._running.append(worker)
        worker.listener.start()
        return worker

    def _free_slot(self) -> int | None:
        """Return the device that has the fewest workers, by its number; the first of several."""
        used = Counter(worker.slot for worker in self._running if worker.is_usable)
        return min(range(len(self._devices)), key=lambda slot: used[slot], default=None)

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
                    worker.began, worker.together = time.monotonic(), message[2]
                    begun = worker.chunks[0]
                self._events.put(Started(begun))
            elif message[0] == "leaving":
                worker.is_leaving = True
            else:
                self._take_reply(worker, message)
        self._bury(worker)
        worker.close_pipe()

    def _take_reply(self, worker: WorkerProcess, message: tuple[Any, ...]) -> None:
        kind, chunk_id, *rest = message
        with self._lock:
            if worker.is_buried:
                return
            chunk = next(one for one in worker.chunks if one.chunk_id == chunk_id)
            if kind != "part":
                if chunk is worker.chunks[0]:
                    worker.began = None
                worker.chunks.remove(chunk)
        if kind == "part":
            outcomes = [_unpack(worker, *packed) for packed in rest[0]]
            self._events.put(Part(chunk, outcomes, rest[1]))
        elif kind == "unloadable":
            self._events.put(Lost(chunk, "unloadable", rest[0], rest[1]))
        elif rest[1] is not None:
            position, paths = rest[1]
            self._events.put(Done(chunk, [_unpack(worker, position, rest[0], paths)]))
        else:
            try:
                self._events.put(Done(chunk, pickle.loads(rest[0])))
            except BaseException as error:
                self._events.put(Lost(chunk, "failed", unreadable(error), worker=str(worker.pid)))

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
        has_left = worker.is_leaving and worker.timed_out is None
        if not self._closing and not has_left:
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
            reason = f"it took longer than job_timeout={self._job_timeout:g} s and was killed"
        seconds = time.monotonic() - began if began is not None else 0.0
        has_begun = began is not None
        return Lost(
            chunk, outcome, reason, how.output, seconds, began=has_begun, worker=str(worker.pid)
        )


def _unpack(
    worker: WorkerProcess, position: int, packed: bytes, output_paths: list[str] | None
) -> Outcome:
    try:
        (outcome,) = pickle.loads(packed)
    except BaseException as error:
        return Outcome(
            position,
            "failed",
            time.time(),
            0.0,
            None,
            "ResultError",
            unreadable(error),
            output_paths=output_paths,
            worker=str(worker.pid),
        )
    else:
        return outcome  # type: ignore[no-any-return]
