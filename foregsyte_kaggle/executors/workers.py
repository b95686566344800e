"""One worker process as the notebook's process sees it."""

from __future__ import annotations

import contextlib
import json
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
from typing import Any, NamedTuple

from foregsyte_kaggle.errors import RunError
from foregsyte_kaggle.executors.contract import Chunk
from foregsyte_kaggle.surroundings import WORKERS_VARIABLE
from foregsyte_kaggle.worker.descendants import descendants
from foregsyte_kaggle.worker.output import OUTPUT_BYTES, read_tail
from foregsyte_kaggle.worker.pipes import TAMPERED, read_frame, write_frame

__all__ = ["WorkerEnd", "WorkerProcess"]

#: How long a worker that went silent may take to end by itself.
END_SECONDS = 2.0
#: A job that prints more than this loses all but the end of it at once, so that no disk fills up.
LOG_BYTES = 32 * 2**20

_START = (
    "import json, sys; sys.path[:], *options = json.loads(sys.argv.pop()); "
    "from foregsyte_kaggle.worker.serving import main; main(*options)"
)
_package_parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class WorkerEnd(NamedTuple):
    """How a worker process ended."""

    code: int
    output: str | None

    def reason(self, *, began: bool) -> str:
        """Say it, with the likely cause."""
        when = "ran this job" if began else "started or built the pipeline"
        if self.code == TAMPERED:
            return f"its worker process lost its connection while it {when}: a file descriptor was closed"
        if self.code >= 0:
            return f"its worker process ended with exit code {self.code} while it {when}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        cause = {
            "SIGKILL": "most likely the system ran out of memory; try fewer workers",
            "SIGSEGV": "a native library crashed",
            "SIGABRT": "a native library gave up",
            "SIGBUS": "a native library crashed, or a file shrank while it was read",
            "SIGILL": "a native library was built for another processor",
            "SIGFPE": "a native library divided by zero",
        }.get(name, "something ended it from outside")
        return f"its worker process was ended by {name} while it {when}: {cause}"


class WorkerProcess:
    """A worker process with its pipes, its output and the chunks that it holds.

    Parameters
    ----------
    listen
        What its listener thread does; the caller starts that thread.
    slot
        Which of the engine's devices it has.
    device
        The only GPU that it sees; all where it is None.
    recycle_after
        It ends after this many jobs.
    workers
        How many share the processors, which it tells pipelines that start threads.

    Raises
    ------
    RunError
        If the process cannot be started.
    """

    def __init__(
        self,
        listen: Callable[[WorkerProcess], None],
        slot: int | None = None,
        device: str | None = None,
        recycle_after: int | None = None,
        workers: int = 1,
    ) -> None:
        self.slot = slot
        self._log_lock = threading.Lock()
        self._log = tempfile.TemporaryFile(  # noqa: SIM115 - closed when the worker is
            prefix="foregsyte-output-", buffering=0
        )
        path = [entry for entry in sys.path if isinstance(entry, str)]
        options = [[*path, _package_parent], device, recycle_after]
        # Before Python starts in it, since CUDA looks at it once, when it is first loaded.
        told = {WORKERS_VARIABLE: str(workers)}
        if device is not None:
            told["CUDA_VISIBLE_DEVICES"] = device
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(options)],
                env={**os.environ, **told},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                # The notebook's Stop goes to the kernel's process group; workers have their own, which
                # also lets a job be killed with its children.
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise RunError(f"a worker process cannot be started: {error}") from error
        self.pid = self._process.pid
        self.chunks: deque[Chunk] = deque()
        self.known: set[str] = set()
        self.began: float | None = None
        """When the current chunk's first job began; None while the worker starts or builds."""
        self.together = 1
        """How many jobs the current call is for."""
        self.timed_out: Chunk | None = None
        """The chunk that it is killed for."""
        self.overdue: Chunk | None = None
        """The chunk whose current job takes long."""
        self.is_leaving = False
        self.is_buried = False
        self.ended_at: float | None = None
        self.listener = threading.Thread(target=listen, args=(self,), daemon=True)
        self._outbox: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        # A thread of its own, since writing blocks while the worker is stopped or in native code.
        threading.Thread(target=self._deliver, daemon=True).start()

    @property
    def is_usable(self) -> bool:
        """Whether it may be given a chunk."""
        return self.timed_out is None and not self.is_leaving and self.ended_at is None

    @property
    def is_overdue(self) -> bool:
        """Whether its current job takes long, so that others should not wait behind it."""
        return bool(self.chunks) and self.overdue is self.chunks[0]

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message; one to a worker that is gone is dropped, its listener tells of it."""
        self._outbox.put(message)

    def receive(self) -> bytes | None:
        """Wait for a message; None when the worker is gone."""
        assert self._process.stdout is not None
        try:
            return read_frame(self._process.stdout)  # type: ignore[arg-type]
        except (OSError, ValueError):
            return None

    def let_go(self) -> None:
        """Let it end when it has nothing more to do."""
        self._outbox.put(None)

    def has_ended(self) -> bool:
        """Whether the process is no more; leaves its exit code to ``end``."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        # Left unreaped, so that its number cannot be given to another group before that one is killed.
        try:
            state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody ignores SIGCHLD in this process
            return True
        return state is not None

    def kill(self) -> None:
        """Kill it with all children of its jobs; on Linux also those in a session of their own."""
        if self._process.returncode is not None:
            return
        # Found before it ends: then they are nobody's children any more.
        others = [] if self.has_ended() else descendants(self.pid)
        if hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            for pid in (self.pid, *others):  # a job may have moved them to other groups
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        else:
            self._process.kill()

    def limit_output(self) -> None:
        """Keep only the end of what it printed, if that is much."""
        # Under the lock, so that the number is not another file's by the time that it is emptied.
        with self._log_lock, contextlib.suppress(OSError):
            if self._log.closed:
                return
            log = self._log.fileno()
            found = os.fstat(log)
            if getattr(found, "st_blocks", 0) * 512 < LOG_BYTES:
                return
            # The worker goes on writing behind it: what was before becomes a hole, which takes no room.
            at = max(0, found.st_size - OUTPUT_BYTES)
            kept = os.pread(log, OUTPUT_BYTES, at)
            os.ftruncate(log, 0)
            os.pwrite(log, kept, at)

    def end(self) -> WorkerEnd:
        """Wait for a process that went silent, end the children of its jobs, and clean up."""
        until = time.monotonic() + END_SECONDS
        while not self.has_ended() and time.monotonic() < until:
            time.sleep(0.005)
        self.kill()
        try:
            code = self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:  # it hangs in the system, as on a network drive
            code = -signal.SIGKILL
        with self._log_lock:
            output = read_tail(self._log.fileno())
            self._log.close()
        self._outbox.put(None)
        return WorkerEnd(code, output)

    def close_pipe(self) -> None:
        """Close what is read from; called by the listener, since another's close would wait for it."""
        with contextlib.suppress(OSError):
            self._process.stdout.close()  # type: ignore[union-attr]

    def _deliver(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):
            while (message := self._outbox.get()) is not None:
                write_frame(stream, pickle.dumps(message, protocol=5))  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            stream.close()
