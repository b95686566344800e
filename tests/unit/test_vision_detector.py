"""Detectors in each layout, where their file is found, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: pip install 'foregsyte-kaggle[vision]'")
pytest.importorskip("onnxruntime", reason="needs pip install 'foregsyte-kaggle[vision]'")
pytest.importorskip("onnx", reason="the detectors are written with it: pip install onnx")

import onnxruntime
from onnx import TensorProto, helper, save

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.vision.boxes import overlaps
from foregsyte_kaggle.vision.class_numbers import class_numbers
from foregsyte_kaggle.vision.detector import Detector
from foregsyte_kaggle.vision.detector_files import find_detector
from foregsyte_kaggle.vision.letterbox import Image
from foregsyte_kaggle.vision.sessions import open_session
from tests.fixtures import make_tiny_mp4 as maker
from tests.fixtures.make_detectors import CANDIDATES, CONFIDENCE, LAYOUTS, write_detector

pytestmark = pytest.mark.unit


def picture(width: int, height: int, seconds: float = 0.7) -> Image:
    return np.asarray(maker.draw_frame(seconds, "GOAL 2:1", width, height))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(320, 320), (192, 352), (416, 256), None], ids=str)
@pytest.mark.parametrize("shape", [(320, 240), (240, 320), (640, 200)], ids=str)
def test_shapes_are_found_once_each(
    tmp_path: Path, layout: str, size: tuple[int, int] | None, shape: tuple[int, int]
) -> None:
    detector = Detector(str(write_detector(tmp_path / "a.onnx", layout, size)))
    found = detector(picture(*shape), 0.25, 0.45)
    assert [one.label for one in found] == ["rectangle", "circle"]
    assert [one.confidence for one in found] == pytest.approx([CONFIDENCE] * 2, abs=1e-4)
    for one, box in zip(found, maker.shapes_at(0.7, *shape), strict=True):
        assert overlaps(np.array(one[2:]), np.array([box], float))[0] >= 0.9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_confidence_iou_and_classes_are_kept_to(tmp_path: Path, layout: str) -> None:
    detector = Detector(str(write_detector(tmp_path / "a.onnx", layout, None)))
    image = picture(320, 240)
    assert detector(image, 0.95, 0.45) == []
    assert [one.label for one in detector(image, 0.25, 0.45, {1})] == ["circle"]
    doubled = len(detector(image, 0.25, 0.99))
    assert doubled == (2 if layout == "final" else 6)
    assert detector(np.full((100, 100, 3), 114, np.uint8), 0.25, 0.45) == []


def test_an_end_to_end_model_gets_an_input_with_as_many_candidates_as_it_chooses(
    tmp_path: Path,
) -> None:
    detector = Detector(str(write_detector(tmp_path / "a.onnx", "final", None)))
    assert detector._chosen == CANDIDATES
    detector._chosen = 300
    assert detector._size_for(37, 700) == (64, 320)  # 32 rows would have 210
    assert detector._size_for(700, 37) == (320, 64)
    assert detector._size_for(240, 320) == (256, 320)


def test_a_model_without_metadata_is_told_by_its_shapes(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        path = write_detector(tmp_path / f"{layout}.onnx", layout, (320, 320), metadata={})
        found = Detector(str(path))(picture(320, 240), 0.25, 0.45)
        assert [one.label for one in found] == ["class 0", "class 1"], layout


def test_classes_go_by_name_or_number(tmp_path: Path) -> None:
    labels = Detector(str(write_detector(tmp_path / "a.onnx", "columns", None))).labels
    assert class_numbers(labels, ["circle", 0]) == {0, 1}
    for unknown in ("cirle", 2):
        with pytest.raises(InvalidArgumentError, match=r"classes holds .*Known are circle, recta"):
            class_numbers(labels, [unknown])
    assert class_numbers({}, [7]) == {7}


@pytest.mark.parametrize(
    ("available", "asked"),
    [
        (["CPUExecutionProvider"], []),
        (["AzureExecutionProvider", "CPUExecutionProvider"], []),
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            ["CUDAExecutionProvider"],
        ),
        (["ROCMExecutionProvider", "CPUExecutionProvider"], ["ROCMExecutionProvider"]),
        (["DmlExecutionProvider", "CPUExecutionProvider"], ["DmlExecutionProvider"]),
    ],
)
def test_a_gpu_comes_before_the_processor_where_onnxruntime_has_one(
    monkeypatch: pytest.MonkeyPatch, available: list[str], asked: list[str]
) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *_, providers: given.append(providers)
    )
    open_session("a.onnx")
    open_session("a.onnx", on_gpu=False)
    assert given == [[*asked, "CPUExecutionProvider"], ["CPUExecutionProvider"]]


def write_model(path: Path, inputs: list[list[int | str]], output: list[int], **facts: str) -> str:
    names = [f"in{number}" for number in range(len(inputs))]
    node = helper.make_node("ConstantOfShape", ["shape"], ["out"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [len(output)], output)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)
        for name, sides in zip(names, inputs, strict=True)
    ]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, output)
    graph = helper.make_graph([node], "g", values, [out], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, facts)
    save(model, str(path))
    return str(path)


@pytest.mark.parametrize(
    ("inputs", "task", "reason"),
    [
        ([[1, 3, 64, 64], [1, 1]], "detect", r"its inputs are in0 \[1, 3, 64, 64\], in1"),
        ([[1, 1, 64, 64]], "detect", r"its inputs are in0 \[1, 1, 64, 64\]"),
        ([[4, 3, 64, 64]], "detect", "it takes 4 pictures at once; export it with batch=1"),
        ([[1, 3, 64, 64]], "obb", "it gives rotated boxes"),
        ([[1, 3, 64, 64]], "classify", "it gives one class for a whole picture"),
    ],
)
def test_a_model_of_another_kind_says_what_it_is(
    tmp_path: Path, inputs: list[list[int | str]], task: str, reason: str
) -> None:
    path = write_model(tmp_path / "a.onnx", inputs, [1, 84, 100], task=task)
    with pytest.raises(InvalidArgumentError, match=f"is no YOLO detector .*: {reason}"):
        Detector(path)


def test_an_output_of_no_known_layout_says_its_shape(tmp_path: Path) -> None:
    detector = Detector(write_model(tmp_path / "a.onnx", [[1, 3, 64, 64]], [1, 1000]))
    with pytest.raises(InvalidArgumentError, match=r"its outputs have the shapes \[1, 1000\]"):
        detector(picture(64, 64), 0.25, 0.45)


def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("no model")
    with pytest.raises(InvalidArgumentError, match="cannot be loaded by onnxruntime"):
        Detector(str(tmp_path / "a.onnx"))


@pytest.fixture
def attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of attached inputs with a dataset and a model, in the newer layout."""
    root = tmp_path / "input"
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(root))
    for place in (
        "datasets/ann/weights/v1/best.onnx",
        "datasets/ann/weights/v1/last.onnx",
        "models/ann/yolo/onnx/nano/2/model.onnx",
    ):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()
    return root


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("ann/weights/v1/best.onnx", "datasets/ann/weights/v1/best.onnx"),
        ("weights/v1/best.onnx", "datasets/ann/weights/v1/best.onnx"),
        ("datasets/ann/weights/v1/best.onnx", "datasets/ann/weights/v1/best.onnx"),
        ("ann/yolo/onnx/nano/2/model.onnx", "models/ann/yolo/onnx/nano/2/model.onnx"),
        ("models/ann/yolo/onnx/nano", "models/ann/yolo/onnx/nano/2/model.onnx"),
    ],
)
def test_a_detector_is_found_in_an_attached_input(attached: Path, text: str, place: str) -> None:
    assert find_detector(text) == attached / place


def test_a_detector_that_cannot_be_found_says_what_there_is(attached: Path) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"2 files in it end in \.onnx, such as 'v1/best"
    ):
        find_detector("ann/weights")
    with pytest.raises(InvalidArgumentError, match=r"there is no such file; attached are 'dataset"):
        find_detector("ann/weight")
    with pytest.raises(InvalidArgumentError, match=r"'/no/such.onnx': there is no such file$"):
        find_detector("/no/such.onnx")


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "best.onnx").touch()
    assert find_detector("runs/best.onnx") == Path("runs/best.onnx")
    assert find_detector("runs") == Path("runs/best.onnx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgumentError, match=r"no file in it ends in \.onnx"):
        find_detector("empty")
