"""What a model that YOLO tools exported tells about itself, beside its inputs and outputs."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ModelFacts", "read_facts"]


@dataclass(frozen=True)
class ModelFacts:
    """The metadata of a model, each with what holds where it says nothing."""

    names: dict[int, str] = field(default_factory=dict)
    """Of the classes, by number; empty where unknown."""
    task: str = "detect"
    stride: int = 32
    size: tuple[int, int] = (640, 640)
    """Height and width that it was exported for."""
    is_final: bool = False
    """Whether its output needs no suppression any more."""
    with_nms: bool = False
    """Whether that is because the exporter added a suppression to it."""

    @property
    def classes(self) -> int | None:
        """How many classes there are; None where unknown."""
        return max(self.names) + 1 if self.names else None

    def label(self, number: int) -> str:
        """Return the name of a class."""
        return self.names.get(number, f"class {number}")


def read_facts(metadata: Mapping[str, str]) -> ModelFacts:
    """Read a model's metadata as Ultralytics' tools write it, in which values are Python's literals."""
    values = {name: _literal(text) for name, text in metadata.items()}
    arguments = values.get("args")
    arguments = arguments if isinstance(arguments, dict) else {}
    task = values.get("task")
    with_nms = arguments.get("nms") is True
    return ModelFacts(
        names=_names(values.get("names")),
        task=task if isinstance(task, str) else ModelFacts.task,
        stride=_positive(values.get("stride")) or ModelFacts.stride,
        size=_size(values.get("imgsz")) or ModelFacts.size,
        is_final=values.get("end2end") is True or with_nms,
        with_nms=with_nms,
    )


def _literal(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _names(value: Any) -> dict[int, str]:
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {}
    try:
        return {int(number): str(name) for number, name in value.items()}
    except (TypeError, ValueError):
        return {}


def _size(value: Any) -> tuple[int, int] | None:
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) == 1:
        pair = (*pair, *pair)
    if len(pair) != 2:
        return None
    height, width = map(_positive, pair)
    return (height, width) if height and width else None


def _positive(value: Any) -> int | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and value >= 1 else None
