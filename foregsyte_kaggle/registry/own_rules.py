"""What a pipeline itself has to say about the params of its jobs."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import ForegsyteError, InvalidArgumentError
from foregsyte_kaggle.registry.definition import Pipeline

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_own_rules"]

RULE = "check_params"


def check_own_rules(found: Pipeline, params: str | pa.Array) -> None:
    """Call the static or class method ``check_params`` of a pipeline's class, once for distinct params.

    Parameters
    ----------
    params
        JSON: that of all jobs, or one for each.

    Raises
    ------
    InvalidArgumentError
        If it raises; with what it said.
    """
    if not found.is_class:
        return
    rule = inspect.getattr_static(found.target, RULE, None)
    if not isinstance(
        rule, (staticmethod, classmethod)
    ):  # a method of what is built is another thing
        return
    texts = [params] if isinstance(params, str) else params.unique().to_pylist()
    for text in texts:
        given = json.loads(text)
        try:
            getattr(found.target, RULE)(**given)
        except ForegsyteError:
            raise
        except Exception as error:
            raise InvalidArgumentError(
                f"the pipeline {found.pipeline_id!r} refuses the params {given!r:.200}: "
                f"{type(error).__name__}: {error}"
            ) from error
