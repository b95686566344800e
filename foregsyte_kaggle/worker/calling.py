"""Calling a pipeline by the calling convention, for one job after the other."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.worker.context import JobContext, remove_output
from foregsyte_kaggle.worker.errors import describe, format_traceback, type_name
from foregsyte_kaggle.worker.output import Tail
from foregsyte_kaggle.worker.work import Work

__all__ = ["Caller", "Outcome", "Task", "as_rows", "failed_outcome", "run_tasks"]


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
    """Relative to the folder of outputs."""
    worker: str | None = None


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
        self._not_built: tuple[str, BaseException] | None = None
        self._is_class = inspect.isclass(target)
        called = target.__call__ if self._is_class else target  # type: ignore[operator]
        self._call_takes = _parameters(called)
        self._wants_job = "job" in self._call_takes
        self._init_takes = _parameters(target) if self._is_class else {}
        self._init_takes_any = any(p.kind is p.VAR_KEYWORD for p in self._init_takes.values())
        self.abandoned = False
        """Whether the run went on without what is called now, which then keeps no files."""

    def build(self, task: Task) -> None:
        """Build the class for a task's params, if it is one, so that loading is not the job's time.

        Raises nothing: an error is that of the first call with these params.
        """
        if not self._is_class:
            return
        own = self._for_init(_load_params(task.params))
        key = _key(own)
        if key not in self._built:
            try:
                self._built[key] = self._target(**own)
            except BaseException as error:
                self._not_built = (key, error)

    def call(self, task: Task, tell: Callable[[int, float], None]) -> tuple[Any, list[str] | None]:
        """Call the pipeline for one job; return its result and the files it wrote."""
        path: Path | str = Path(task.path) if task.is_file else task.path
        params = _load_params(task.params) if task.params else {}
        function, given = self._target, params
        if self._is_class:
            own = self._for_init(params)
            function = self._instance(own)
            given = {
                name: value
                for name, value in params.items()
                if name not in own or name in self._call_takes
            }
        if not self._wants_job:
            return as_rows(function(path, **given)), None
        job = JobContext(
            task.job_id,
            path,
            params,
            task.attempt,
            self._folder,
            lambda fraction: tell(task.position, fraction),
        )
        try:
            result = as_rows(function(path, **{**given, "job": job}))
        except BaseException:
            job.drop_outputs()
            raise
        if self.abandoned:
            job.drop_outputs()
            return None, None
        return result, job.keep_outputs()

    def drop(self, output_paths: list[str] | None) -> None:
        """Remove files of a job that failed after its pipeline returned."""
        for path in output_paths or ():
            remove_output(self._folder.parent / path)

    def _instance(self, own: dict[str, Any]) -> Callable[..., Any]:
        key = _key(own)
        if key not in self._built:
            failed, self._not_built = self._not_built, None
            if failed is not None and failed[0] == key:
                raise failed[1]
            self._built[key] = self._target(**own)
        return self._built[key]

    def _for_init(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in params.items()
            if name in self._init_takes or (self._init_takes_any and name not in self._call_takes)
        }


def as_rows(result: Any) -> Any:
    """Return what a pipeline returned as None, a list of dicts, a DataFrame or an Arrow table.

    Raises
    ------
    ResultError
        If it is something else.
    """
    if result is None:
        return None
    if type(result) is dict:
        return [result]
    if isinstance(result, (list, tuple)):
        for number, row in enumerate(result):
            if not isinstance(row, dict):
                raise ResultError(
                    f"the pipeline returned a {type(result).__name__} whose item {number} is of type "
                    f"{type(row).__name__}; expected dicts, one a row"
                )
        return list(result)
    if isinstance(result, dict):
        return [dict(result)]
    for kind in type(result).__mro__:
        if kind.__module__.partition(".")[0] in ("pandas", "pyarrow") and kind.__name__ in (
            "DataFrame",
            "Table",
            "RecordBatch",
        ):
            return result
    advice = "Wrap a single value: return {'value': ...}"
    if isinstance(result, Iterator):
        advice = "Make its rows first: return list(...)"
    raise ResultError(
        f"the pipeline returned a {type(result).__name__}; expected a dict (one row), a list of dicts, "
        f"a DataFrame, an Arrow table, or None. {advice}"
    )


def run_tasks(
    caller: Caller,
    work: Work,
    tail: Tail,
    worker: str,
    tell: Callable[[int, float], None],
    *,
    time_box: float | None = None,
    interrupts: tuple[type[BaseException], ...] = (),
) -> None:
    """Run jobs one after the other and note how each ended, until the time box is full.

    Whatever is noted when this is interrupted has really ended.

    Parameters
    ----------
    time_box
        Seconds after which no further job is begun; one always is.
    interrupts
        Errors that are not the job's, such as the user's Stop, and end this call.
    """
    until = None if time_box is None else time.monotonic() + time_box
    outcomes = work.outcomes
    while until is None or not outcomes or time.monotonic() < until:
        task = work.take()
        if task is None:
            return
        tail.begin()
        started_at, begun = time.time(), time.perf_counter()
        try:
            result, paths = caller.call(task, tell)
        except BaseException as error:
            seconds = time.perf_counter() - begun
            output = tail.end()
            if isinstance(error, interrupts):
                raise
            failed = failed_outcome(task.position, started_at, seconds, error, worker)
            outcomes.append(failed._replace(output=output))
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
        if tail.broken:
            return


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


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some callables written in C have none
        return {}


def _load_params(params: str | None) -> dict[str, Any]:
    return dict(json.loads(params)) if params else {}


def _key(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True) if params else ""
