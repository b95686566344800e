"""The text on a picture, by RapidOCR, whose models are in its wheel."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from foregsyte_kaggle.surroundings import threads_per_worker
from foregsyte_kaggle.vision.letterbox import Image
from foregsyte_kaggle.vision.lines import Line, as_lines
from foregsyte_kaggle.vision.sessions import open_session

__all__ = ["Reader", "give_models"]

#: Larger pictures are made smaller to find text in, by their longer side; the text is read as it is.
LONGEST_SIDE = 1280
#: What is found is often cut close, and text at the very edge is missed: so much more around it.
MARGIN = 0.05
#: Of a side, which no picture has.
MOST_PIXELS = 1_000_000
#: RapidOCR refuses pictures that are longer.
MOST_TIMES_AS_LONG = 60
LEAST_MARGIN = 2


class Reader:
    """Reads text; build one per worker, since loading takes about a second."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                # By itself it makes pictures of more than 2,000 pixels smaller, and small letters go.
                "Global.max_side_len": MOST_PIXELS,
                # By default small pictures are made large, which takes 20 times as long for a crop.
                "Det.limit_type": "max",
                "Det.limit_side_len": LONGEST_SIDE,
                # For models that it opens itself.
                "EngineConfig.onnxruntime.intra_op_num_threads": threads_per_worker(),
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        give_models(self._engine)

    def read(self, image: Image) -> list[Line]:
        """Return the lines of text on a picture (red, green and blue), in reading order."""
        if min(image.shape[:2]) < 2:
            return []
        found = self._engine(np.ascontiguousarray(_no_strip(image)[:, :, ::-1]))
        if getattr(found, "boxes", None) is None or not found.txts:
            return []
        pieces = []
        for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True):
            clean = " ".join(text.split())
            if clean:
                (x1, y1), (x2, y2) = corners.min(axis=0), corners.max(axis=0)
                pieces.append(Line(clean, float(score), float(x1), float(y1), float(x2), float(y2)))
        return as_lines(pieces)

    def read_box(self, image: Image, x1: float, y1: float, x2: float, y2: float) -> Line | None:
        """Return the text in a box of a picture, several lines as one with line breaks; None if there is none.

        Its box is the one given.
        """
        margin = max(LEAST_MARGIN, MARGIN * min(x2 - x1, y2 - y1))
        height, width = image.shape[:2]
        top, bottom = max(0, math.floor(y1 - margin)), min(height, math.ceil(y2 + margin))
        left, right = max(0, math.floor(x1 - margin)), min(width, math.ceil(x2 + margin))
        lines = self.read(image[top:bottom, left:right])
        if not lines:
            return None
        characters = sum(len(line.text) for line in lines)
        confidence = sum(line.confidence * len(line.text) for line in lines) / characters
        return Line("\n".join(line.text for line in lines), confidence, x1, y1, x2, y2)


def give_models(engine: Any) -> None:
    """Open the models in RapidOCR's wheel as other models are opened here, instead of as it does itself.

    Its own have threads that wait in loops, which doubles the processor time, and leave GPUs alone.
    """
    import rapidocr
    from omegaconf import flag_override

    folder = Path(rapidocr.__file__).parent / "models"
    with flag_override(engine.cfg, "allow_objects", True):
        for part in ("Det", "Cls", "Rec"):
            models = list(folder.glob(f"*_{part.lower()}_*.onnx"))
            if len(models) == 1:  # else RapidOCR downloaded others, and knows which it wants
                engine.cfg[part].session = open_session(str(models[0]), any_size=True)


def _no_strip(image: Image) -> Image:
    """Return a picture that is not too long, with its edge repeated below or to the right."""
    height, width = image.shape[:2]
    least = math.ceil(max(height, width) / MOST_TIMES_AS_LONG)
    missing = max(0, least - height), max(0, least - width)
    if not any(missing):
        return image
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
