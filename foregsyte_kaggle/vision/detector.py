"""What is in a picture, by any YOLO model that was exported to ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.vision.boxes import Floats, suppress
from foregsyte_kaggle.vision.class_numbers import class_numbers
from foregsyte_kaggle.vision.heads import candidate_count, head_layout, read_head
from foregsyte_kaggle.vision.letterbox import Image, letterbox, padded_size
from foregsyte_kaggle.vision.metadata import ModelFacts, read_facts
from foregsyte_kaggle.vision.sessions import open_session

__all__ = ["Detection", "Detector", "check_detector"]

#: Without their own layout: rotated boxes, and what has no boxes at all.
OTHER_TASKS = {"obb": "rotated boxes", "classify": "one class for a whole picture"}
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Detection(NamedTuple):
    """A thing in a picture, in pixels from its upper left corner."""

    label: str
    confidence: float
    x1: float
    y1: float
    x2: float
    y2: float


class Detector:
    """A YOLO model: its input size, its layout of results and its class names are its own.

    Parameters
    ----------
    path
        The ONNX file.
    on_gpu
        Whether to use one that onnxruntime knows.

    Raises
    ------
    InvalidArgumentError
        If onnxruntime cannot load it, or it is no detector that takes one picture.
    """

    def __init__(self, path: str, *, on_gpu: bool = True) -> None:
        self._path = path
        try:
            self._session = open_session(path, on_gpu=on_gpu)
        except Exception as error:
            first_line = str(error).strip().partition("\n")[0]
            raise InvalidArgumentError(
                f"detector={path!r} cannot be loaded by onnxruntime: {first_line}"
            ) from error
        self._facts: ModelFacts = read_facts(self._session.get_modelmeta().custom_metadata_map)
        if self._facts.task in OTHER_TASKS:
            raise self._unusable(f"it gives {OTHER_TASKS[self._facts.task]}")
        given = self._session.get_inputs()
        shape = given[0].shape
        if len(given) != 1 or len(shape) != 4 or (_fixed(shape[1]) and shape[1] != 3):
            raise self._unusable(f"its inputs are {_told(given)}")
        if given[0].type not in DTYPES:
            raise self._unusable(f"its input is of {given[0].type}")
        if _fixed(shape[0]) and shape[0] != 1:
            raise self._unusable(f"it takes {shape[0]} pictures at once; export it with batch=1")
        self._input, self._dtype = given[0].name, DTYPES[given[0].type]
        self._height, self._width = (
            side if _fixed(side) else None for side in (shape[2], shape[3])
        )
        outputs = self._session.get_outputs()
        self._outputs = [one.name for one in outputs]
        chooses = self._facts.is_final and not self._facts.with_nms
        rows = outputs[0].shape[1:2]
        # onnxruntime fails where such a model has fewer candidates than it is to choose.
        self._chosen = rows[0] if chooses and rows and _fixed(rows[0]) else 0

    @property
    def labels(self) -> dict[int, str]:
        """The names of the classes by number, as far as the model's metadata has them."""
        return self._facts.names

    def __call__(
        self, image: Image, confidence: float, iou: float, classes: set[int] | None = None
    ) -> list[Detection]:
        """Return what is in a picture, surest first.

        Parameters
        ----------
        image
            Rows, columns, and red, green and blue.
        confidence
            The least, from 0 to 1.
        iou
            Of two things of one class that overlap by more, only the surer is there.
        classes
            The numbers of those to look for; all by default.
        """
        size = self._size_for(*image.shape[:2])
        framed, placement = letterbox(image, size)
        blob = framed.transpose(2, 0, 1)[None].astype(self._dtype) / self._dtype(255)
        outputs: list[Any] = self._session.run(self._outputs, {self._input: blob})
        output, layout = self._head(outputs, size)
        boxes, scores, numbers = read_head(output, layout, self._facts.classes, confidence)
        if classes is not None:
            wanted = np.isin(numbers, list(classes))
            boxes, scores, numbers = boxes[wanted], scores[wanted], numbers[wanted]
        is_final = layout == "final"
        kept = (
            np.argsort(-scores, kind="stable")
            if is_final
            else suppress(boxes, scores, numbers, iou)
        )
        corners = placement.undo(boxes[kept])
        return [
            Detection(self._facts.label(int(number)), float(score), *map(float, box))
            for number, score, box in zip(numbers[kept], scores[kept], corners, strict=True)
            if box[2] > box[0] and box[3] > box[1]
        ]

    def _size_for(self, height: int, width: int) -> tuple[int, int]:
        """Return the input's height and width: the model's own, or what fits the picture if it is free."""
        if self._height is not None and self._width is not None:
            return self._height, self._width
        stride, longest = self._facts.stride, max(self._facts.size)
        fitted = padded_size(height, width, longest, stride)
        height, width = self._height or fitted[0], self._width or fitted[1]
        while candidate_count((height, width)) < self._chosen:
            if self._width or (height <= width and not self._height):
                height += stride
            else:
                width += stride
        return height, width

    def _head(self, outputs: list[Any], size: tuple[int, int]) -> tuple[Floats, str]:
        # Others of its outputs are masks, or what a v5 head was before its three scales were joined.
        for output in outputs:
            layout = head_layout(
                np.shape(output), size, self._facts.classes, final=self._facts.is_final
            )
            if layout is not None:
                return output, layout
        shapes = ", ".join(str(list(np.shape(output))) for output in outputs)
        raise self._unusable(
            f"its outputs have the shapes {shapes}, and those of YOLO are [1, N, 5 + classes], "
            "[1, 4 + classes, N] or [1, N, 6]"
        )

    def _unusable(self, reason: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"detector={self._path!r} is no YOLO detector that can be used here: {reason}"
        )


def _fixed(side: Any) -> bool:
    """Return whether a side of a shape is a number, and not a name or nothing, as a free one is."""
    return isinstance(side, int) and side > 0


def _told(values: Sequence[Any]) -> str:
    return ", ".join(f"{one.name} {list(one.shape)}" for one in values)


def check_detector(path: Path, classes: Sequence[int | str] | None) -> None:
    """Refuse what no worker could use, without a GPU and without keeping the model.

    Raises
    ------
    InvalidArgumentError
        If the file is no detector that can be used, or it does not know one of the classes.
    """
    about = path.stat()
    labels = _labels_of(str(path), about.st_size, about.st_mtime_ns)
    if classes is not None:
        class_numbers(labels, classes)


@lru_cache(maxsize=16)
def _labels_of(path: str, _size: int, _changed: int) -> dict[int, str]:
    return Detector(path, on_gpu=False).labels
