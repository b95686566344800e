"""The registry: which callable stands for a ``pipeline_id``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from foregsyte_kaggle.errors import InvalidArgumentError, PipelineError, known_names
from foregsyte_kaggle.registry.declared import DeclaredSchema, declared_schema
from foregsyte_kaggle.registry.fingerprints import fingerprint

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Pipeline", "find_pipeline", "known_pipelines", "pipeline", "pipelines"]

Target = TypeVar("Target", bound=Callable[..., Any])

_valid_id = re.compile(r"[a-z][a-z0-9_]{0,62}").fullmatch

#: Built-in pipelines by where they are, so that listing them imports nothing.
BUILTIN = {
    "file_info": "foregsyte_kaggle.registry.builtin:file_info",
    "video_info": "foregsyte_kaggle.registry.builtin:video_info",
    "yolo_ocr": "foregsyte_kaggle.vision.pipeline:YoloOcr",
}


@dataclass(frozen=True)
class Pipeline:
    """A callable under its ``pipeline_id``.

    Attributes
    ----------
    pipeline_id : str
        Letters, digits and underscores.
    target : callable
        A function ``fn(path, **params)``, or a class that is built once per worker and then called.
    origin : str
        ``"notebook"`` for what ``@pipeline`` registered, ``"built-in"`` otherwise.
    version : str or None
        Stands for the code in place of its fingerprint.
    batch_size : int or None
        How many inputs a call gets at most, in a list; None where it gets one, by itself.
    schema : dict or None
        The columns of its results with their types; None where these follow from the values.
    """

    pipeline_id: str
    target: Callable[..., Any]
    origin: str
    version: str | None = None
    batch_size: int | None = None
    schema: DeclaredSchema | None = None

    @property
    def is_class(self) -> bool:
        """Whether the target is a class, built once per worker and distinct params."""
        return inspect.isclass(self.target)

    @cached_property
    def code_version(self) -> str:
        """The version given, or the code's fingerprint."""
        return self.version if self.version is not None else fingerprint(self.target)


_registered: dict[str, Pipeline] = {}


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

    Examples
    --------
    >>> @pipeline("line_count", schema={"lines": int})
    ... def line_count(path):
    ...     return {"lines": len(path.read_text().splitlines())}
    """
    if not isinstance(pipeline_id, str) or not _valid_id(pipeline_id):
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
        _registered[pipeline_id] = Pipeline(
            pipeline_id, target, "notebook", text, batch_size, declared
        )
        return target

    return register


def find_pipeline(pipeline_id: str) -> Pipeline:
    """Return the pipeline of an id.

    Raises
    ------
    PipelineError
        If there is none; says which there are and the nearest.
    InvalidArgumentError
        If it is no text.
    """
    if not isinstance(pipeline_id, str):
        raise InvalidArgumentError(
            f"pipeline_id={pipeline_id!r:.80} is no text; expected the id that a pipeline is registered "
            "under, such as 'file_info'"
        )
    found = _registered.get(pipeline_id)
    if found is not None:
        return found
    if pipeline_id in BUILTIN:
        return _builtin(pipeline_id)
    raise PipelineError(
        f"there is no pipeline {pipeline_id!r}.{known_names(pipeline_id, known_pipelines())} Define it "
        f"first: @foregsyte_kaggle.pipeline({pipeline_id!r}) above a function of a path."
    )


@cache
def _builtin(pipeline_id: str) -> Pipeline:
    module, _, name = BUILTIN[pipeline_id].partition(":")
    target = getattr(import_module(module), name)
    schema = getattr(target, "schema", None)
    return Pipeline(
        pipeline_id,
        target,
        "built-in",
        version=getattr(target, "version", None),
        schema=None if schema is None else declared_schema(schema),
    )


def known_pipelines() -> list[str]:
    """Return the ids that ``find_pipeline`` knows, sorted."""
    return sorted({*_registered, *BUILTIN})


def pipelines() -> pd.DataFrame:
    """List the pipelines that a run can call.

    Returns
    -------
    pandas.DataFrame
        ``pipeline_id``, ``origin``, ``kind`` (function or class), ``code_version``, and the first line
        of its documentation.
    """
    import pandas as pd

    rows = []
    for pipeline_id in known_pipelines():
        found = find_pipeline(pipeline_id)
        doc = inspect.getdoc(found.target) or ""
        rows.append(
            {
                "pipeline_id": pipeline_id,
                "origin": found.origin,
                "kind": "class" if found.is_class else "function",
                "code_version": found.code_version,
                "description": doc.partition("\n")[0],
            }
        )
    columns = ["pipeline_id", "origin", "kind", "code_version", "description"]
    return pd.DataFrame(rows, columns=columns)
