"""What the rows of ``yolo_ocr`` are measured on: clips of signs, and detectors that find these."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.inputs import made_once
from tests.fixtures.make_detectors import NAMES, write_detector
from tests.fixtures.make_tiny_mp4 import BACKGROUND_RGB, CIRCLE_RGB, RECTANGLE_RGB

WIDTH, HEIGHT = 1280, 720
SIDE = 640
CLASSES = 80
CANDIDATES = 8_400
"""Of the head of a YOLO model for COCO at 640 x 640."""
CHANNELS = (3, 24, 48, 96, 192, 384)
"""Of convolutions that halve the picture, each with one more behind: about 8 GFLOP, as YOLO11n and YOLOv8n."""


def clip(shared: Path, length: float, fps: int) -> Path:
    """Return a clip in 720p: two signs that move and change their size, with a clock on each."""

    def write(path: Path) -> None:
        import av

        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.options = {"preset": "veryfast"}
            ground = _ground()
            for number in range(round(length * fps)):
                picture = _picture(ground, number / fps)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))

    return made_once(shared / f"signs-{length:g}s-{fps}fps.mp4", write)


def small_detector(shared: Path) -> Path:
    """Return a detector that costs next to nothing."""
    return made_once(
        shared / "small.onnx", lambda path: write_detector(path, "columns", (SIDE, SIDE))
    )


def nano_detector(shared: Path) -> Path:
    """Return a detector that costs what the smallest YOLO models do, with as large a head."""

    def write(path: Path) -> None:
        import onnx
        from onnx import helper, numpy_helper

        model = onnx.load(small_detector(shared))
        graph, random = model.graph, np.random.default_rng(7)
        found = graph.node.pop().input[0]

        def constant(name: str, value: Any) -> str:
            graph.initializer.append(numpy_helper.from_array(value, name))
            return name

        def add(kind: str, *inputs: str, **attributes: Any) -> str:
            name = f"Nano{kind}_{len(graph.node)}"
            graph.node.append(helper.make_node(kind, list(inputs), [name], **attributes))
            return name

        features = "images"
        for level, (given, made) in enumerate(pairwise(CHANNELS)):
            for inner, stride in ((given, 2), (made, 1)):
                kernel = random.normal(0, (9 * inner) ** -0.5, (made, inner, 3, 3))
                weights = constant(f"nano_{level}_{stride}", kernel.astype(np.float32))
                features = add("Conv", features, weights, strides=[stride] * 2, pads=[1] * 4)
                features = add("Mul", features, add("Sigmoid", features))
        # It has a say in the scores, and no more, or onnxruntime would leave it out.
        least = constant("nano_least", np.float32(1e-9))
        opinion = add("Mul", add("GlobalAveragePool", features), least)
        opinion = add("ReduceMean", opinion, axes=[1, 2, 3], keepdims=0)
        ends = np.array([0, 0, 0, 0, CLASSES - 2, CANDIDATES - 30])
        head = add("Pad", add("Add", found, opinion), constant("nano_ends", ends))
        graph.node.append(helper.make_node("Identity", [head], ["output0"]))
        del graph.output[:]
        shape = [1, 4 + CLASSES, CANDIDATES]
        graph.output.append(helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, shape))
        names = NAMES | {number: f"other {number}" for number in range(2, CLASSES)}
        helper.set_model_props(model, {"names": repr(names), "task": "detect", "stride": "32"})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))

    return made_once(shared / "nano.onnx", write)


def _ground() -> Any:
    """Return grass, wider than a picture, so that it can move by."""
    import cv2

    grain = np.random.default_rng(7).normal(0, 40, (HEIGHT, 2 * WIDTH)).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 1.5)[:, :, None]
    return np.clip(np.array(BACKGROUND_RGB, np.float32) + grain, 0, 255).astype(np.uint8)


def _picture(ground: Any, time: float) -> Any:
    import cv2

    left = _swing(time, 40, WIDTH)
    picture = ground[:, left : left + WIDTH].copy()
    for colour, period, top in ((RECTANGLE_RGB, 7.3, 80), (CIRCLE_RGB, 9.1, 420)):
        width, height = 160 + _swing(time, period, 240), 80 + _swing(time, period * 0.7, 80)
        x, y = _swing(time, period * 1.3, WIDTH - width), top + _swing(time, period * 0.9, 60)
        cv2.rectangle(picture, (x, y), (x + width, y + height), colour, cv2.FILLED)
        text, font = f"{int(time) // 60:02}:{time % 60:04.1f}", cv2.FONT_HERSHEY_SIMPLEX
        (wide, high), _ = cv2.getTextSize(text, font, 1, 2)
        scale = 0.8 * width / wide
        place = x + width // 10, y + round(height + high * scale) // 2
        cv2.putText(picture, text, place, font, scale, (255, 255, 255), 4, cv2.LINE_AA)
    return picture


def _swing(time: float, period: float, most: int) -> int:
    """Go from 0 to most and back within a period."""
    return round(most * (1 - abs(2 * (time / period % 1) - 1)))
