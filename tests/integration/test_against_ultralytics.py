"""Our detector beside Ultralytics' own: on models that it exports, and its letterbox and suppression on random input.

It has an environment of its own, the lane ``ultralytics``, and only this test imports it. Elsewhere these tests
are skipped, by name; with ``FOREGSYTE_REQUIRE_ULTRALYTICS=1``, as in the lane, to be without it is a failure.

The models have random weights, scaled so that they find some hundred things of many classes in noise.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foregsyte_kaggle.errors import InvalidArgumentError

# It reads these when it is imported: nothing is installed or downloaded.
os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
if os.environ.get("FOREGSYTE_REQUIRE_ULTRALYTICS") == "1":
    import ultralytics
else:
    reason = "needs Ultralytics: .venv/bin/nox -f tests/noxfile.py -s ultralytics"
    ultralytics = pytest.importorskip("ultralytics", reason=reason)

import cv2
import numpy as np
import torch
from ultralytics.data.augment import LetterBox
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.nms import TorchNMS, non_max_suppression
from ultralytics.utils.ops import scale_boxes

from foregsyte_kaggle.vision.boxes import suppress
from foregsyte_kaggle.vision.detector import Detection, Detector
from foregsyte_kaggle.vision.heads import head_layout, read_head
from foregsyte_kaggle.vision.letterbox import Image, letterbox, padded_size

# PyTorch's exporter warns of what it will change.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
]

#: Name and arguments of the export, and the shape of what comes out. Without ``nms=False`` the newest models have
#: a head of each kind, and export the one that is to be suppressed.
MODELS = [
    pytest.param(name, more, layout, id=f"{name} {layout}")
    for name, more, layout in [
        ("yolov5n", {}, "columns"),
        ("yolov8n", {}, "columns"),
        ("yolov9t", {}, "columns"),
        ("yolo11n", {}, "columns"),
        ("yolov10n", {"nms": False}, "final"),
        ("yolo26n", {"nms": False}, "final"),
        ("yolo26n", {}, "columns"),
    ]
]
VERY_WIDE = (37, 700)
#: Of the pictures: upright, wide, very wide, odd numbers of pixels, smaller than any input, larger than any.
SHAPES = [(320, 480), (500, 213), VERY_WIDE, (121, 477), (90, 60), (1081, 1919)]
ALL_SIZES = {"square": (320, 320), "not square": (320, 480), "dynamic": None}

Export = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def no_warm_up() -> Iterator[None]:
    """Without a warm-up torchvision is not imported, whose wheel does not fit a PyTorch for the CPU alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AutoBackend, "warmup", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Write a model with random weights as ONNX, once for each way that a test asks for."""
    written: dict[Any, Path] = {}

    def write(
        name: str,
        size: tuple[int, int] | None,
        names: tuple[str, ...] = (),
        speak: bool = True,
        **more: Any,
    ) -> Path:
        key = name, size, names, *more.items()
        if key not in written:
            os.chdir(tmp_path_factory.mktemp("models"))
            model = ultralytics.YOLO(f"{name}.yaml", verbose=False)
            torch.manual_seed(7)
            if names:
                few = DetectionModel(f"{name}.yaml", nc=len(names), verbose=False)
                few.args, few.task = model.model.args, "detect"
                model.model = few
            if speak:
                known = names or [f"kind {number}" for number in range(model.model.model[-1].nc)]
                model.model.names = dict(enumerate(known))
                speak_up(model.model)
            made = model.export(
                format="onnx", imgsz=list(size or (320, 320)), dynamic=size is None, **more
            )
            written[key] = Path(made).resolve()
        return written[key]

    return write


def speak_up(model: Any) -> None:
    """Have a model with random weights find different things in different places, with scores of all heights."""
    framed = np.stack([letterbox(image, (320, 320))[0] for image in pictures()])
    sample = torch.from_numpy(framed).permute(0, 3, 1, 2).float() / 255
    for norm in (part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        norm.momentum = None  # the mean over all that it saw
    head = model.model[-1]
    for branch in ("cv2", "cv3", "one2one_cv2", "one2one_cv3"):
        for scale in getattr(head, branch, None) or ():
            # A distance is the mean of 16 bins, or a number of its own that has to stay above 0.
            bins = (2.0, 2.0) if head.reg_max > 1 else (2.0, 0.3)
            mean, spread = bins if branch.endswith("cv2") else (-4.0, 1.0)
            scale[-1].register_forward_hook(rescale(mean, spread))
    with torch.no_grad():
        model.train()(sample)
    for part in head.modules():
        part._forward_hooks.clear()
    model.eval()


def rescale(mean: float, spread: float) -> Callable[..., Any]:
    """Return a hook by which each channel of a convolution gets this mean and spread from now on."""

    def hook(layer: torch.nn.Conv2d, _: Any, given: torch.Tensor) -> torch.Tensor:
        means, spreads = given.mean((0, 2, 3)), given.std((0, 2, 3)) + 1e-6
        layer.weight.mul_((spread / spreads)[:, None, None, None])
        layer.bias.copy_((layer.bias - means) * spread / spreads + mean)
        shape = (1, -1, 1, 1)
        scaled: torch.Tensor = (given - means.view(shape)) / spreads.view(shape) * spread + mean
        return scaled

    return hook


def pictures() -> list[Image]:
    """Return noise in patches of all sizes, red, green and blue."""
    rng = np.random.default_rng(5)
    made = []
    for height, width in SHAPES:
        rough = rng.integers(0, 256, (height // 20 + 2, width // 20 + 2, 3), dtype=np.uint8)
        smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)
        fine = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        made.append(np.asarray(cv2.addWeighted(smooth, 0.9, fine, 0.1, 0)))
    return made


@functools.lru_cache(maxsize=1)
def loaded(path: Path) -> Any:
    return ultralytics.YOLO(path)  # its task is told by the name of the file


def theirs(path: Path, image: Image, size: tuple[int, int] | None, **asked: Any) -> list[Detection]:
    """Return what Ultralytics finds, without what has no area inside the picture."""
    bgr = np.ascontiguousarray(image[..., ::-1])
    (result,) = loaded(path).predict(
        bgr, imgsz=list(size or (320, 320)), max_det=10_000, verbose=False, device="cpu", **asked
    )
    found = [
        Detection(result.names[int(row[5])], float(row[4]), *map(float, row[:4]))
        for row in result.boxes.data.numpy()
    ]
    return [one for one in found if one.x2 > one.x1 and one.y2 > one.y1]


def assert_same(
    path: Path,
    size: tuple[int, int] | None,
    least: int = 100,
    leave_out: tuple[int, int] | None = None,
    **asked: Any,
) -> None:
    """Compare what both find in all pictures: names, scores, pixels, and the order but for equal scores."""
    detector, count = Detector(str(path)), 0
    classes = {"classes": set(asked["classes"])} if "classes" in asked else {}
    for image in pictures():
        if image.shape[:2] == leave_out:
            continue
        expected = theirs(path, image, size, **asked)
        ours = detector(image, asked["conf"], asked["iou"], **classes)
        scores = [one.confidence for one in expected]
        assert [one.confidence for one in ours] == pytest.approx(scores, abs=1e-3)
        assert list(filter(None, (missing(one, ours) for one in expected))) == []
        assert list(filter(None, (missing(one, expected) for one in ours))) == []
        count += len(expected)
    assert count >= least, "too little was found to compare"


def missing(wanted: Detection, found: list[Detection]) -> Detection | None:
    """Return a detection if none is like it: its name, its score, and its corners to a hundredth of a pixel."""
    for one in found:
        apart = max(abs(a - b) for a, b in zip(one[2:], wanted[2:], strict=True))
        is_as_sure = abs(one.confidence - wanted.confidence) < 1e-4
        if one.label == wanted.label and is_as_sure and apart < 0.01:
            return None
    return wanted


def output_layout(path: Path, size: tuple[int, int] | None) -> str | None:
    detector = Detector(str(path))
    height, width = size or (320, 320)
    outputs = detector._session.run(None, {"images": np.zeros((1, 3, height, width), np.float32)})
    return detector._head(outputs, (height, width))[1]


@pytest.mark.parametrize("size", ALL_SIZES.values(), ids=ALL_SIZES)
@pytest.mark.parametrize(("name", "more", "layout"), MODELS)
def test_the_same_is_found_in_the_same_order(
    export: Export, name: str, more: dict[str, Any], layout: str, size: tuple[int, int] | None
) -> None:
    path = export(name, size, **more)
    assert output_layout(path, size) == layout
    # Ultralytics gives that picture an input too small for the 300 candidates that such a model chooses from.
    too_wide = VERY_WIDE if size is None and layout == "final" else None
    assert_same(path, size, leave_out=too_wide, conf=0.25, iou=0.7)


def test_a_very_wide_picture_gets_an_input_large_enough_to_choose_from(export: Export) -> None:
    path = export("yolo26n", None, nms=False)
    image = np.asarray(cv2.resize(pictures()[0], VERY_WIDE[::-1]))
    with pytest.raises(Exception, match="TopK"):
        theirs(path, image, None, conf=0.01)
    assert len(Detector(str(path))(image, 0.01, 0.7)) > 0


@pytest.mark.parametrize("conf", [0.1, 0.5])
@pytest.mark.parametrize("iou", [0.2, 0.45])
@pytest.mark.parametrize("more", [{}, {"nms": False}], ids=["columns", "final"])
def test_confidence_iou_and_classes_mean_the_same(
    export: Export, more: dict[str, Any], conf: float, iou: float
) -> None:
    path = export("yolo26n", (320, 480), **more)
    asked = list(range(0, 80, 3))
    assert_same(path, (320, 480), least=20, conf=conf, iou=iou, classes=asked)


@pytest.mark.parametrize("more", [{}, {"nms": False}], ids=["columns", "final"])
@pytest.mark.parametrize(
    "names",
    [("it",), ("goalkeeper's", 'a "sign"'), ("Straße", "a: b, {c}", "x\\y")],
    ids=["one", "two", "three"],
)
def test_few_classes_and_odd_names_are_read_alike(
    export: Export, names: tuple[str, ...], more: dict[str, Any]
) -> None:
    path = export("yolo26n", (320, 320), names, **more)
    assert Detector(str(path)).labels == dict(enumerate(names))
    assert_same(path, (320, 320), least=20, conf=0.05, iou=0.7)


@pytest.mark.parametrize("size", [(320, 480), None], ids=["not square", "dynamic"])
def test_suppression_within_the_model_is_not_repeated(
    export: Export, size: tuple[int, int] | None
) -> None:
    try:
        import torchvision
    except (ImportError, RuntimeError):
        pytest.skip("torchvision does not fit the PyTorch for the CPU alone that is installed")
    assert torchvision.__name__
    path = export("yolov8n", size, nms=True, max_det=3000, conf=0.05, iou=0.6)
    assert output_layout(path, size) == "final"
    assert_same(path, size, conf=0.25, iou=0.1)


@pytest.mark.parametrize("name", ["yolo11n-seg", "yolo11n-pose"])
def test_boxes_are_read_beside_masks_and_points(export: Export, name: str) -> None:
    assert_same(export(name, (320, 320)), (320, 320), least=20, conf=0.05, iou=0.7)


def test_rotated_boxes_and_classifiers_are_refused(export: Export) -> None:
    for name, why in (("yolo11n-obb", "rotated boxes"), ("yolo11n-cls", "one class for a whole")):
        with pytest.raises(InvalidArgumentError, match=why):
            Detector(str(export(name, (320, 320), speak=False)))


@pytest.mark.parametrize("seed", range(200))
def test_letterboxes_are_equal_and_boxes_come_back_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = map(int, rng.integers(1, 900, 2))
    size = tuple(map(int, rng.integers(1, 21, 2) * 32))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    boxes = rng.uniform(-50, 700, (50, 4))

    framed, place = letterbox(image, (size[0], size[1]))

    assert np.array_equal(framed, LetterBox(size)(image=image))
    expected = scale_boxes(size, torch.from_numpy(boxes.copy()), (height, width)).numpy()
    np.testing.assert_allclose(place.undo(boxes), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(200))
def test_a_free_input_has_the_same_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = map(int, rng.integers(1, 2500, 2))
    stride = int(rng.choice([32, 64]))
    longest = int(rng.integers(1, 21)) * stride
    image = np.zeros((height, width, 3), np.uint8)
    expected = LetterBox(longest, auto=True, stride=stride)(image=image)
    assert padded_size(height, width, longest, stride) == expected.shape[:2]


@pytest.mark.parametrize("iou", [0.0, 0.1, 0.45, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(10))
def test_suppression_keeps_the_same_in_the_same_order(seed: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (400, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(0, 150, (400, 2))), axis=1)
    scores = rng.permutation(400) / 400
    expected = TorchNMS.nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou)
    assert suppress(boxes, scores, np.zeros(400, int), iou).tolist() == expected.tolist()


@pytest.mark.parametrize("layout", ["anchors", "columns", "final"])
@pytest.mark.parametrize("classes", [1, 2, 3, 80])
@pytest.mark.parametrize("seed", range(5))
def test_random_heads_are_read_alike(seed: int, classes: int, layout: str) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate((rng.uniform(0, 320, (2100, 2)), rng.uniform(2, 90, (2100, 2))), axis=1)
    # Whole numbers: they stay exact where Ultralytics moves each class to pixels of its own.
    boxes = np.round(boxes / 4) * 4
    # No two of the same score, of which either might come first.
    scores = rng.uniform(0, 1, (2100, classes)) * (rng.permutation(2100)[:, None] + 1) / 2100
    objectness = rng.uniform(0, 1, (2100, 1))
    if layout == "anchors":  # Ultralytics reads it no more, but the scores are products
        boxes, scores, objectness = boxes[:1260], scores[:1260], objectness[:1260]
        given = np.concatenate((boxes, objectness, scores), axis=1)[None].astype(np.float32)
        table = np.concatenate((boxes, given[0, :, 5:] * given[0, :, 4:5]), axis=1).T[None]
        size = (128, 160)
    elif layout == "columns":
        given = table = np.concatenate((boxes, scores), axis=1).T[None].astype(np.float32)
        size = (320, 320)
    else:
        best = np.sort(scores.max(axis=1))[::-1, None]
        given = np.concatenate((boxes, best, scores.argmax(axis=1)[:, None]), axis=1)
        given = table = given[None, :300].astype(np.float32)
        size = (320, 320)
    (expected,) = non_max_suppression(
        torch.from_numpy(table.astype(np.float32)),
        0.2,
        0.5,
        max_det=9999,
        end2end=layout == "final",
    )

    read = head_layout(given.shape, size, classes)
    assert read == layout
    found = read_head(given, layout, classes, 0.2)
    kept = np.arange(len(found.boxes)) if layout == "final" else suppress(*found, 0.5)

    assert len(expected) > 20
    np.testing.assert_allclose(found.boxes[kept], expected[:, :4].numpy(), rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.scores[kept], expected[:, 4].numpy(), rtol=0, atol=1e-6)
    assert found.classes[kept].tolist() == expected[:, 5].int().tolist()
