"""The least work that could do what ``yolo_ocr`` does, written with the libraries that it uses.

A frame is decoded and made an array, the detector is run, and each sign is read. What goes in, the
detector's inputs and the crops, is recorded from ``yolo_ocr`` beforehand, so that scaling, padding,
finding boxes in the head and cutting them out are all work that only the pipeline does.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foregsyte_kaggle.surroundings import threads_per_worker
from foregsyte_kaggle.vision.pipeline import YoloOcr
from foregsyte_kaggle.vision.reader import give_models
from foregsyte_kaggle.worker import JobContext


def print_seconds(clip: str, detector: str, times: int, out: str) -> None:
    """Print how long so many passes over a clip take, and write how long each part of that took."""
    parts: dict[str, float] = defaultdict(float)
    one_pass = bare_pass(clip, detector, parts)
    one_pass()
    parts.clear()
    begun = time.perf_counter()
    for _ in range(times):
        one_pass()
    taken = time.perf_counter() - begun
    Path(out).write_text(json.dumps(parts), encoding="utf-8")
    print(taken)


def bare_pass(clip: str, detector: str, parts: dict[str, float]) -> Callable[[], None]:
    """Return the call that goes once over a clip, and adds to the parts how long each took."""
    import av
    import onnxruntime
    from rapidocr import RapidOCR

    threads = threads_per_worker()
    recorded = _record(clip, detector)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as the pipeline does
    session = onnxruntime.InferenceSession(detector, options, providers=["CPUExecutionProvider"])
    reader = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.limit_type": "max",
            "Det.limit_side_len": 1280,
        }
    )
    give_models(reader)  # with its own it takes twice the processor time

    def one_pass() -> None:
        waiting = iter(recorded)
        begun = time.perf_counter()
        with av.open(clip) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
            every = round(float(stream.average_rate))
            for number, frame in enumerate(container.decode(stream)):
                if number % every:
                    continue
                frame.to_ndarray(format="rgb24")
                blob, crops = next(waiting)
                decoded = time.perf_counter()
                session.run(None, {"images": blob})
                detected = time.perf_counter()
                for crop in crops:
                    reader(crop)
                read = time.perf_counter()
                parts["PyAV"] += decoded - begun
                parts["onnxruntime"] += detected - decoded
                parts["RapidOCR"] += read - detected
                begun = read
        parts["PyAV"] += time.perf_counter() - begun
        if next(waiting, None) is not None:
            raise RuntimeError(f"yolo_ocr took {len(recorded)} frames, and the floor fewer")

    return one_pass


def _record(clip: str, detector: str) -> list[tuple[Any, list[Any]]]:
    """Return for each frame that ``yolo_ocr`` takes what it gives to the detector and to the reader."""
    frames: list[tuple[Any, list[Any]]] = []
    pipeline: Any = YoloOcr(detector)
    session, engine = pipeline._detector._session, pipeline._reader._engine

    class Session:
        def run(self, outputs: Any, given: dict[str, Any]) -> Any:
            frames.append((given["images"].copy(), []))
            return session.run(outputs, given)

    def read(crop: Any) -> Any:
        frames[-1][1].append(crop.copy())
        return engine(crop)

    pipeline._detector._session, pipeline._reader._engine = Session(), read
    pipeline(
        Path(clip), JobContext("1", "x", {}, 1, Path.cwd() / "outputs", lambda _fraction: None)
    )
    return frames
