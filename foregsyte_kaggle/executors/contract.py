"""What the run loop and the engines say to each other."""

from __future__ import annotations

import io
import itertools
import linecache
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Protocol

from foregsyte_kaggle.errors import PipelineError
from foregsyte_kaggle.worker import Outcome, Task, code_with_source, describe

__all__ = [
    "OVERDUE_SECONDS",
    "Chunk",
    "Done",
    "Engine",
    "Event",
    "Events",
    "Lost",
    "Part",
    "Progress",
    "Started",
    "dump_target",
    "unreadable",
]

#: A job that takes this long in a chunk holds up nothing any more.
OVERDUE_SECONDS = 0.1

_chunk_ids = itertools.count(1)


@dataclass
class Chunk:
    """Jobs of one pipeline that travel together; its owner is the loop."""

    pipeline_id: str
    tasks: list[Task]
    time_box: float | None = None
    """Seconds after which a worker begins no further job of it."""
    is_batch: bool = False
    """Whether the pipeline gets lists, here all of these jobs in one call."""
    chunk_id: int = field(default_factory=lambda: next(_chunk_ids))


@dataclass(frozen=True)
class Done:
    """A chunk came back; jobs without an outcome were not started."""

    chunk: Chunk
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Part:
    """A chunk takes long: here is what ended, and the last of its jobs, which will not be begun.

    Either may be nothing. One job goes on, or none; its ``Done`` or ``Lost`` comes later.
    """

    chunk: Chunk
    outcomes: list[Outcome]
    returned: int
    """How many of the last jobs are not begun."""


@dataclass(frozen=True)
class Lost:
    """A chunk came back without outcomes."""

    chunk: Chunk
    outcome: str
    """Its worker ``"died"``, or was killed because of its ``"timeout"``; ``"failed"`` where what came
    back cannot be read; ``"unloadable"`` where no worker can load the pipeline, ``"broken"`` where the
    executor takes no more work: these two are no job's fault."""
    reason: str
    output: str | None = None
    """The last that its worker printed, or the traceback of what could not be loaded."""
    seconds: float = 0.0
    began: bool = True
    """False where the worker died before the first job of the chunk began."""
    worker: str | None = None


@dataclass(frozen=True)
class Started:
    """The first job of a chunk began; told by engines whose workers may die before that."""

    chunk: Chunk


@dataclass(frozen=True)
class Progress:
    """How far a job says that it is."""

    position: int
    fraction: float


Event = Started | Part | Done | Lost | Progress
Events = queue.SimpleQueue[Event]


class Engine(Protocol):
    """What the run loop needs of a place where pipelines run.

    All calls come from one thread, the loop's.
    """

    name: str
    workers: int

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        """Make a pipeline known before its first chunk; starts nothing.

        Raises
        ------
        PipelineError
            If it cannot be sent to where it would run.
        """

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk; its ``Done`` or ``Lost`` comes as an event.

        Raises
        ------
        RunError
            If no worker can be started.
        """

    def check(self) -> None:
        """Look after time limits, dead workers and chunks that take long; called several times a second."""

    def hold(self) -> None:
        """Begin no further job, and give back what ended and what has not begun."""

    def close(self, *, kill: bool) -> None:
        """Let go of all workers; with ``kill`` also of those that work. Nothing comes after it."""


def dump_target(pipeline_id: str, target: Callable[..., Any]) -> bytes:
    """Return a pipeline as it travels to other processes; by value if it is from a notebook's cell.

    What travels by value brings the name and the text of its file or cell, for tracebacks.

    Raises
    ------
    PipelineError
        If it holds something that cannot travel.
    """
    import cloudpickle

    table = cloudpickle.Pickler.dispatch_table
    texts: dict[str, str] = {}  # one object a file, so that its text travels once

    def reduce_code(code: CodeType) -> tuple[Any, ...]:
        file = code.co_filename
        text = texts.setdefault(file, "".join(linecache.getlines(file)))
        make, arguments = table[CodeType](code)
        return code_with_source, (file, text, make, arguments)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table = table.new_child({CodeType: reduce_code})

    payload = io.BytesIO()
    try:
        Pickler(payload, protocol=5).dump(target)
        return payload.getvalue()
    except Exception as error:
        raise PipelineError(
            f"the pipeline {pipeline_id!r} cannot be sent to other processes, because it uses something "
            f"of this one ({type(error).__name__}: {error}). Make such things inside the function, or in "
            "the __init__ of a class; or run with executor='threads'."
        ) from error


def unreadable(error: BaseException) -> str:
    """Say why what a worker sent cannot be used."""
    return (
        "what the pipeline returned cannot be read in the notebook's process: "
        f"{type(error).__name__}: {describe(error)}"
    )
