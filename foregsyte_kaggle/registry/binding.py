"""Whether a pipeline can be called with the params that its jobs are about to get."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from foregsyte_kaggle.errors import InvalidArgumentError, known_names
from foregsyte_kaggle.registry.definition import Pipeline
from foregsyte_kaggle.worker import Caller

__all__ = ["Call", "calls_of", "check_params"]

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_params(found: Pipeline, names: Iterable[str]) -> None:
    """Refuse params that would fail each job; what cannot be told from a signature passes.

    Parameters
    ----------
    names
        The params that at least one of the jobs has.

    Raises
    ------
    InvalidArgumentError
        If the pipeline takes no path, does not take one of the params, or needs another one.
    """
    caller = Caller(found.target, folder="")
    built_with, given = caller.split(dict.fromkeys(names))
    if caller.wants_job:
        if "job" in given:
            raise InvalidArgumentError(
                f"the pipeline {found.pipeline_id!r} gets its JobContext as 'job', so no param can have that "
                "name; rename the param"
            )
        given = {**given, "job": None}
    if found.is_class and not any("__call__" in vars(one) for one in found.target.__mro__):  # type: ignore[attr-defined]
        raise InvalidArgumentError(
            f"the class of the pipeline {found.pipeline_id!r} has no __call__(self, path), which is called for "
            "each input; add it"
        )
    calls = calls_of(found)
    takes = sorted({name for call in calls for name in call.takes} - {"job"})
    for call in calls:
        call.check(found.pipeline_id, built_with if call.builds else given, takes)


def calls_of(found: Pipeline) -> list[Call]:
    """Return what a worker calls: a function, or a class to build it and then what was built."""
    target = found.target
    if not found.is_class:
        return [Call(target, 1)]
    calls = [Call(target, 0, builds=True)]
    if inspect.isfunction(inspect.getattr_static(target, "__call__", None)):
        calls.append(Call(target.__call__, 2))  # type: ignore[operator]
    return calls


class Call:
    """One call: of a function, of a class to build it, or of what was built.

    Attributes
    ----------
    function : callable
        What is called.
    takes : dict of str and inspect.Parameter
        What it takes by name, behind the path; with ``job``.
    builds : bool
        Whether it builds a class.
    """

    def __init__(self, function: Callable[..., Any], first: int, *, builds: bool = False) -> None:
        self.function = function
        self.builds = builds
        self._first = first
        try:
            # Of a wrapper its own: what it hands on to the wrapped function, nobody can tell.
            self._signature = inspect.signature(function, follow_wrapped=False)
        except (TypeError, ValueError):  # some callables written in C have none
            self._signature = inspect.signature(lambda *_, **__: None)
        parameters = list(self._signature.parameters.values())
        by_position = [one for one in parameters if one.kind in _BY_POSITION]
        takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters)
        self._lacks_path = len(by_position) < first and not takes_any
        by_name = [one for one in parameters if one.kind in _BY_NAME]
        self.takes = {one.name: one for one in by_name if one not in by_position[:first]}

    def check(self, pipeline_id: str, given: dict[str, Any], takes: list[str]) -> None:
        """Refuse the call if Python would."""
        try:
            self._signature.bind(*[None] * self._first, **given)
        except TypeError as error:
            reason = self._reason(given, takes) or f"cannot be called: {error}"
            raise InvalidArgumentError(f"the pipeline {pipeline_id!r} {reason}") from None

    def _reason(self, given: dict[str, Any], takes: list[str]) -> str | None:
        if self._lacks_path:
            return "takes no path, with which it is called; expected a function such as fn(path)"
        for name in given:
            if name not in self.takes:
                known = known_names(name, takes) if takes else " It takes only the path."
                return (
                    f"takes no param {name!r}.{known} Rename it, or leave it out of params= or of the table's "
                    "columns."
                )
        for name, parameter in self.takes.items():
            if parameter.default is parameter.empty and name not in given:
                return (
                    f"needs the param {name!r}, which no job gets; give params={{{name!r}: ...}} or a column "
                    "of the table, or a default in the code"
                )
        return None
