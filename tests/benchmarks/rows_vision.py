"""``yolo_ocr``: frames a second beside the bare libraries, and memory over a long clip."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foregsyte_kaggle as fk
from foregsyte_kaggle.registry.offers import BUILTIN
from tests.benchmarks import inputs
from tests.benchmarks.measuring import Bar, Bench, Row, python_prints
from tests.benchmarks.vision_peak import MeasuredYoloOcr

if TYPE_CHECKING:
    import pandas as pd

FPS = 25
MEMORY_FPS = 10


def needs_vision(measure: Callable[[Bench], list[Row]]) -> Callable[[Bench], list[Row]]:
    """Say in place of figures what is not installed."""

    @wraps(measure)
    def measured(bench: Bench) -> list[Row]:
        needed = {**dict(BUILTIN["yolo_ocr"].needs), "onnx": "onnx"}
        missing = [name for module, name in needed.items() if find_spec(module) is None]
        if missing:
            note = f"skipped, without {', '.join(missing)}: pip install 'foregsyte-kaggle[vision]' onnx"
            return [Row(measure.__name__, "yolo_ocr", note=note)]
        return measure(bench)

    return measured


@needs_vision
def vision(bench: Bench) -> list[Row]:
    """Both begin when their models are loaded and a first clip is done.

    The run is counted from the end of its first job to that of its last, so the clips' opening, what is
    sent between processes and what is written into the ledger meanwhile are in it, and a worker's start is not.
    """
    from tests.benchmarks import vision_inputs

    length, clips = bench.size(10, 20), bench.size(2, 6)
    clip = vision_inputs.clip(bench.folder, length, FPS)
    detector = vision_inputs.nano_detector(bench.folder)
    frames = length * clips
    parts: dict[str, list[float]] = {}

    def floor() -> float:
        out = bench.scratch / "parts.json"
        taken = python_prints(
            "from tests.benchmarks import vision_floor;"
            f" vision_floor.print_seconds({str(clip)!r}, {str(detector)!r}, {clips}, {str(out)!r})",
            bench.scratch,
        )
        for name, value in json.loads(out.read_text(encoding="utf-8")).items():
            parts.setdefault(name, []).append(value)
        return taken

    def figure() -> float:
        with inputs.workspace(bench.scratch):
            _run_clips("yolo_ocr", _copies(clip, bench.scratch / "clips", 1 + clips), detector)
            _checked("yolo_ocr", length * (1 + clips))
            ended = sorted(fk.jobs_frame().finished_at)
            return float((ended[-1] - ended[0]).total_seconds())

    row = bench.compare(
        Row(
            "vision",
            f"yolo_ocr in a run with one worker, {frames} frames at 1 a second of {clips} clips in 720p",
            "bare PyAV, onnxruntime and RapidOCR on the same frames, inputs and crops",
            bar=Bar(times=1.1),
        ),
        floor,
        figure,
    )
    assert row.value is not None
    assert row.floor_value is not None
    told = ", ".join(f"{name} {frames / statistics.median(parts[name]):.1f}" for name in parts)
    speed = f"{frames / row.value:.2f} frames a second against {frames / row.floor_value:.2f}"
    return [replace(row, note=f"{speed} (alone: {told})")]


@needs_vision
def vision_memory(bench: Bench) -> list[Row]:
    """Each run is in a process of its own, and so is its worker, whose peak is told."""
    short, long = 10, bench.size(60, 600)
    few = replace(bench, rounds=min(bench.rounds, 3))

    def peak(length: int, annotate: bool) -> float:
        code = f"from tests.benchmarks import rows_vision; rows_vision.print_peak({str(bench.folder)!r},"
        return python_prints(f"{code} {length}, {annotate})", bench.scratch)

    return [
        few.compare(
            Row(
                "vision_memory",
                f"peak memory of a worker of yolo_ocr{', annotate=True,' * annotate} over {long} s in 720p",
                f"the same over {short} s",
                bar=Bar(times=1.1, unit="MB"),
            ),
            partial(peak, short, annotate),
            partial(peak, long, annotate),
        )
        for annotate in (False, True)
    ]


def print_peak(shared: str, length: int, annotate: bool) -> None:
    """Run a clip of so many seconds in a worker process, and print the most memory that one held."""
    from tests.benchmarks import vision_inputs

    clip = vision_inputs.clip(Path(shared), length, MEMORY_FPS)
    detector = vision_inputs.small_detector(Path(shared))
    fk.pipeline("yolo_ocr_measured")(MeasuredYoloOcr)
    with inputs.workspace(Path.cwd()):
        folder = _copies(clip, Path.cwd() / f"clips-{length}", 1)
        _run_clips("yolo_ocr_measured", folder, detector, annotate=annotate)
        print(_checked("yolo_ocr_measured", length).peak_mb.max())


def _copies(clip: Path, folder: Path, count: int) -> Path:
    if not folder.exists():
        folder.mkdir()
        for number in range(count):
            shutil.copy(clip, folder / f"{number:02}.mp4")
    return folder


def _run_clips(pipeline_id: str, folder: Path, detector: Path, **params: Any) -> None:
    fk.register_jobs(folder, pipeline_id, params={"detector": str(detector), **params})
    fk.run_jobs(pipeline_id, workers=1)


def _checked(pipeline_id: str, frames: int) -> pd.DataFrame:
    """Return the rows of a run; one that saw no signs, or read nothing on them, measures something else."""
    if errors := list(fk.jobs_frame().error_message.dropna()):
        raise RuntimeError(f"of {pipeline_id}: {errors}")
    rows = fk.results_frame(pipeline_id)
    seen, read = len(rows[["input_path", "frame"]].drop_duplicates()), rows.text.notna().sum()
    if seen != frames or read < len(rows) / 2:
        raise RuntimeError(
            f"signs were seen in {seen} of {frames} frames, and {read} of {len(rows)} were read"
        )
    return rows


ROWS = {"vision": vision, "vision_memory": vision_memory}
