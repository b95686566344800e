"""A worker process: chunks come in, outcomes go out, until the notebook's process is gone."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from foregsyte_kaggle.worker.calling import Caller, Outcome
from foregsyte_kaggle.worker.descendants import descendants
from foregsyte_kaggle.worker.errors import (
    MESSAGE_CHARACTERS,
    clean,
    describe,
    forget_command,
    format_traceback,
)
from foregsyte_kaggle.worker.output import FileTail, Tail
from foregsyte_kaggle.worker.pipes import TAMPERED, Pipe
from foregsyte_kaggle.worker.running import run_tasks
from foregsyte_kaggle.worker.telling import Teller
from foregsyte_kaggle.worker.work import Work

__all__ = ["load_failure", "main", "pack_outcomes"]

Send = Callable[[tuple[Any, ...]], None]


def main(device: str | None, recycle_after: int | None) -> None:
    """Serve as a worker process: messages come in on stdin and go out on stdout.

    Parameters
    ----------
    device
        The GPU that this process sees, as the user named it.
    recycle_after
        The process ends after this many jobs.
    """
    tasks, replies = Pipe(os.dup(0), "rb"), Pipe(os.dup(1), "wb")
    # Pipelines and their children print into the file that is this process's stderr.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import faulthandler

    faulthandler.enable(2)
    forget_command()
    lock = threading.Lock()

    def send(message: tuple[Any, ...]) -> None:
        data = pickle.dumps(message, protocol=5)
        with lock:
            replies.write(data)

    inbox = _Inbox(send)
    threading.Thread(target=_receive, args=(tasks, inbox), daemon=True).start()
    _serve(inbox, send, FileTail(os.dup(2)), device, recycle_after)


class _Inbox:
    """What the main thread has to do, which the receiving thread may still give back."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._changed = threading.Condition()
        self._current: tuple[int, Work, Caller] | None = None

    def put(self, message: tuple[Any, ...]) -> None:
        with self._changed:
            self._waiting.append(message)
            self._changed.notify()

    def get(self) -> tuple[Any, ...]:
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._waiting)
            return self._waiting.popleft()

    def begin(self, chunk_id: int, work: Work, caller: Caller) -> None:
        """Note which chunk the main thread works on."""
        self._current = (chunk_id, work, caller)

    def give_back(self) -> None:
        """Send back all jobs that have not begun, and the outcomes of those that ended."""
        with self._changed:
            messages, current = list(self._waiting), self._current
            self._waiting = deque(message for message in messages if message[0] != "run")
        if current is not None:
            chunk_id, work, caller = current

            def report(ended: list[Outcome], returned: int) -> None:
                packed = [
                    (one.position, pack_outcomes([one], caller), one.output_paths) for one in ended
                ]
                self._send(("part", chunk_id, packed, returned))

            work.give_back(report)
        for message in messages:
            if message[0] == "run":
                self._send(("done", message[1], pickle.dumps([]), None))


def _receive(tasks: Pipe, inbox: _Inbox) -> None:
    while True:
        try:
            data = tasks.read()
        except BaseException:
            os._exit(TAMPERED)
        if data is None:
            # The notebook's process is gone, or done with this one: end with all children.
            for child in descendants(os.getpid()):
                with contextlib.suppress(OSError):
                    os.kill(child, signal.SIGKILL)
            if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
                os.killpg(os.getpid(), signal.SIGKILL)
            os._exit(0)
        message = pickle.loads(data)
        if message[0] == "give back":
            inbox.give_back()
        else:
            inbox.put(message)


def _serve(
    inbox: _Inbox, send: Send, tail: Tail, device: str | None, recycle_after: int | None
) -> None:
    callers: dict[str, Caller | BaseException] = {}
    name = str(os.getpid())
    left = recycle_after

    teller = Teller(lambda position, fraction: send(("progress", position, fraction)))

    while True:
        message = inbox.get()
        if message[0] == "pipeline":
            _, pipeline_id, payload, folder = message
            try:
                callers[pipeline_id] = Caller(pickle.loads(payload), folder, device)
            except BaseException as error:
                callers[pipeline_id] = error
            continue
        _, chunk_id, pipeline_id, tasks, time_box, is_batch = message
        caller = callers[pipeline_id]
        if isinstance(caller, BaseException):
            send(("unloadable", chunk_id, *load_failure(caller)))
            continue
        tasks = tasks[:left]  # the others come back as not begun
        work = Work(tasks, is_batch=is_batch)
        inbox.begin(chunk_id, work, caller)
        caller.build(tasks[0])
        send(("started", chunk_id, len(tasks) if is_batch else 1))
        on_single = partial(send, ("started", chunk_id, 1))
        run_tasks(caller, work, tail, name, teller, time_box=time_box, on_single=on_single)
        # Packed by itself: what cannot be unpacked then costs its chunk, not the connection.
        outcomes, files = work.finish(), None
        packed = pack_outcomes(outcomes, caller)
        if len(outcomes) == 1 and outcomes[0].output_paths:
            # Beside it, so that they can be removed where the outcome cannot be read.
            files = (outcomes[0].position, outcomes[0].output_paths)
        if left is not None:
            left -= len(work.outcomes)
        if tail.broken and is_batch and not work.outcomes:
            os._exit(TAMPERED)  # as any death in a batch, so that its jobs are tried alone
        if is_leaving := tail.broken or left == 0:
            send(("leaving",))  # before the outcomes, so that nothing more is sent here
        send(("done", chunk_id, packed, files))
        if is_leaving:
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
                _unsendable_value(outcome.result)
                or "what the pipeline returned cannot be sent from its worker: "
                f"{type(error).__name__}: {describe(error)}",
                MESSAGE_CHARACTERS,
            ),
            output_paths=None,
        )
    return outcome


def _unsendable_value(result: Any) -> str | None:
    """Say which value of some rows cannot be sent; None where it is not one of theirs."""
    for row in result if isinstance(result, list) else []:
        for column, value in row.items():
            try:
                pickle.dumps(value, protocol=5)
            except Exception as error:
                return (
                    f"the column {column!r}: a value of type {type(value).__name__} cannot be sent from its worker"
                    f" ({describe(error)}); expected text, bytes, a number, a date or time, None, or lists and"
                    " dicts of them. Convert it first, for example with str() or float()."
                )
    return None


def load_failure(error: BaseException) -> tuple[str, str | None]:
    """Say why a pipeline cannot be loaded in a worker, with the traceback."""
    return f"{type(error).__name__}: {describe(error)}", format_traceback(error)
