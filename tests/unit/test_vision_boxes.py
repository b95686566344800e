"""Boxes, letterboxes and heads, beside OpenCV's own and beside arithmetic done by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: pip install 'foregsyte-kaggle[vision]'")

import cv2

from foregsyte_kaggle.vision.boxes import from_centres, overlaps, suppress
from foregsyte_kaggle.vision.heads import head_layout, read_head
from foregsyte_kaggle.vision.letterbox import letterbox, padded_size
from foregsyte_kaggle.vision.metadata import ModelFacts, read_facts

pytestmark = pytest.mark.unit


def random_boxes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    left_top = rng.uniform(0, 200, (count, 2))
    boxes = np.concatenate((left_top, left_top + rng.uniform(1, 120, (count, 2))), axis=1)
    return boxes, (rng.permutation(count) + 1) / count, rng.integers(0, 3, count)


@pytest.mark.parametrize("iou", [0.05, 0.2, 0.45, 0.6])
@pytest.mark.parametrize("seed", range(10))
def test_suppression_keeps_what_opencv_keeps(seed: int, iou: float) -> None:
    boxes, scores, classes = random_boxes(seed, 200)
    sizes = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
    theirs = cv2.dnn.NMSBoxesBatched(sizes.tolist(), scores.tolist(), classes.tolist(), 0.0, iou)

    kept = suppress(boxes, scores, classes, iou)

    assert set(kept.tolist()) == set(np.ravel(theirs).tolist())
    assert (np.diff(scores[kept]) < 0).all()
    assert 0 < len(kept) < 200


def test_boxes_of_other_classes_hide_nothing() -> None:
    boxes = np.array([[0.0, 0, 10, 10]] * 3)
    kept = suppress(boxes, np.array([0.5, 0.9, 0.7]), np.array([0, 1, 0]), 0.5)
    assert kept.tolist() == [1, 2]


def test_suppression_of_nothing_is_nothing() -> None:
    assert suppress(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), 0.5).tolist() == []


def test_overlap_is_the_shared_part_and_0_for_empty_boxes() -> None:
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]])
    assert overlaps(others[0], others).tolist() == pytest.approx([1.0, 1 / 3, 0.0, 0.0])
    assert overlaps(others[3], others).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("shape", "size"),
    [((90, 160), (320, 320)), ((480, 200), (320, 320)), ((240, 320), (256, 416)), ((64, 64), (64, 64)),
     ((101, 333), (256, 320)), ((217, 100), (320, 256))],  # an odd number of rows or columns is left
)  # fmt: skip
def test_letterbox_is_opencvs(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3), dtype=np.uint8)
    asked = cv2.dnn.Image2BlobParams()
    asked.size = size[::-1]
    asked.paddingmode = cv2.dnn.DNN_PMODE_LETTERBOX
    asked.borderValue = (114.0, 114.0, 114.0)
    theirs = cv2.dnn.blobFromImageWithParams(image, asked)[0].transpose(1, 2, 0)

    framed, place = letterbox(image, size)

    assert framed.shape == theirs.shape == (*size, 3)
    assert np.abs(framed.astype(int) - theirs.astype(int)).max() <= 1
    assert (place.left, place.top) != (0, 0) or shape[0] * size[1] == shape[1] * size[0]


def test_boxes_come_back_by_the_whole_pixels_of_each_side() -> None:
    image = np.zeros((25, 1000, 3), np.uint8)
    framed, place = letterbox(image, (128, 128))
    rows = np.flatnonzero((framed[:, 64] == 0).all(axis=1))  # the picture: 3 rows of 3.2
    box = np.array([[0.0, rows[0], 128, rows[-1] + 1]])
    assert place.undo(box).tolist() == [pytest.approx([0, 0, 1000, 25])]


def test_boxes_come_back_from_a_letterbox_and_are_cut_at_its_edges() -> None:
    _, place = letterbox(np.zeros((100, 200, 3), np.uint8), (400, 400))
    assert place[:4] == (2.0, 2.0, 0, 100)
    boxes = np.array([[0.0, 100, 400, 300], [20, 120, 40, 140], [-50, 0, 500, 110]])
    assert place.undo(boxes).tolist() == [[0, 0, 200, 100], [10, 10, 20, 20], [0, 0, 200, 5]]


def test_a_free_input_size_is_the_smallest_in_whole_strides() -> None:
    assert padded_size(1080, 1920, 640, 32) == (384, 640)
    assert padded_size(10, 1000, 640, 32) == (32, 640)
    assert padded_size(640, 640, 640, 32) == (640, 640)


@pytest.mark.parametrize(
    ("shape", "size", "classes", "final", "layout"),
    [
        pytest.param((1, 25200, 85), (640, 640), 80, False, "anchors", id="v5"),
        pytest.param((1, 25200, 85), (640, 640), None, False, "anchors", id="v5 without metadata"),
        pytest.param((1, 25200, 6), (640, 640), 1, False, "anchors", id="v5 of one class"),
        pytest.param((1, 102000, 6), (1280, 1280), 1, False, "anchors", id="v5 of 4 scales"),
        pytest.param((1, 25200, 117), (640, 640), 80, False, "anchors", id="v5 with masks"),
        pytest.param((1, 84, 8400), (640, 640), 80, False, "columns", id="v8"),
        pytest.param((1, 84, 8400), (640, 640), None, False, "columns", id="v8 without metadata"),
        pytest.param((1, 5, 8400), (640, 640), 1, False, "columns", id="v8 of one class"),
        pytest.param((1, 84, 84), (64, 64), 80, False, "columns", id="v8 of a tiny input"),
        pytest.param((1, 84, 21), (32, 32), 80, False, "columns", id="v8 of few candidates"),
        pytest.param((1, 116, 8400), (640, 640), 80, False, "columns", id="v8 with masks"),
        pytest.param((1, 6, 8400), (640, 640), 2, False, "columns", id="v8 of two classes"),
        pytest.param((1, 300, 6), (640, 640), 80, True, "final", id="26"),
        pytest.param((1, 300, 6), (640, 640), 80, False, "final", id="v10, which says nothing"),
        pytest.param((1, 300, 6), (640, 640), 1, False, "final", id="v10 of one class"),
        pytest.param((1, 300, 6), (640, 640), None, False, "final", id="v10 without metadata"),
        pytest.param((1, 300, 38), (640, 640), 80, True, "final", id="26 with masks"),
        pytest.param((1, 0, 6), (640, 640), 80, False, "final", id="nothing found"),
        pytest.param((1, 32, 160, 160), (640, 640), 80, False, None, id="masks"),
        pytest.param((1, 300, 84), (640, 640), 80, False, None, id="RT-DETR"),
        pytest.param((1, 8400, 80), (640, 640), 80, False, None, id="scores alone"),
        pytest.param((1, 1000), (224, 224), 1000, False, None, id="classifier"),
        pytest.param((2, 84, 8400), (640, 640), 80, False, None, id="two pictures"),
        pytest.param((1, 3, 4), (640, 640), 80, False, None, id="too small for anything"),
    ],
)
def test_layouts_are_told_apart(
    shape: tuple[int, ...],
    size: tuple[int, int],
    classes: int | None,
    final: bool,
    layout: str | None,
) -> None:
    assert head_layout(shape, size, classes, final=final) == layout


def test_each_layout_says_the_same() -> None:
    corners = np.array([[10, 20, 30, 60], [5, 5, 25, 15], [1, 1, 2, 2]], np.float32)
    centres = np.array([[20, 40, 20, 40], [15, 10, 20, 10], [1.5, 1.5, 1, 1]], np.float32)
    by_class = np.array([[0.1, 0.8], [0.5, 0.3], [0.05, 0.1]], np.float32)
    objectness = np.full((3, 1), 0.9, np.float32)
    best = np.array([[0.8, 1], [0.5, 0], [0.1, 1]], np.float32)
    outputs = {
        "anchors": np.concatenate((centres, objectness, by_class / 0.9), axis=1),
        "columns": np.concatenate((centres, by_class), axis=1).T,
        "final": np.concatenate((corners, best), axis=1),
    }
    for layout, output in outputs.items():
        boxes, scores, classes = read_head(output[None], layout, 2, 0.25)
        assert boxes.tolist() == corners[:2].tolist(), layout
        assert scores.tolist() == pytest.approx([0.8, 0.5]), layout
        assert classes.tolist() == [1, 0], layout


def test_coefficients_behind_the_classes_are_no_classes() -> None:
    output = np.array([[[20, 40, 20, 40, 0.3, 0.6, 7.0, 9.0]]], np.float32)
    assert read_head(output.transpose(0, 2, 1), "columns", 2, 0.25).classes.tolist() == [1]


def test_centres_become_corners() -> None:
    assert from_centres(np.array([[10.0, 20, 4, 6]])).tolist() == [[8, 17, 12, 23]]


def test_metadata_is_read_as_it_is_written() -> None:
    facts = read_facts(
        {
            "names": "{0: 'person', 1: \"sports ball\"}",
            "stride": "32",
            "task": "detect",
            "imgsz": "[384, 640]",
            "end2end": "True",
            "description": "Ultralytics YOLO",
        }
    )
    assert facts == ModelFacts({0: "person", 1: "sports ball"}, "detect", 32, (384, 640), True)
    assert (facts.classes, facts.label(1), facts.label(7)) == (2, "sports ball", "class 7")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"names": "{0: ", "stride": "wide", "imgsz": "[1, 2, 3]", "end2end": "0", "args": "nms"},
        {"names": "7", "stride": "-1", "imgsz": "[]", "args": "{'nms': False}"},
    ],
    ids=["none", "broken", "odd"],
)
def test_metadata_that_says_nothing_leaves_what_is_usual(metadata: dict[str, str]) -> None:
    assert read_facts(metadata) == ModelFacts()


def test_metadata_in_other_forms() -> None:
    facts = read_facts({"names": "['a', 'b']", "imgsz": "320", "args": "{'nms': True}"})
    assert (facts.names, facts.size, facts.is_final) == ({0: "a", 1: "b"}, (320, 320), True)
    assert facts.with_nms
