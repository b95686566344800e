"""Calling a pipeline by the calling convention, for one job or for a batch."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from foregsyte_kaggle.errors import ResultError
from foregsyte_kaggle.worker.context import JobContext, remove_output
from foregsyte_kaggle.worker.telling import Teller

__all__ = ["Caller", "Outcome", "Task", "as_rows"]

Returned = tuple[Any, list[str] | None]


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
    """Relative to the folder of outputs; those of a job that failed are to be removed."""
    worker: str | None = None


class Caller:
    """Calls one pipeline by the calling convention.

    Parameters
    ----------
    target
        A function, or a class that is built once for each distinct set of params of its ``__init__``.
    folder
        Where its output files go.
    device
        The GPU of this process, as the user named it.
    """

    def __init__(self, target: Callable[..., Any], folder: str, device: str | None = None) -> None:
        self._target = target
        self._folder = Path(folder)
        self._device = device
        self._built: dict[str, Callable[..., Any]] = {}
        self._not_built: tuple[str, BaseException] | None = None
        self._is_class = inspect.isclass(target)
        called = target.__call__ if self._is_class else target  # type: ignore[operator]
        self._call_takes = _parameters(called)
        self.wants_job = "job" in self._call_takes
        """Whether each call gets a ``JobContext``."""
        self._is_simple = not self._is_class and not self.wants_job
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

    def call(self, task: Task, teller: Teller) -> Returned:
        """Call the pipeline for one job; return its result and the files it wrote."""
        path = _path(task)
        if self._is_simple and not task.params:
            return as_rows(self._target(path)), None
        params = _load_params(task.params)
        function, given = self._function(params)
        if not self.wants_job:
            return as_rows(function(path, **given)), None
        job = self._context(task, path, params, teller)
        try:
            result = as_rows(function(path, **{**given, "job": job}))
        except BaseException:
            job.drop_outputs()
            raise
        finally:
            teller.forget(task.position)
        if self.abandoned:
            job.drop_outputs()
            return None, None
        return result, job.keep_outputs()

    def call_batch(self, tasks: list[Task], teller: Teller) -> list[Returned]:
        """Call a batch pipeline once for jobs with the same params; return what ``call`` does for each.

        Raises
        ------
        ResultError
            If it does not return a list with an item for each.
        """
        paths = [_path(task) for task in tasks]
        function, given = self._function(_load_params(tasks[0].params))
        if not self.wants_job:
            return [(rows, None) for rows in _as_items(function(paths, **given), len(tasks))]
        jobs = [
            self._context(task, path, _load_params(task.params), teller)
            for task, path in zip(tasks, paths, strict=True)
        ]
        kept: list[list[str] | None] = []
        try:
            results = _as_items(function(paths, **{**given, "job": jobs}), len(tasks))
            if not self.abandoned:
                for job in jobs:
                    kept.append(job.keep_outputs())  # noqa: PERF401 - one may raise
        except BaseException:
            for written in kept:
                self.drop(written)
            raise
        finally:
            for job, task in zip(jobs, tasks, strict=True):
                teller.forget(task.position)
                job.drop_outputs()
        return list(zip(results, kept or [None] * len(tasks), strict=True))

    def drop(self, output_paths: list[str] | None) -> None:
        """Remove files of a job that failed after its pipeline returned."""
        for path in output_paths or ():
            remove_output(self._folder.parent / path)

    def split(self, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the params that a class is built with, and those that each call gets."""
        if not self._is_class:
            return {}, params
        own = self._for_init(params)
        given = {
            name: value
            for name, value in params.items()
            if name not in own or name in self._call_takes
        }
        return own, given

    def _function(self, params: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return what to call, and those of the params that it gets."""
        own, given = self.split(params)
        return self._instance(own) if self._is_class else self._target, given

    def _context(
        self,
        task: Task,
        path: Path | str,
        params: dict[str, Any],
        teller: Teller,
    ) -> JobContext:
        return JobContext(
            task.job_id,
            path,
            params,
            task.attempt,
            self._folder,
            partial(teller.tell, task.position),
            self._device,
        )

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


def as_rows(result: Any, said: str = "the pipeline returned") -> Any:
    """Return what a pipeline returned as None, a list of dicts, a DataFrame or an Arrow table.

    Raises
    ------
    ResultError
        If it is something else; begins with what is ``said``.
    """
    if result is None:
        return None
    if type(result) is dict:
        return [result]
    if isinstance(result, (list, tuple)):
        for number, row in enumerate(result):
            if not isinstance(row, dict):
                raise ResultError(
                    f"{said} a {type(result).__name__} whose item {number} is of type "
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
        f"{said} a value of type {type(result).__name__}; expected a dict (one row), a list of dicts, "
        f"a DataFrame, an Arrow table, or None. {advice}"
    )


def _as_items(returned: Any, size: int) -> list[Any]:
    """Return what a batch pipeline returned, each item as ``as_rows`` has it."""
    expected = "expected a list with one item (a dict, a list of dicts, a DataFrame, an Arrow table or None)"
    inputs = f"{size} input{'s' * (size != 1)}"
    if not isinstance(returned, (list, tuple)):
        raise ResultError(
            f"the batch pipeline returned a value of type {type(returned).__name__} for {inputs}; "
            f"{expected} for each of them"
        )
    if len(returned) != size:
        raise ResultError(
            f"the batch pipeline returned a list of length {len(returned)} for {inputs}; {expected} "
            "for each of them"
        )
    return [as_rows(item, "for one input the batch pipeline returned") for item in returned]


def _path(task: Task) -> Path | str:
    return Path(task.path) if task.is_file else task.path


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some callables written in C have none
        return {}


def _load_params(params: str | None) -> dict[str, Any]:
    return dict(json.loads(params)) if params else {}


def _key(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True) if params else ""
