"""Whether the values of params are of the types that a pipeline's annotations name."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.registry.annotations import fits, is_by_value
from foregsyte_kaggle.registry.binding import Call, calls_of
from foregsyte_kaggle.registry.definition import Pipeline

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowValues", "check_values"]


class RowValues(NamedTuple):
    """The values of a param that rows have of their own."""

    texts: pa.Array
    """JSON, one a row; NULL where a row has none."""
    of_one_type: bool
    """Whether all are of the type of the first."""

    def to_check(self, *, each: bool) -> Iterator[Any]:
        """Yield the values to look at: each distinct one, or one where that tells of all."""
        import pyarrow.compute as pc

        texts = self.texts.drop_null()
        chosen = texts[:1] if self.of_one_type and not each else pc.unique(texts)
        yield from map(json.loads, chosen.to_pylist())


def check_values(found: Pipeline, params: Mapping[str, Any], rows: Mapping[str, RowValues]) -> None:
    """Refuse params of other types than the pipeline's annotations name, before each job fails.

    What is not annotated passes, and so does an annotation that means no JSON value or cannot be
    resolved. As for type checkers, an int is a float too, and a bool is both.

    Parameters
    ----------
    params
        Those of every job.
    rows
        Those of a table's rows.

    Raises
    ------
    InvalidArgumentError
        Names the pipeline, the param, the value, and the type that it takes.
    """
    for call in calls_of(found):
        for name, parameter in call.takes.items():
            annotation = _resolved(call, found, parameter)
            if annotation is parameter.empty:
                continue
            values = [(params[name], "params")] if name in params else []
            if name in rows:
                each = is_by_value(annotation)
                values += [
                    (value, f"the column {name!r}") for value in rows[name].to_check(each=each)
                ]
            for value, place in values:
                is_default = value is None and parameter.default is None
                if not is_default and not fits(value, annotation):
                    raise InvalidArgumentError(
                        f"the pipeline {found.pipeline_id!r} takes {name!r} as {_text(parameter)}, and {place} "
                        f"has {value!r:.80} of type {type(value).__name__}. Give a value of that type."
                    )


def _resolved(call: Call, found: Pipeline, parameter: inspect.Parameter) -> Any:
    """Return what an annotation means; ``Parameter.empty`` where nothing is known of it."""
    annotation = parameter.annotation
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, _names(call.function, found))  # as typing.get_type_hints does it
    except Exception:  # noqa: BLE001 - a name that only a type checker sees, for one
        return parameter.empty


def _names(function: Callable[..., Any], found: Pipeline) -> dict[str, Any]:
    """Return the names that an annotation in the code of a function can use."""
    module = sys.modules.get(getattr(found.target, "__module__", None) or "")
    names = getattr(inspect.unwrap(function), "__globals__", None)
    return dict(names or (vars(module) if module is not None else {}))


def _text(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
