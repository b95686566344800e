"""What runs where pipelines run: calling a pipeline for the jobs of a chunk, and the worker process.

Imports the standard library only, so that a worker process starts in a moment and holds no ledger.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

__all__ = ["Caller", "JobContext", "Outcome", "Task", "run_tasks"]

#: How much of a job's output is kept, from its end.
OUTPUT_BYTES = 8192
MESSAGE_CHARACTERS = 10_000
TRACEBACK_CHARACTERS = 20_000
PROGRESS_INTERVAL_SECONDS = 0.1


class Task(NamedTuple):
    """One job on its way to a worker."""

    position: int
    job_id: str
    path: str
    is_file: bool
    """Whether ``path`` is given to the pipeline as a ``pathlib.Path``."""
    params: str | None
    """JSON."""
    attempt: int


class Outcome(NamedTuple):
    """How a try of a job ended."""

    position: int
    outcome: str
    started_at: float
    """Seconds since the epoch."""
    duration_seconds: float
    result: Any
    """None, a list of dicts, a DataFrame or an Arrow table."""
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    output: str | None = None
    output_paths: list[str] | None = None
    worker: str | None = None


class JobContext:
    """What a pipeline may know and do about the job it works on; passed as ``job``.

    Attributes
    ----------
    id : str
        The job's id.
    input_path : pathlib.Path or str
        The same as the first argument.
    params : dict
        All params of the job.
    attempt : int
        1 for the first try.
    """

    def __init__(
        self,
        task: Task,
        input_path: Path | str,
        params: dict[str, Any],
        folder: Path,
        tell: Callable[[int, float], None],
    ) -> None:
        self.id = task.job_id
        self.input_path = input_path
        self.params = params
        self.attempt = task.attempt
        self._position = task.position
        self._folder = folder
        self._tell = tell
        self._told = 0.0
        self._written: dict[str, Path] = {}

    def output_path(self, name: str) -> Path:
        """Return where to write a file that the job makes.

        The file gets its final name, in ``data/outputs/<pipeline_id>/``, when the pipeline returns;
        what a failing one wrote is removed.

        Parameters
        ----------
        name
            A file name without folders, such as ``"sheet.jpg"``.

        Raises
        ------
        ValueError
            If ``name`` is empty or names a folder.
        """
        if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"output_path({name!r}): expected a file name without folders")
        if name not in self._written:
            partial = self._folder / ".partial"
            partial.mkdir(parents=True, exist_ok=True)
            self._written[name] = partial / f"{self.id}-{self.attempt}-{name}"
        return self._written[name]

    def progress(self, fraction: float) -> None:
        """Say how far the job is, from 0 to 1; cheap enough for every step."""
        now = time.monotonic()
        if now - self._told >= PROGRESS_INTERVAL_SECONDS:
            self._told = now
            self._tell(self._position, min(1.0, max(0.0, float(fraction))))

    def keep_outputs(self) -> list[str] | None:
        """Give written files their final names; return them relative to the folder of outputs."""
        kept = []
        for name, partial in self._written.items():
            if partial.exists():
                final = self._folder / f"{self.id}-{name}"
                os.replace(partial, final)
                kept.append(f"{self._folder.name}/{final.name}")
        return kept or None

    def drop_outputs(self) -> None:
        """Remove what was written."""
        for partial in self._written.values():
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


class Tail(Protocol):
    """Keeps the end of what a job prints."""

    def begin(self) -> None:
        """Forget what was printed before."""

    def end(self) -> str | None:
        """Return the last ``OUTPUT_BYTES`` since ``begin``; None where nothing was printed."""


class Caller:
    """Calls one pipeline by the calling convention.

    Parameters
    ----------
    target
        A function, or a class that is built once for each distinct set of params of its ``__init__``.
    folder
        Where its output files go.
    """

    def __init__(self, target: Callable[..., Any], folder: str) -> None:
        self._target = target
        self._folder = Path(folder)
        self._built: dict[str, Callable[..., Any]] = {}
        self._is_class = inspect.isclass(target)
        called = target.__call__ if self._is_class else target  # type: ignore[operator]
        self._wants_job = "job" in _parameters(called)
        self._call_takes = _parameters(called)
        self._init_takes = _parameters(target) if self._is_class else {}

    def build(self, task: Task) -> None:
        """Build the class for a task's params, if it is one, so that loading is not the job's time."""
        if self._is_class:
            self._callable(_load_params(task.params))

    def call(self, task: Task, tell: Callable[[int, float], None]) -> tuple[Any, list[str] | None]:
        """Call the pipeline for one job; return its result and the files it wrote."""
        params = _load_params(task.params)
        path: Path | str = Path(task.path) if task.is_file else task.path
        function = self._callable(params) if self._is_class else self._target
        given = params
        if self._is_class:
            given = {key: value for key, value in params.items() if not self._is_for_init(key)}
        if not self._wants_job:
            return as_rows(function(path, **given)), None
        job = JobContext(task, path, params, self._folder, tell)
        try:
            result = as_rows(function(path, **{**given, "job": job}))
        except BaseException:
            job.drop_outputs()
            raise
        return result, job.keep_outputs()

    def _callable(self, params: dict[str, Any]) -> Callable[..., Any]:
        own = {key: value for key, value in params.items() if self._is_for_init(key)}
        key = json.dumps(own, sort_keys=True)
        if key not in self._built:
            self._built[key] = self._target(**own)
        return self._built[key]

    def _is_for_init(self, name: str) -> bool:
        if name in self._init_takes:
            return True
        takes_any = any(p.kind is p.VAR_KEYWORD for p in self._init_takes.values())
        return takes_any and name not in self._call_takes


def as_rows(result: Any) -> Any:
    """Return what a pipeline returned as None, a list of dicts, a DataFrame or an Arrow table.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if result is None:
        return None
    if type(result) is dict:
        return [result]
    if isinstance(result, (list, tuple)):
        for number, row in enumerate(result):
            if not isinstance(row, dict):
                raise TypeError(
                    f"the pipeline returned a list whose item {number} is a {type(row).__name__}; "
                    "expected dicts, one a row"
                )
        return list(result)
    if isinstance(result, dict):
        return [dict(result)]
    kind = type(result)
    if kind.__module__.partition(".")[0] in ("pandas", "pyarrow") and kind.__name__ in (
        "DataFrame",
        "Table",
        "RecordBatch",
    ):
        return result
    raise TypeError(
        f"the pipeline returned a {kind.__name__}; expected a dict (one row), a list of dicts, a "
        "DataFrame, an Arrow table, or None. Wrap a single value: return {'value': ...}"
    )


def run_tasks(
    caller: Caller,
    tasks: list[Task],
    outcomes: list[Outcome],
    tail: Tail,
    worker: str,
    tell: Callable[[int, float], None],
    *,
    time_box: float | None = None,
) -> None:
    """Run jobs one after the other and append how each ended, until the time box is full.

    Whatever is appended when this is interrupted has really ended.
    """
    until = None if time_box is None else time.monotonic() + time_box
    for task in tasks:
        if until is not None and outcomes and time.monotonic() >= until:
            return
        tail.begin()
        started_at, begun = time.time(), time.perf_counter()
        try:
            result, paths = caller.call(task, tell)
        except (Exception, SystemExit) as error:
            seconds = time.perf_counter() - begun
            outcomes.append(
                Outcome(
                    task.position,
                    "failed",
                    started_at,
                    seconds,
                    None,
                    type(error).__name__,
                    describe(error),
                    _traceback(error),
                    tail.end(),
                    None,
                    worker,
                )
            )
        else:
            seconds = time.perf_counter() - begun
            outcomes.append(
                Outcome(
                    task.position,
                    "completed",
                    started_at,
                    seconds,
                    result,
                    None,
                    None,
                    None,
                    tail.end(),
                    paths,
                    worker,
                )
            )


def describe(error: BaseException) -> str:
    """Return an error's message as valid text of bounded length; never raises."""
    try:
        text = str(error)
    except Exception as second:
        text = f"(its message cannot be shown: {type(second).__name__})"
    if isinstance(error, SystemExit):
        text = f"the pipeline called sys.exit({text})"
    return clean(text or type(error).__name__, MESSAGE_CHARACTERS)


def clean(text: str, most: int) -> str:
    """Return valid Unicode without NUL, with the middle left out where it is too long."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}\n… {len(text) - most:,} characters left out …\n{text[-half:]}"
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


class ThreadTails:
    """Keeps what each thread prints while a job runs in it, and passes it on as before."""

    def __init__(self) -> None:
        self._local = threading.local()

    def begin(self) -> None:
        """Forget what this thread printed before."""
        self._local.parts = []
        self._local.size = 0

    def end(self) -> str | None:
        """Return the end of what this thread printed since ``begin``."""
        parts = self._local.__dict__.pop("parts", None)
        if not parts:
            return None
        data = "".join(parts).encode("utf-8", "backslashreplace")[-OUTPUT_BYTES:]
        return data.decode("utf-8", "ignore").replace("\0", "\\x00")

    def write(self, text: str) -> None:
        """Keep a piece of output if a job runs in this thread."""
        parts = self._local.__dict__.get("parts")
        if parts is None:
            return
        parts.append(text[-OUTPUT_BYTES:])
        self._local.size += len(text)
        if self._local.size > 4 * OUTPUT_BYTES:
            kept = "".join(parts)[-OUTPUT_BYTES:]
            self._local.parts, self._local.size = [kept], len(kept)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Listen at ``sys.stdout`` and ``sys.stderr``."""
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Tee(before[0], self), _Tee(before[1], self)  # type: ignore[assignment]
        try:
            yield
        finally:
            for name, stream in zip(("stdout", "stderr"), before, strict=True):
                if isinstance(getattr(sys, name), _Tee):
                    setattr(sys, name, stream)


class _Tee:
    def __init__(self, stream: Any, tails: ThreadTails) -> None:
        self._stream = stream
        self._tails = tails

    def write(self, text: str) -> int:
        self._tails.write(text)
        return int(self._stream.write(text) or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _FileTail:
    """The tail of a worker process: its streams are a file that holds the current job's output only.

    The notebook's process has the same file open, and reads it when this one dies.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def begin(self) -> None:
        self._flush()
        if os.lseek(self._descriptor, 0, os.SEEK_CUR):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)

    def end(self) -> str | None:
        self._flush()
        return read_tail(self._descriptor)

    @staticmethod
    def _flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


def read_tail(descriptor: int) -> str | None:
    """Return the last ``OUTPUT_BYTES`` of an open file as text; None where it is empty."""
    size = os.fstat(descriptor).st_size
    if not size:
        return None
    at = max(0, size - OUTPUT_BYTES)
    if hasattr(os, "pread"):
        data = os.pread(descriptor, OUTPUT_BYTES, at)
    else:
        here = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, at, os.SEEK_SET)
        data = os.read(descriptor, OUTPUT_BYTES)
        os.lseek(descriptor, here, os.SEEK_SET)
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def write_frame(stream: BinaryIO, data: bytes) -> None:
    """Write one message with its length before it."""
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Return the next message; None where the other side is gone."""
    header = stream.read(8)
    if len(header) < 8:
        return None
    (length,) = struct.unpack("<Q", header)
    data = stream.read(length)
    return data if len(data) == length else None


def main() -> None:
    """Serve as a worker process: chunks come in on stdin, outcomes go out on stdout."""
    tasks = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # Pipelines and their children print into the file that is this process's stderr.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import faulthandler

    faulthandler.enable(sys.stderr)
    received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(tasks, received), daemon=True).start()
    lock = threading.Lock()

    def send(message: tuple[Any, ...]) -> None:
        data = pickle.dumps(message, protocol=5)
        with lock:
            write_frame(replies, data)

    _serve(received, send, _FileTail(2))


def _receive(tasks: BinaryIO, received: queue.SimpleQueue[bytes]) -> None:
    while True:
        data = read_frame(tasks)
        if data is None:
            # The notebook's process is gone, or done with this one: end with all children.
            if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
                os.killpg(os.getpid(), signal.SIGKILL)
            os._exit(0)
        received.put(data)


def _serve(
    received: queue.SimpleQueue[bytes], send: Callable[[tuple[Any, ...]], None], tail: Tail
) -> None:
    callers: dict[str, Caller | BaseException] = {}
    name = str(os.getpid())

    def tell(position: int, fraction: float) -> None:
        send(("progress", position, fraction))

    while True:
        message = pickle.loads(received.get())
        if message[0] == "pipeline":
            _, pipeline_id, payload, folder = message
            try:
                callers[pipeline_id] = Caller(pickle.loads(payload), folder)
            except Exception as error:
                callers[pipeline_id] = error
            continue
        _, chunk_id, pipeline_id, tasks, time_box = message
        outcomes: list[Outcome] = []
        caller = callers[pipeline_id]
        if isinstance(caller, BaseException):
            outcomes = [_not_loaded(task, caller, name) for task in tasks]
        else:
            with contextlib.suppress(Exception):  # raised again, and told, by the job itself
                caller.build(tasks[0])
            send(("started", chunk_id))
            run_tasks(caller, tasks, outcomes, tail, name, tell, time_box=time_box)
        _reply(send, chunk_id, outcomes)


def _reply(send: Callable[[tuple[Any, ...]], None], chunk_id: int, outcomes: list[Outcome]) -> None:
    try:
        send(("done", chunk_id, outcomes))
    except Exception:
        send(("done", chunk_id, [_sendable(outcome) for outcome in outcomes]))


def _sendable(outcome: Outcome) -> Outcome:
    try:
        pickle.dumps(outcome, protocol=5)
    except Exception as error:
        return outcome._replace(
            outcome="failed",
            result=None,
            error_type="ResultError",
            error_message=clean(
                "what the pipeline returned cannot be sent from its worker: "
                f"{type(error).__name__}: {describe(error)}",
                MESSAGE_CHARACTERS,
            ),
        )
    return outcome


def _not_loaded(task: Task, error: BaseException, worker: str) -> Outcome:
    return Outcome(
        task.position,
        "failed",
        time.time(),
        0.0,
        None,
        type(error).__name__,
        clean(
            f"the pipeline cannot be loaded in a worker process: {describe(error)}",
            MESSAGE_CHARACTERS,
        ),
        _traceback(error),
        None,
        None,
        worker,
    )


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some callables written in C have none
        return {}


def _load_params(params: str | None) -> dict[str, Any]:
    return dict(json.loads(params)) if params else {}


def _traceback(error: BaseException) -> str:
    """Return the traceback without the frames of this file."""
    shown = traceback.TracebackException.from_exception(error)
    shown.stack = traceback.StackSummary.from_list(
        [frame for frame in shown.stack if frame.filename != __file__]
    )
    try:
        return clean("".join(shown.format()), TRACEBACK_CHARACTERS)
    except Exception:
        return ""
