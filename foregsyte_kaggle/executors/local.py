"""Engines in this process: threads, and the calling thread."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from foregsyte_kaggle.executors.contract import (
    OVERDUE_SECONDS,
    Chunk,
    Done,
    Events,
    Lost,
    Part,
    Progress,
)
from foregsyte_kaggle.surroundings import share_processors
from foregsyte_kaggle.worker import Caller, Outcome, Teller, ThreadTails, Work, describe, run_tasks

__all__ = ["InlineEngine", "ThreadEngine", "Underway"]


class Underway:
    """The chunks that threads of this process work on, each with a caller of its own."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._targets: dict[str, tuple[Callable[..., Any], str]] = {}
        self._own = threading.local()
        self._callers: list[Caller] = []
        self._works: dict[int, tuple[Chunk, Work, float]] = {}
        self._teller = Teller(lambda position, fraction: events.put(Progress(position, fraction)))
        self.tails = ThreadTails()
        self._listening = contextlib.ExitStack()
        self.is_held = False

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Keep what each thread makes its own caller of."""
        Caller(target, folder)  # so that what is wrong with it is said now
        self._targets[pipeline_id] = (target, folder)

    def listen(self) -> None:
        """Keep what jobs print, until ``leave``."""
        self._listening.enter_context(self.tails.installed())

    def run(self, chunk: Chunk, *, interrupts: tuple[type[BaseException], ...] = ()) -> None:
        """Run a chunk in the current thread; whatever happens, its ``Done`` comes."""
        work = Work([] if self.is_held else chunk.tasks, is_batch=chunk.is_batch)
        self._works[chunk.chunk_id] = (chunk, work, time.monotonic())
        try:
            run_tasks(
                self._caller(chunk.pipeline_id),
                work,
                self.tails,
                threading.current_thread().name,
                self._teller,
                time_box=chunk.time_box,
                interrupts=interrupts,
            )
        except BaseException as error:
            if isinstance(error, interrupts):
                raise
            # Not the pipeline's: that was noted as its job's. As when there is no memory to note it.
            reason = f"a thread that runs jobs failed: {type(error).__name__}: {describe(error)}."
            self._events.put(Lost(chunk, "broken", reason))
        finally:  # also when the user's Stop comes as an exception into an inline job
            del self._works[chunk.chunk_id]
            self._events.put(Done(chunk, work.finish()))

    def give_back(self, *, overdue: bool) -> None:
        """Tell what ended of chunks, and begin no other job of them; only of those that take long."""
        now = time.monotonic()
        for chunk, work, begun in list(self._works.values()):
            if not overdue or now - begun > (chunk.time_box or 0.0) + OVERDUE_SECONDS:
                work.give_back(partial(self._part, chunk))

    def leave(self, *, working: bool) -> None:
        """Stop listening; where threads still work, what comes of it is dropped."""
        self.is_held = True
        if working:
            for caller in self._callers:
                caller.abandoned = True
        self._teller.close()
        self._listening.close()

    def _caller(self, pipeline_id: str) -> Caller:
        own: dict[str, Caller] = self._own.__dict__
        if pipeline_id not in own:
            own[pipeline_id] = Caller(*self._targets[pipeline_id])
            self._callers.append(own[pipeline_id])
        return own[pipeline_id]

    def _part(self, chunk: Chunk, ended: list[Outcome], returned: int) -> None:
        self._events.put(Part(chunk, ended, returned))


class ThreadEngine:
    """Threads of this process; a job in one cannot be killed."""

    name = "threads"

    def __init__(self, workers: int, events: Events) -> None:
        self.workers = workers
        self._chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._underway = Underway(events)
        self._threads: list[threading.Thread] = []

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Keep what each thread makes its own caller of."""
        self._underway.add_pipeline(pipeline_id, target, folder)

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk, and start another thread while there are too few."""
        if not self._threads:
            self._underway.listen()
        self._chunks.put(chunk)
        if len(self._threads) < self.workers:
            name = f"foregsyte-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def check(self) -> None:
        """Take jobs back from chunks that take long."""
        self._underway.give_back(overdue=True)

    def hold(self) -> None:
        """Take all jobs back that have not begun; those that are queued, as they are come to."""
        self._underway.is_held = True
        self._underway.give_back(overdue=False)

    def close(self, *, kill: bool) -> None:
        """Let the threads end; one that still works is left behind, and what comes of it dropped."""
        for _ in self._threads:
            self._chunks.put(None)
        self._underway.leave(working=kill)
        if not kill:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        share_processors(self.workers)
        while (chunk := self._chunks.get()) is not None:
            self._underway.run(chunk)


class InlineEngine:
    """The thread that called ``run_jobs``, so that a debugger stops inside the pipeline."""

    name = "inline"
    workers = 1

    def __init__(self, events: Events) -> None:
        self._chunks: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self._underway = Underway(events)

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Keep what is called."""
        self._underway.add_pipeline(pipeline_id, target, folder)

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk for ``work``."""
        self._chunks.put(chunk)

    def work(self, timeout: float) -> None:
        """Run the next chunk, if one comes in time; called by the thread that started the run."""
        try:
            chunk = self._chunks.get(timeout=timeout)
        except queue.Empty:
            return
        with self._underway.tails.installed():
            self._underway.run(chunk, interrupts=(KeyboardInterrupt,))

    def check(self) -> None:
        """Take jobs back from a chunk that takes long."""
        self._underway.give_back(overdue=True)

    def hold(self) -> None:
        """Take all jobs back that have not begun."""
        self._underway.is_held = True
        self._underway.give_back(overdue=False)

    def close(self, *, kill: bool) -> None:
        """Begin nothing more."""
        self._underway.leave(working=kill)
