"""Running the jobs of a chunk, one after the other or as a batch, and noting how each ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from foregsyte_kaggle.worker.calling import Caller, Outcome, Task
from foregsyte_kaggle.worker.errors import describe, format_traceback, type_name
from foregsyte_kaggle.worker.output import Tail
from foregsyte_kaggle.worker.telling import Teller
from foregsyte_kaggle.worker.work import Work

__all__ = ["failed_outcome", "run_tasks"]

Interrupts = tuple[type[BaseException], ...]


def run_tasks(
    caller: Caller,
    work: Work,
    tail: Tail,
    worker: str,
    teller: Teller,
    *,
    time_box: float | None = None,
    interrupts: Interrupts = (),
    on_single: Callable[[], object] = lambda: None,
) -> None:
    """Run jobs one after the other and note how each ended, until the time box is full.

    A batch is one call for all of them. When it raises, its jobs are tried one by one, in lists of one,
    so that only those fail that it was about; what it printed and wrote until then is dropped.
    Whatever is noted when this is interrupted has really ended.

    Parameters
    ----------
    time_box
        Seconds after which no further job is begun; one always is.
    interrupts
        Errors that are not the job's, such as the user's Stop, and end this call.
    on_single
        Told before each job of a batch that is tried by itself.
    """
    if work.is_batch:
        _run_batch(caller, work, tail, worker, teller, interrupts, on_single)
        return
    until = math.inf if time_box is None else time.perf_counter() + time_box
    outcomes = work.outcomes
    while (task := work.take()) is not None:
        tail.begin()
        started_at, begun = time.time(), time.perf_counter()
        try:
            result, paths = caller.call(task, teller)
        except BaseException as error:
            ended = time.perf_counter()
            output = tail.end()
            if isinstance(error, interrupts):
                raise
            failed = failed_outcome(task.position, started_at, ended - begun, error, worker)
            outcomes.append(failed._replace(output=output))
        else:
            ended = time.perf_counter()
            outcome = (
                task.position,
                "completed",
                started_at,
                ended - begun,
                result,
                None,
                None,
                None,
                tail.end(),
                paths,
                worker,
            )
            # As Outcome(...) does it, in half the time.
            outcomes.append(tuple.__new__(Outcome, outcome))
        if tail.broken or ended >= until:
            return


def _run_batch(
    caller: Caller,
    work: Work,
    tail: Tail,
    worker: str,
    teller: Teller,
    interrupts: Interrupts,
    on_single: Callable[[], object],
) -> None:
    tasks = work.take_all()
    if not tasks:
        return
    ended = _try_batch(caller, tasks, tail, worker, teller, interrupts)
    if len(tasks) == 1 or ended[0].outcome == "completed":
        work.outcomes += ended
        return
    for task in tasks:
        # Without an outcome where the batch broke its streams: then nothing can be tried here.
        if tail.broken or caller.abandoned:
            return
        on_single()
        work.outcomes += _try_batch(caller, [task], tail, worker, teller, interrupts)


def _try_batch(
    caller: Caller,
    tasks: list[Task],
    tail: Tail,
    worker: str,
    teller: Teller,
    interrupts: Interrupts,
) -> list[Outcome]:
    """Call the pipeline once; each job has its share of the time, the first one what was printed."""
    tail.begin()
    started_at, begun = time.time(), time.perf_counter()
    try:
        returned = caller.call_batch(tasks, teller)
    except BaseException as error:
        seconds = (time.perf_counter() - begun) / len(tasks)
        output = tail.end()
        if isinstance(error, interrupts):
            raise
        failed = failed_outcome(tasks[0].position, started_at, seconds, error, worker)
        ended = [failed._replace(position=task.position) for task in tasks]
    else:
        seconds = (time.perf_counter() - begun) / len(tasks)
        output = tail.end()
        ended = [
            Outcome(
                task.position,
                "completed",
                started_at,
                seconds,
                result,
                output_paths=paths,
                worker=worker,
            )
            for task, (result, paths) in zip(tasks, returned, strict=True)
        ]
    return [ended[0]._replace(output=output), *ended[1:]]


def failed_outcome(
    position: int, started_at: float, seconds: float, error: BaseException, worker: str
) -> Outcome:
    """Return the outcome of a job that raised."""
    return Outcome(
        position,
        "failed",
        started_at,
        seconds,
        None,
        type_name(error),
        describe(error),
        format_traceback(error),
        None,
        None,
        worker,
    )
