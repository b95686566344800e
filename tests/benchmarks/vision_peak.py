"""``yolo_ocr`` that tells its memory; workers import it, so it imports nothing that takes any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foregsyte_kaggle.vision.pipeline import YoloOcr
from tests.benchmarks.machine import peak_megabytes


class MeasuredYoloOcr(YoloOcr):
    """The pipeline, with what its process held at most in each row."""

    def __call__(self, path: Path, job: Any, *, annotate: bool = False) -> list[dict[str, Any]]:
        rows = super().__call__(path, job, annotate=annotate)
        return [{**row, "peak_mb": peak_megabytes()} for row in rows]
