"""The engine over somebody else's ``concurrent.futures.Executor``."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from typing import Any

from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.executors.contract import Chunk, Done, Events, Lost, dump_target, unreadable
from foregsyte_kaggle.executors.local import Underway
from foregsyte_kaggle.worker import Caller, Task, Teller, ThreadTails, Work, describe, run_tasks
from foregsyte_kaggle.worker.errors import forget_command
from foregsyte_kaggle.worker.serving import load_failure, pack_outcomes

__all__ = ["FutureEngine", "run_remote"]

#: A pipeline of more bytes than this goes only with chunks whose worker says that it does not know it.
LARGE_BYTES = 65_536
ADVICE = "Make a new one, or use executor='processes', which goes on when a worker dies."

Reply = tuple[str, Any, Any]


class FutureEngine:
    """Any ``concurrent.futures.Executor``; it stays its owner's, and is not shut down.

    In a ``ThreadPoolExecutor`` the pipeline itself is called, in others a copy of it.
    """

    def __init__(self, executor: Executor, workers: int, events: Events) -> None:
        _refuse_fork(executor)
        self.name = type(executor).__name__
        self.workers = getattr(executor, "_max_workers", None) or workers
        self._executor = executor
        self._events = events
        self._here = Underway(events) if isinstance(executor, ThreadPoolExecutor) else None
        self._is_listening = False
        self._remote: dict[str, tuple[str, str, bytes, str]] = {}
        self._futures: dict[Future[Any], Chunk] = {}
        self._unknown: deque[Chunk] = deque()
        self._is_held = False

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Keep what is called, or the bytes that other processes make it from."""
        if self._here is not None:
            self._here.add_pipeline(pipeline_id, target, folder)
        else:
            payload = dump_target(pipeline_id, target)
            self._remote[pipeline_id] = (pipeline_id, uuid.uuid4().hex, payload, folder)

    def submit(self, chunk: Chunk) -> None:
        """Hand a chunk to the executor."""
        self._hand_over(chunk, whole=False)

    def _hand_over(self, chunk: Chunk, *, whole: bool) -> None:
        """Hand a chunk to the executor, with its pipeline if that is small, or ``whole`` is asked for."""
        begun = time.monotonic()
        try:
            if self._here is not None:
                if not self._is_listening:
                    self._here.listen()
                    self._is_listening = True
                future: Future[Any] = self._executor.submit(self._here.run, chunk)
            else:
                name, token, payload, folder = self._remote[chunk.pipeline_id]
                future = self._executor.submit(
                    run_remote,
                    name,
                    token,
                    payload if whole or len(payload) <= LARGE_BYTES else None,
                    folder,
                    chunk.tasks,
                    chunk.time_box,
                    chunk.is_batch,
                )
        except Exception as error:
            raise RunError(
                f"the {self.name} takes no more work: {type(error).__name__}: {describe(error)}. "
                + ADVICE
            ) from error
        self._futures[future] = chunk
        future.add_done_callback(lambda done: self._finish(done, begun))

    def check(self) -> None:
        """Take jobs back from chunks that take long here; send pipelines to workers that do not know them."""
        while self._unknown:
            self._hand_over(self._unknown.popleft(), whole=True)
        if self._here is not None:
            self._here.give_back(overdue=True)

    def hold(self) -> None:
        """Cancel what the executor has not begun."""
        self._is_held = True
        for future in list(self._futures):
            future.cancel()
        while self._unknown:
            self._events.put(Done(self._unknown.popleft(), []))
        if self._here is not None:
            self._here.is_held = True
            self._here.give_back(overdue=False)

    def close(self, *, kill: bool) -> None:
        """Leave the executor to its owner; what still works there is dropped."""
        self.hold()
        if self._here is not None:
            self._here.leave(working=kill)

    def _finish(self, future: Future[Any], begun: float) -> None:
        chunk = self._futures.pop(future)
        if future.cancelled():
            self._events.put(Done(chunk, []))
            return
        error = future.exception()
        if error is None:
            if self._here is None:
                self._take(chunk, future.result())
            return
        outcome = "broken" if isinstance(error, BrokenExecutor) else "failed"
        reason = f"the {self.name} lost it: {type(error).__name__}: {describe(error)}"
        if outcome == "broken":
            reason += f". {ADVICE}"
        seconds = time.monotonic() - begun
        self._events.put(Lost(chunk, outcome, reason, seconds=seconds, began=False))

    def _take(self, chunk: Chunk, reply: Reply) -> None:
        if reply[0] != "unknown":
            self._events.put(_unpack(chunk, reply))
        elif self._is_held:
            self._events.put(Done(chunk, []))
        else:
            self._unknown.append(chunk)  # for the loop's thread: an executor may not take work here


def _unpack(chunk: Chunk, reply: Reply) -> Done | Lost:
    kind, *rest = reply
    if kind == "unloadable":
        return Lost(chunk, "unloadable", rest[0], rest[1])
    try:
        return Done(chunk, pickle.loads(rest[0]))
    except BaseException as error:
        return Lost(chunk, "failed", unreadable(error))


_callers = threading.local()


def run_remote(
    pipeline_id: str,
    token: str,
    payload: bytes | None,
    folder: str,
    tasks: list[Task],
    time_box: float | None,
    is_batch: bool,
) -> Reply:
    """Run jobs in a worker of somebody else's executor; builds the pipeline once per thread there.

    Returns
    -------
    tuple
        ``("done", outcomes, None)``, pickled outcomes; ``("unloadable", reason, traceback)``; or
        ``("unknown", None, None)`` where the pipeline did not come with it and is not known.
    """
    _settle_in_child()
    known: dict[str, tuple[str, Caller]] = _callers.__dict__
    if known.get(pipeline_id, ("",))[0] != token:
        known.pop(pipeline_id, None)  # that of an earlier run: let go of its model first
        if payload is None:
            return "unknown", None, None
        try:
            known[pipeline_id] = (token, Caller(pickle.loads(payload), folder))
        except BaseException as error:
            return ("unloadable", *load_failure(error))
    caller, tails, work = known[pipeline_id][1], ThreadTails(), Work(tasks, is_batch=is_batch)
    with tails.installed():
        run_tasks(
            caller,
            work,
            tails,
            str(os.getpid()),
            Teller(None),
            time_box=time_box,
        )
    return "done", pack_outcomes(work.finish(), caller), None


def _settle_in_child() -> None:
    """In a child process, leave the notebook's Stop, which reaches all of its group, to the notebook.

    It would end a job of a run that it does not mean, and the worker, which breaks the executor.
    """
    is_child = multiprocessing.parent_process() is not None
    if is_child:
        forget_command()
    if is_child and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _refuse_fork(executor: Executor) -> None:
    if not isinstance(executor, ProcessPoolExecutor):
        return
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise RunError(
            "this ProcessPoolExecutor forks its workers from the process that holds the ledger, and a "
            "forked child can delete what was committed. Make it so: "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
        )
