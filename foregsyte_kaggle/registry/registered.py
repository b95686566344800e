"""The registry: what ``@pipeline`` declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.registry.declared import declared_schema
from foregsyte_kaggle.registry.definition import Pipeline, is_pipeline_id

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["declared_as", "pipeline", "registered_pipelines", "shipping"]

Target = TypeVar("Target", bound=Callable[..., Any])

_registered: dict[str, Pipeline] = {}
#: What packages declared while they were loaded for their entry points.
_shipped: list[Pipeline] = []
_is_shipping: ContextVar[bool] = ContextVar("is_shipping", default=False)


def pipeline(
    pipeline_id: str,
    *,
    batch_size: int | None = None,
    schema: Mapping[str, Any] | pa.Schema | None = None,
    version: str | None = None,
) -> Callable[[Target], Target]:
    """Register a function or class as a pipeline; decorating again replaces it.

    The function is called as ``fn(path, **params)``: ``path`` is a ``pathlib.Path``, or a ``str`` for
    ids and URLs. A parameter named ``job`` gets a ``JobContext``. A class gets those params that its
    ``__init__`` takes when it is built, once per worker and distinct values, and is then called for each
    input with the others. What is returned (a dict, a list of dicts, a DataFrame, an Arrow table or
    None) becomes rows of ``results.<pipeline_id>``; of a DataFrame's index, the levels that have a name
    become columns too.

    With ``batch_size=32`` it is called as ``fn(paths, **params)`` with a list of up to 32 paths, for jobs
    with the same params, and returns a list as long, of such things; ``job`` gets a list too. When a
    batch raises, or returns another number of items, its inputs are tried one by one in the same worker,
    in lists of one, and that is each job's one attempt: only those fail that it was about. Of a batch
    that succeeded, each job has an equal share of the time, and the first one what was printed.

    Parameters
    ----------
    pipeline_id
        A letter, then up to 62 letters, digits and underscores, all small.
    batch_size
        The most inputs for one call; by default each call gets one, by itself.
    schema
        The columns of the results with their types, where these should not follow from the values: a
        dict of names and types (Python's, such as ``float``, or DuckDB's as text, such as
        ``"DECIMAL(10,2)"``), or a ``pyarrow.Schema``. A value that does not fit, or another column,
        fails its job; a missing column is NULL. Values are converted where that is exact, such as 1 to
        1.0, but text to no number; those of a FLOAT are rounded to it.
    version
        Stands for the code; by default a fingerprint of its source, with its comments and the other
        decorators, and of the values and functions in its closure. A function that it finds by name when
        it is called, such as a helper of the notebook's, does not count: after a change in one, give
        another ``version``, or put the jobs back by ``retry_jobs(status="completed")``.

    Returns
    -------
    callable
        A decorator that returns its argument unchanged.

    Raises
    ------
    InvalidArgumentError
        If the id, ``batch_size`` or the schema is not of that form, or the decorated object cannot be
        called.

    Notes
    -----
    Of a param that is annotated with a type of Python's, with Optional, Union or Literal, or with lists and
    dicts of these, ``register_jobs`` refuses other values, of a table too. A class may have a static method
    ``check_params(**params)``, which it calls for distinct params, to refuse by raising what no type tells.

    A package ships pipelines by entry points of the group ``foregsyte_kaggle.pipelines``, whose names are
    the ids: ``text_turn = "my_package.pipelines:TextTurn"``, with ``[gpu]`` behind it where it needs an extra
    of that package. They are decorated as in a notebook, and imported when one of them is needed.

    Examples
    --------
    >>> @pipeline("line_count", schema={"lines": int})
    ... def line_count(path):
    ...     return {"lines": len(path.read_text().splitlines())}
    """
    if callable(pipeline_id):
        name = getattr(pipeline_id, "__name__", "my_pipeline")
        raise InvalidArgumentError(
            f"@pipeline stands before {name} without an id; write @pipeline({name.lower()!r}), with the id that its"
            " jobs and its table of results shall have"
        )
    if not isinstance(pipeline_id, str) or not is_pipeline_id(pipeline_id):
        raise InvalidArgumentError(
            f"pipeline_id={pipeline_id!r} cannot name a table; expected a small letter, then up to 62 "
            "small letters, digits and underscores, such as 'yolo_ocr'"
        )

    is_whole = isinstance(batch_size, int) and not isinstance(batch_size, bool)
    if batch_size is not None and not (is_whole and batch_size >= 1):
        raise InvalidArgumentError(
            f"batch_size={batch_size!r:.80}; expected a whole number from 1, or None for single inputs"
        )
    declared = None if schema is None else declared_schema(schema)

    def register(target: Target) -> Target:
        if not callable(target):
            raise InvalidArgumentError(
                f"the pipeline {pipeline_id!r} is {target!r:.80}; expected a function or a class"
            )
        text = None if version is None else str(version)
        made = Pipeline(pipeline_id, target, _origin(target), text, batch_size, declared)
        shipped = declared_as(target)
        is_bare = (batch_size, schema, version) == (None, None, None)
        if is_bare and shipped in _shipped and shipped.pipeline_id == pipeline_id:
            made = (
                shipped  # of two packages' pipelines this one is meant, as its package declares it
            )
        if _is_shipping.get():
            _shipped.append(made)
        else:
            _registered[pipeline_id] = made
        return target

    return register


def registered_pipelines() -> dict[str, Pipeline]:
    """Return what the notebook registered, and the modules that it imported, by id."""
    return _registered


def declared_as(target: object) -> Pipeline | None:
    """Return what was declared of a target by ``@pipeline``, wherever that was."""
    declared = (*reversed(_shipped), *_registered.values())
    return next((one for one in declared if one.target is target), None)


@contextmanager
def shipping() -> Iterator[None]:
    """Within it, ``@pipeline`` registers nothing, so that loading a package replaces nothing of the notebook's."""
    token = _is_shipping.set(True)
    try:
        yield
    finally:
        _is_shipping.reset(token)


def _origin(target: Callable[..., Any]) -> str:
    module = getattr(target, "__module__", None)
    return "notebook" if module in (None, "__main__") else str(module)
