"""A pipeline: a callable, and what was said about it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from foregsyte_kaggle.registry.declared import DeclaredSchema
from foregsyte_kaggle.registry.fingerprints import fingerprint

__all__ = ["Pipeline", "is_pipeline_id"]

#: Whether a text can name a table of results.
is_pipeline_id = re.compile(r"[a-z][a-z0-9_]{0,62}").fullmatch


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
        ``"notebook"``, or the module in which ``@pipeline`` registered it; ``"built-in"``; or the package that
        ships it, with its version.
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
