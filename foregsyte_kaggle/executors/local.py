"""Engines in this process: threads, and the calling thread."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from foregsyte_kaggle.executors.contract import Chunk, Done, Events, Progress
from foregsyte_kaggle.worker import Caller, Outcome, ThreadTails, run_tasks

__all__ = ["InlineEngine", "ThreadEngine", "run_here"]


class ThreadEngine:
    """Threads of this process; a job in one cannot be killed."""

    name = "threads"

    def __init__(self, workers: int, events: Events) -> None:
        self.workers = workers
        self._events = events
        self._chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._targets: dict[str, tuple[Callable[..., Any], str]] = {}
        self._tails = ThreadTails()
        self._listening = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []
        self._callers: list[Caller] = []
        self._held = False

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Keep what each thread makes its own caller of."""
        self._targets[pipeline_id] = (target, folder)

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk, and start another thread while there are too few."""
        if not self._threads:
            self._listening.enter_context(self._tails.installed())
        self._chunks.put(chunk)
        if len(self._threads) < self.workers:
            name = f"foregsyte-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def check(self) -> None:
        """Do nothing: no job here can be ended."""

    def hold(self) -> None:
        """Give back what is queued, as it is come to."""
        self._held = True

    def close(self, *, kill: bool) -> None:
        """Let the threads end; one that still works is left behind, and what comes of it dropped."""
        self._held = True
        for _ in self._threads:
            self._chunks.put(None)
        if kill:
            for caller in self._callers:
                caller.abandoned = True
        else:
            for thread in self._threads:
                thread.join()
        self._listening.close()

    def _work(self) -> None:
        callers: dict[str, Caller] = {}
        name = threading.current_thread().name
        while (chunk := self._chunks.get()) is not None:
            if self._held:
                self._events.put(Done(chunk, []))
                continue
            if chunk.pipeline_id not in callers:
                callers[chunk.pipeline_id] = Caller(*self._targets[chunk.pipeline_id])
                self._callers.append(callers[chunk.pipeline_id])
            run_here(chunk, callers[chunk.pipeline_id], self._tails, name, self._events)


class InlineEngine:
    """The thread that called ``run_jobs``, so that a debugger stops inside the pipeline."""

    name = "inline"
    workers = 1

    def __init__(self, events: Events) -> None:
        self._events = events
        self._chunks: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self._callers: dict[str, Caller] = {}
        self._tails = ThreadTails()
        self._held = False

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Make its caller."""
        self._callers[pipeline_id] = Caller(target, folder)

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk for ``work``."""
        self._chunks.put(chunk)

    def work(self, timeout: float) -> None:
        """Run the next chunk, if one comes in time; called by the thread that started the run."""
        try:
            chunk = self._chunks.get(timeout=timeout)
        except queue.Empty:
            return
        if self._held:
            self._events.put(Done(chunk, []))
            return
        with self._tails.installed():
            caller = self._callers[chunk.pipeline_id]
            run_here(
                chunk, caller, self._tails, "inline", self._events, interrupts=(KeyboardInterrupt,)
            )

    def check(self) -> None:
        """Do nothing: no job here can be ended."""

    def hold(self) -> None:
        """Give back what is queued, as it is come to."""
        self._held = True

    def close(self, *, kill: bool) -> None:  # noqa: ARG002 - nothing is left to kill
        """Begin nothing more."""
        self._held = True


def run_here(
    chunk: Chunk,
    caller: Caller,
    tails: ThreadTails,
    name: str,
    events: Events,
    *,
    interrupts: tuple[type[BaseException], ...] = (),
) -> None:
    """Run a chunk in this thread, and tell that it is done."""
    outcomes: list[Outcome] = []

    def tell(position: int, fraction: float) -> None:
        events.put(Progress(position, fraction))

    try:
        run_tasks(
            caller,
            chunk.tasks,
            outcomes,
            tails,
            name,
            tell,
            time_box=chunk.time_box,
            interrupts=interrupts,
        )
    finally:  # also when the user's Stop comes as an exception into an inline job
        events.put(Done(chunk, outcomes))
