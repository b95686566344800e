"""A worker process: chunks come in, outcomes go out, until the notebook's process is gone."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

from foregsyte_kaggle.worker.calling import Caller, Outcome, run_tasks
from foregsyte_kaggle.worker.errors import MESSAGE_CHARACTERS, clean, describe, format_traceback
from foregsyte_kaggle.worker.output import FileTail, Tail
from foregsyte_kaggle.worker.pipes import TAMPERED, Pipe

__all__ = ["load_failure", "main", "pack_outcomes"]

Send = Callable[[tuple[Any, ...]], None]


def main() -> None:
    """Serve as a worker process: messages come in on stdin and go out on stdout."""
    tasks, replies = Pipe(os.dup(0), "rb"), Pipe(os.dup(1), "wb")
    # Pipelines and their children print into the file that is this process's stderr.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import faulthandler

    faulthandler.enable(2)
    received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(tasks, received), daemon=True).start()
    lock = threading.Lock()

    def send(message: tuple[Any, ...]) -> None:
        data = pickle.dumps(message, protocol=5)
        with lock:
            replies.write(data)

    _serve(received, send, FileTail(os.dup(2)))


def _receive(tasks: Pipe, received: queue.SimpleQueue[bytes]) -> None:
    while True:
        try:
            data = tasks.read()
        except BaseException:
            os._exit(TAMPERED)
        if data is None:
            # The notebook's process is gone, or done with this one: end with all children.
            if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
                os.killpg(os.getpid(), signal.SIGKILL)
            os._exit(0)
        received.put(data)


def _serve(received: queue.SimpleQueue[bytes], send: Send, tail: Tail) -> None:
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
            except BaseException as error:
                callers[pipeline_id] = error
            continue
        _, chunk_id, pipeline_id, tasks, time_box = message
        caller = callers[pipeline_id]
        if isinstance(caller, BaseException):
            send(("unloadable", chunk_id, *load_failure(caller)))
            continue
        caller.build(tasks[0])
        send(("started", chunk_id))
        outcomes: list[Outcome] = []
        run_tasks(caller, tasks, outcomes, tail, name, tell, time_box=time_box)
        # Packed by itself: what cannot be unpacked then costs its chunk, not the connection.
        send(("done", chunk_id, pack_outcomes(outcomes, caller)))
        if tail.broken:
            send(("leaving",))
            os._exit(0)


def pack_outcomes(outcomes: list[Outcome], caller: Caller) -> bytes:
    """Return outcomes as bytes; a result that cannot be sent fails its own job only."""
    try:
        return pickle.dumps(outcomes, protocol=5)
    except Exception:
        return pickle.dumps([_sendable(outcome, caller) for outcome in outcomes], protocol=5)


def _sendable(outcome: Outcome, caller: Caller) -> Outcome:
    try:
        pickle.dumps(outcome, protocol=5)
    except Exception as error:
        caller.drop(outcome.output_paths)
        return outcome._replace(
            outcome="failed",
            result=None,
            error_type="ResultError",
            error_message=clean(
                "what the pipeline returned cannot be sent from its worker: "
                f"{type(error).__name__}: {describe(error)}",
                MESSAGE_CHARACTERS,
            ),
            output_paths=None,
        )
    return outcome


def load_failure(error: BaseException) -> tuple[str, str | None]:
    """Say why a pipeline cannot be loaded in a worker, with the traceback."""
    return f"{type(error).__name__}: {describe(error)}", format_traceback(error)
