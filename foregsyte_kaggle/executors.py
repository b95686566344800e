"""Where pipelines run: processes of our own, threads, this thread, or any executor given.

Every engine takes chunks and puts what happens to them into one queue of events; none of them knows the
ledger.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from foregsyte_kaggle.errors import InvalidArgumentError, PipelineError, RunError
from foregsyte_kaggle.worker import (
    Caller,
    Outcome,
    Task,
    ThreadTails,
    read_frame,
    read_tail,
    run_tasks,
    write_frame,
)

__all__ = ["Chunk", "Done", "Engine", "Lost", "Progress", "make_engine"]

#: How long an idle worker may take to end when it is let go.
CLOSE_SECONDS = 5.0

_chunk_ids = itertools.count(1)


@dataclass
class Chunk:
    """Jobs of one pipeline that travel together."""

    pipeline_id: str
    tasks: list[Task]
    time_box: float | None = None
    chunk_id: int = field(default_factory=lambda: next(_chunk_ids))


@dataclass(frozen=True)
class Done:
    """A chunk came back; jobs without an outcome were not started."""

    chunk: Chunk
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Lost:
    """The worker of a chunk died, or was killed because of its time."""

    chunk: Chunk
    outcome: str
    """``"died"`` or ``"timeout"``."""
    reason: str
    output: str | None
    seconds: float
    began: bool = True
    """False where the worker died before the first job of the chunk began."""


@dataclass(frozen=True)
class Progress:
    """How far a job says that it is."""

    position: int
    fraction: float


Event = Done | Lost | Progress
Events = queue.SimpleQueue[Any]


class Engine(Protocol):
    """What the run loop needs of a place where pipelines run."""

    name: str
    workers: int

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Make a pipeline known before its first chunk."""

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk; its ``Done`` or ``Lost`` comes as an event."""

    def check(self) -> None:
        """Look after time limits; called several times a second."""

    def close(self, *, kill: bool) -> None:
        """Let go of all workers; with ``kill`` also of those that work."""


def make_engine(
    executor: str | Executor, workers: int, events: Events, job_timeout: float | None
) -> Engine:
    """Return the engine that an ``executor=`` argument asks for.

    Raises
    ------
    InvalidArgumentError
        If it is unknown, or cannot end a job that takes too long.
    RunError
        If its workers would be forked from this process, which holds the ledger.
    """
    if executor == "processes":
        return ProcessEngine(workers, events, job_timeout)
    if job_timeout is not None:
        raise InvalidArgumentError(
            f"job_timeout={job_timeout} needs executor='processes': a job on {executor!r} cannot be killed"
        )
    if executor == "threads":
        return ThreadEngine(workers, events)
    if executor == "inline":
        return InlineEngine(events)
    if isinstance(executor, Executor):
        return FutureEngine(executor, workers, events)
    raise InvalidArgumentError(
        f"executor={executor!r} is unknown; expected 'processes', 'threads', 'inline' or a "
        "concurrent.futures.Executor"
    )


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
        self._listening.enter_context(self._tails.installed())
        self._threads: list[threading.Thread] = []

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        self._targets[pipeline_id] = (target, folder)

    def submit(self, chunk: Chunk) -> None:
        self._chunks.put(chunk)
        if len(self._threads) < self.workers:
            name = f"foregsyte-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def check(self) -> None:
        pass

    def close(self, *, kill: bool) -> None:
        for _ in self._threads:
            self._chunks.put(None)
        if not kill:
            for thread in self._threads:
                thread.join()
        self._listening.close()

    def _work(self) -> None:
        callers: dict[str, Caller] = {}
        name = threading.current_thread().name
        while (chunk := self._chunks.get()) is not None:
            if chunk.pipeline_id not in callers:
                callers[chunk.pipeline_id] = Caller(*self._targets[chunk.pipeline_id])
            _run_here(chunk, callers[chunk.pipeline_id], self._tails, name, self._events)


class InlineEngine:
    """The thread that called ``run_jobs``, so that a debugger stops inside the pipeline."""

    name = "inline"
    workers = 1

    def __init__(self, events: Events) -> None:
        self._events = events
        self._chunks: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self._callers: dict[str, Caller] = {}
        self._tails = ThreadTails()

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        self._callers[pipeline_id] = Caller(target, folder)

    def submit(self, chunk: Chunk) -> None:
        self._chunks.put(chunk)

    def work(self, timeout: float) -> None:
        """Run the next chunk, if one comes in time; called by the thread that started the run."""
        with contextlib.suppress(queue.Empty):
            chunk = self._chunks.get(timeout=timeout)
            with self._tails.installed():
                _run_here(
                    chunk, self._callers[chunk.pipeline_id], self._tails, "inline", self._events
                )

    def check(self) -> None:
        pass

    def close(self, *, kill: bool) -> None:
        pass


def _run_here(
    chunk: Chunk, caller: Caller, tails: ThreadTails, name: str, events: Events
) -> None:
    outcomes: list[Outcome] = []

    def tell(position: int, fraction: float) -> None:
        events.put(Progress(position, fraction))

    try:
        run_tasks(caller, chunk.tasks, outcomes, tails, name, tell, time_box=chunk.time_box)
    finally:  # also when the user's Stop comes as an exception into an inline job
        events.put(Done(chunk, outcomes))


class FutureEngine:
    """Any ``concurrent.futures.Executor``; it stays its owner's, and is not shut down."""

    name = "executor"

    def __init__(self, executor: Executor, workers: int, events: Events) -> None:
        _refuse_fork(executor)
        self.name = type(executor).__name__
        self.workers = getattr(executor, "_max_workers", None) or workers
        self._executor = executor
        self._events = events
        self._payloads: dict[str, bytes] = {}
        self._folders: dict[str, str] = {}
        self._futures: dict[Future[list[Outcome]], Chunk] = {}

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        self._payloads[pipeline_id] = dump_target(pipeline_id, target)
        self._folders[pipeline_id] = folder

    def submit(self, chunk: Chunk) -> None:
        payload = self._payloads[chunk.pipeline_id]
        begun = time.monotonic()
        future = self._executor.submit(
            run_remote, payload, self._folders[chunk.pipeline_id], chunk.tasks, chunk.time_box
        )
        self._futures[future] = chunk
        future.add_done_callback(lambda done: self._finish(done, begun))

    def check(self) -> None:
        pass

    def close(self, *, kill: bool) -> None:
        for future in list(self._futures):
            future.cancel()

    def _finish(self, future: Future[list[Outcome]], begun: float) -> None:
        chunk = self._futures.pop(future)
        if future.cancelled():
            self._events.put(Done(chunk, []))
            return
        error = future.exception()
        if error is None:
            self._events.put(Done(chunk, future.result()))
            return
        reason = f"the executor lost the job: {type(error).__name__}: {error}"
        self._events.put(Lost(chunk, "died", reason, None, time.monotonic() - begun))


_remote_callers: dict[tuple[bytes, str, int], Caller] = {}


def run_remote(
    payload: bytes, folder: str, tasks: list[Task], time_box: float | None
) -> list[Outcome]:
    """Run jobs in a worker of somebody else's executor; builds the pipeline once per thread there."""
    import cloudpickle

    key = (payload, folder, threading.get_ident())
    if key not in _remote_callers:
        _remote_callers[key] = Caller(cloudpickle.loads(payload), folder)
    tails, outcomes = ThreadTails(), list[Outcome]()
    name = f"{os.getpid()}"
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(tails.installed())
        run_tasks(
            _remote_callers[key],
            tasks,
            outcomes,
            tails,
            name,
            lambda _position, _fraction: None,
            time_box=time_box,
        )
    return outcomes


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


def dump_target(pipeline_id: str, target: Callable[..., Any]) -> bytes:
    """Return a pipeline as it travels to other processes; by value if it is from a notebook's cell.

    Raises
    ------
    PipelineError
        If it holds something that cannot travel.
    """
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(target, protocol=5))
    except Exception as error:
        raise PipelineError(
            f"the pipeline {pipeline_id!r} cannot be sent to other processes, because it uses something "
            f"of this one ({type(error).__name__}: {error}). Make such things inside the function, or in "
            "the __init__ of a class; or run with executor='threads'."
        ) from error


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    log: Any
    chunks: deque[Chunk] = field(default_factory=deque)
    known: set[str] = field(default_factory=set)
    began: float | None = None
    """When the current chunk's first job began; None while the worker starts or builds."""
    timed_out: bool = False
    listener: threading.Thread = field(init=False)


class ProcessEngine:
    """Worker processes of our own, each started by a command, so that none is forked from this one.

    A worker that dies takes only the chunk it worked on; those that waited in it go to others.
    """

    name = "processes"
    _START: ClassVar[str] = (
        "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
        "from foregsyte_kaggle.worker import main; main()"
    )

    def __init__(self, workers: int, events: Events, job_timeout: float | None) -> None:
        self.workers = workers
        self._events = events
        self._job_timeout = job_timeout
        self._pipelines: dict[str, tuple[bytes, str]] = {}
        self._running: list[_Worker] = []
        self._lock = threading.RLock()
        self._closing = False

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        self._pipelines[pipeline_id] = (dump_target(pipeline_id, target), folder)

    def submit(self, chunk: Chunk) -> None:
        with self._lock:
            worker = min(self._running, key=lambda one: len(one.chunks), default=None)
            if worker is None or (worker.chunks and len(self._running) < self.workers):
                worker = self._start()
            worker.chunks.append(chunk)
            pipeline_id = chunk.pipeline_id
            messages: list[tuple[Any, ...]] = []
            if pipeline_id not in worker.known:
                worker.known.add(pipeline_id)
                messages.append(("pipeline", pipeline_id, *self._pipelines[pipeline_id]))
            messages.append(("run", chunk.chunk_id, pipeline_id, chunk.tasks, chunk.time_box))
        assert worker.process.stdin is not None
        # A worker that just died is told by its reader; what was sent to it comes back from there.
        with contextlib.suppress(OSError, ValueError):
            for message in messages:
                write_frame(worker.process.stdin, pickle.dumps(message, protocol=5))  # type: ignore[arg-type]

    def check(self) -> None:
        if self._job_timeout is None:
            return
        now = time.monotonic()
        with self._lock:
            for worker in self._running:
                if worker.began is None or not worker.chunks:
                    continue
                allowed = self._job_timeout + (worker.chunks[0].time_box or 0.0)
                if now - worker.began > allowed and not worker.timed_out:
                    worker.timed_out = True
                    _kill(worker.process)

    def close(self, *, kill: bool) -> None:
        with self._lock:
            self._closing = True
            workers = list(self._running)
        for worker in workers:
            if kill:
                _kill(worker.process)
            with contextlib.suppress(OSError):
                worker.process.stdin.close()  # type: ignore[union-attr]
        # Only a worker's listener waits for its process, so that no exit code is taken twice.
        for worker in workers:
            worker.listener.join(timeout=CLOSE_SECONDS)
            if worker.listener.is_alive():
                _kill(worker.process)
                worker.listener.join()

    def _start(self) -> _Worker:
        import json

        log = tempfile.TemporaryFile(prefix="foregsyte-output-")
        path = [entry for entry in sys.path if isinstance(entry, str)]
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", self._START, json.dumps([*path, package])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=-1,
                # The notebook's Stop goes to the kernel's process group; workers have their own, which
                # also lets a job be killed with its children.
                start_new_session=True,
            )
        except OSError as error:
            raise RunError(f"a worker process cannot be started: {error}") from error
        worker = _Worker(process, log)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        self._running.append(worker)
        worker.listener.start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        """Turn what one worker says into events, until it is gone."""
        stream = worker.process.stdout
        assert stream is not None
        while True:
            data = read_frame(stream)  # type: ignore[arg-type]
            if data is None:
                break
            try:
                message = pickle.loads(data)
            except Exception as error:
                self._unreadable(worker, error)
                break
            if message[0] == "progress":
                self._events.put(Progress(message[1], message[2]))
            elif message[0] == "started":
                worker.began = time.monotonic()
            else:
                with self._lock:
                    chunk = worker.chunks.popleft()
                    worker.began = None
                self._events.put(Done(chunk, message[2]))
        self._bury(worker)

    def _unreadable(self, worker: _Worker, error: Exception) -> None:
        with self._lock:
            chunk = worker.chunks.popleft()
        reason = (
            "what the pipeline returned cannot be read in the notebook's process: "
            f"{type(error).__name__}: {error}"
        )
        self._events.put(Lost(chunk, "failed", reason, None, 0.0))
        _kill(worker.process)

    def _bury(self, worker: _Worker) -> None:
        """Tell what became of the chunks of a worker that is gone."""
        code = _reap(worker.process)
        with self._lock:
            if worker in self._running:
                self._running.remove(worker)
            chunks, began = list(worker.chunks), worker.began
            worker.chunks.clear()
        output = read_tail(worker.log.fileno())
        worker.log.close()
        for stream in (worker.process.stdin, worker.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        if not chunks:
            return
        seconds = time.monotonic() - began if began is not None else 0.0
        if worker.timed_out:
            reason = f"it took longer than job_timeout={self._job_timeout} s and was killed"
            lost = Lost(chunks[0], "timeout", reason, output, seconds)
        else:
            has_begun = began is not None
            reason = _death(code, has_begun)
            lost = Lost(chunks[0], "died", reason, output, seconds, began=has_begun)
        self._events.put(Done(chunks[0], []) if self._closing else lost)
        for chunk in chunks[1:]:
            self._events.put(Done(chunk, []))


def _death(code: int, began: bool) -> str:
    """Say how a worker process ended, and the likely cause."""
    when = "ran this job" if began else "started or built the pipeline"
    if code >= 0:
        return f"its worker process ended with exit code {code} while it {when}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    cause = {
        "SIGKILL": "most likely the system ran out of memory; try fewer workers",
        "SIGSEGV": "a native library crashed",
        "SIGABRT": "a native library gave up",
        "SIGBUS": "a native library crashed, or a file shrank while it was read",
        "SIGILL": "a native library was built for another processor",
        "SIGFPE": "a native library divided by zero",
    }.get(name, "something ended it from outside")
    return f"its worker process was ended by {name} while it {when}: {cause}"


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Wait for a worker that went silent, end the children of its jobs, and return its exit code."""
    until = time.monotonic() + 2.0
    while not _has_ended(process) and time.monotonic() < until:
        time.sleep(0.005)
    _kill(process)
    return process.wait()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    # Left unreaped, so that its number cannot be given to another group before that one is killed.
    state = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return state is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker with all children of its jobs."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
