"""What runs in the workers of somebody else's cluster: chunks, and what is said about them from beside."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import platform
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from foregsyte_kaggle.executors.contract import Chunk
from foregsyte_kaggle.surroundings import share_processors
from foregsyte_kaggle.worker import Caller, Outcome, Task, Teller, ThreadTails, Work, run_tasks
from foregsyte_kaggle.worker.errors import forget_command
from foregsyte_kaggle.worker.serving import load_failure, pack_outcomes

__all__ = ["Facts", "Notebook", "Reply", "arguments", "forget", "give_back", "learn", "look", "run"]

#: What a worker says before it begins its first job gets so long to leave, since the job may end it.
SAY_SECONDS = 0.02
#: So many chunks that ended are remembered; fewer are on their way to the notebook at any time.
LATELY = 4096

#: ``("done", outcomes, None)``, the outcomes pickled; ``("unloadable", reason, traceback)``; or
#: ``("unknown", None, None)`` where this process was told of no such run.
Reply = tuple[str, Any, Any]
Send = Callable[[tuple[Any, ...]], object]


class Notebook(NamedTuple):
    """The process that holds the ledger."""

    host: str
    pid: int

    @classmethod
    def here(cls) -> Notebook:
        """Return this process."""
        return cls(socket.gethostname(), os.getpid())


class Facts(NamedTuple):
    """What a worker says of itself."""

    python: str
    is_forked: bool
    """Whether it was forked from the notebook's process."""


class _Stay:
    """What this process holds of one run."""

    def __init__(self, pipelines: Mapping[str, tuple[bytes, str]], interval: float) -> None:
        self.pipelines = pipelines
        self.interval = interval
        self.callers: dict[tuple[str, int], Caller] = {}
        self.works: dict[int, tuple[Work, Caller]] = {}
        self.ended: deque[int] = deque(maxlen=LATELY)
        self.revoked: set[int] = set()
        self.begun: set[str] = set()
        self.teller: Teller | None = None
        self.is_held = False
        self.lock = threading.Lock()

    def caller(self, pipeline_id: str) -> Caller:
        """Return this thread's own, since an object of a class may be used by one thread only."""
        key = (pipeline_id, threading.get_ident())
        if key not in self.callers:
            payload, folder = self.pipelines[pipeline_id]
            self.callers[key] = Caller(pickle.loads(payload), folder)
        return self.callers[key]

    def begin(self, chunk_id: int, work: Work, caller: Caller) -> bool:
        """Note that a chunk begins here; False where it was taken back before."""
        with self.lock:
            if self.is_held or chunk_id in self.revoked:
                self.revoked.discard(chunk_id)
                return False
            self.works[chunk_id] = (work, caller)
            return True

    def end(self, chunk_id: int) -> None:
        """Note that a chunk has ended, though the notebook may not know yet."""
        with self.lock:
            del self.works[chunk_id]
            self.ended.append(chunk_id)

    def say_begun(self, pipeline_id: str, name: str, send: Send) -> None:
        """Say once that the first job of a pipeline begins in this process: what it built was no trouble."""
        with self.lock:
            is_first = pipeline_id not in self.begun
            self.begun.add(pipeline_id)
            if self.teller is None:
                self.teller = Teller(
                    lambda position, fraction: send(("progress", position, fraction)), self.interval
                )
        if is_first:
            send(("begun", name, pipeline_id))
            time.sleep(SAY_SECONDS)


_stays: dict[str, _Stay] = {}
#: Runs that are over, where a last message of theirs may still come.
_forgotten: deque[str] = deque(maxlen=1024)


def look(notebook: Notebook) -> Facts:
    """Say what this worker is, and leave the notebook's Stop, which reaches its children, to the notebook."""
    is_child = notebook == (socket.gethostname(), os.getppid())
    if is_child and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if multiprocessing.parent_process() is not None:
        forget_command()
    kind = type(multiprocessing.current_process()).__name__
    return Facts(platform.python_version(), is_child and kind == "ForkProcess")


def learn(
    notebook: Notebook, token: str, pipelines: Mapping[str, tuple[bytes, str]], interval: float
) -> Facts:
    """Take a run's pipelines, once for each process; they are loaded when the first job needs them.

    Parameters
    ----------
    token
        The name of the run.
    pipelines
        The bytes that each is made from, and the folder of its outputs.
    interval
        The seconds between two messages of how far jobs are.
    """
    if token not in _forgotten:
        _stays.setdefault(token, _Stay(pipelines, interval))
    return look(notebook)


def arguments(chunk: Chunk) -> tuple[Any, ...]:
    """Return what ``run`` is told of a chunk."""
    return chunk.chunk_id, chunk.pipeline_id, chunk.tasks, chunk.time_box, chunk.is_batch


def run(
    token: str,
    chunk_id: int,
    pipeline_id: str,
    tasks: list[Task],
    time_box: float | None,
    is_batch: bool,
    *,
    name: str,
    threads: int,
    send: Send,
) -> Reply:
    """Run the jobs of a chunk in this thread.

    Parameters
    ----------
    name
        This worker's.
    threads
        How many threads of this process run jobs.
    send
        Takes messages to the notebook: ``("begun", name, pipeline_id)``, and
        ``("progress", position, fraction)``.
    """
    stay = _stays.get(token)
    if stay is None:
        return "unknown", None, None
    share_processors(threads)
    try:
        caller = stay.caller(pipeline_id)
    except BaseException as error:
        return ("unloadable", *load_failure(error))
    work, tails = Work(tasks, is_batch=is_batch), ThreadTails()
    if not stay.begin(chunk_id, work, caller):
        return "done", pickle.dumps([]), None
    try:
        with tails.installed():
            caller.build(tasks[0])
            stay.say_begun(pipeline_id, name, send)
            run_tasks(caller, work, tails, name, stay.teller or Teller(None), time_box=time_box)
    finally:
        stay.end(chunk_id)
    return "done", pack_outcomes(work.finish(), caller), None


def give_back(
    token: str, chunk_ids: list[int], hold: bool
) -> dict[int, tuple[list[bytes], int] | None]:
    """Begin no other job of chunks; called beside the threads that run them.

    Parameters
    ----------
    hold
        Begin no other job of the run at all.

    Returns
    -------
    dict
        For each chunk that runs and has news what ended, pickled one by one, and how many of its last jobs
        will not begin; None for one that has not begun, and will not.
    """
    stay = _stays.get(token)
    if stay is None:
        return {}
    with stay.lock:
        stay.is_held |= hold
        running = {one: stay.works[one] for one in chunk_ids if one in stay.works}
        waiting = [one for one in chunk_ids if one not in running and one not in stay.ended]
        stay.revoked.update(waiting)
    given: dict[int, tuple[list[bytes], int] | None] = dict.fromkeys(waiting)
    for chunk_id, (work, caller) in running.items():

        def report(
            ended: list[Outcome], returned: int, at: int = chunk_id, by: Caller = caller
        ) -> None:
            given[at] = [pack_outcomes([one], by) for one in ended], returned

        work.give_back(report)
    return given


def forget(token: str) -> None:
    """Let go of a run: of its models too, and of the files of what still works."""
    _forgotten.append(token)
    stay = _stays.pop(token, None)
    if stay is None:
        return
    stay.is_held = True
    if stay.teller is not None:
        stay.teller.close()
    for _, caller in list(stay.works.values()):
        caller.abandoned = True
    stay.callers.clear()
