"""What ``yolo_ocr`` takes, returns and refuses; reading itself with the real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: pip install 'foregsyte-kaggle[vision]'")
pytest.importorskip("rapidocr", reason="needs pip install 'foregsyte-kaggle[vision]'")
pytest.importorskip("onnx", reason="the detectors are written with it: pip install onnx")

import cv2
from PIL import Image, ImageDraw, ImageFont

from foregsyte_kaggle import (
    InvalidArgumentError,
    Workspace,
    jobs_frame,
    pipeline,
    register_jobs,
    results_frame,
    run_jobs,
)
from foregsyte_kaggle.registry import check_params as check_names
from foregsyte_kaggle.registry import find_pipeline
from foregsyte_kaggle.surroundings import WORKERS_VARIABLE, machine, threads_per_worker
from foregsyte_kaggle.vision import pipeline as vision_pipeline
from foregsyte_kaggle.vision.frames import Frame
from foregsyte_kaggle.vision.pipeline import YoloOcr
from foregsyte_kaggle.vision.reader import Reader
from foregsyte_kaggle.vision.sessions import limit_opencv
from foregsyte_kaggle.vision.sheet import MOST_FRAMES, ContactSheet
from foregsyte_kaggle.worker import JobContext
from tests.fixtures import make_tiny_mp4 as maker
from tests.fixtures.make_detectors import write_detector

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    told: list[float] = []
    context = JobContext("7", "x", {}, 1, tmp_path / "outputs", told.append)
    context.told = told  # type: ignore[attr-defined]
    return context


@pytest.fixture
def build(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Build the pipeline with the one reader."""
    monkeypatch.setattr("foregsyte_kaggle.vision.reader.Reader", lambda: reader)
    return YoloOcr


def signs(*placed: tuple[str, int, int]) -> Any:
    """Draw a picture with white texts on red signs of 200 by 90 pixels."""
    image = Image.new("RGB", (640, 360), maker.BACKGROUND_RGB)
    draw = ImageDraw.Draw(image)
    for text, left, top in placed:
        draw.rectangle((left, top, left + 199, top + 89), fill=maker.RECTANGLE_RGB)
        draw.multiline_text(
            (left + 100, top + 45),
            text,
            fill="white",
            font=ImageFont.load_default(30),
            anchor="mm",
            align="center",
            spacing=10,
        )
    return image


def test_text_of_a_frame_comes_as_lines_with_their_boxes(reader: Reader) -> None:
    lines = reader.read(np.asarray(signs(("EXIT 42", 20, 30), ("KEEP\nLEFT", 400, 200))))
    assert [line.text for line in lines] == ["EXIT 42", "KEEP", "LEFT"]
    assert all(0.8 < line.confidence <= 1 for line in lines)
    assert 20 <= lines[0].x1 < lines[0].x2 <= 220
    assert 30 <= lines[0].y1 < lines[0].y2 <= 120


def test_text_of_a_large_picture_is_read_as_large_as_it_is(reader: Reader) -> None:
    image = Image.new("RGB", (8000, 400), "white")
    letters = {"fill": "black", "font": ImageFont.load_default(40)}
    ImageDraw.Draw(image).text((1500, 170), "Invoice 2024-0917", **letters)  # type: ignore[arg-type]
    assert [line.text for line in reader.read(np.asarray(image))] == ["Invoice 2024-0917"]


def test_its_models_are_opened_as_others_are_and_wait_in_no_loop(reader: Reader) -> None:
    by_itself = reader._engine.cfg.EngineConfig.onnxruntime
    assert by_itself.intra_op_num_threads == threads_per_worker()
    for part in ("det", "cls", "rec"):
        options = getattr(reader._engine, f"text_{part}").session.session.get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert options.intra_op_num_threads == threads_per_worker()


def test_a_picture_without_text_has_no_lines(reader: Reader) -> None:
    assert reader.read(np.full((120, 160, 3), 90, np.uint8)) == []
    assert reader.read(np.zeros((1, 50, 3), np.uint8)) == []


def test_text_on_a_thing_is_read_from_its_crop_with_line_breaks(
    tmp_path: Path, build: Any, job: JobContext
) -> None:
    signs(("KEEP\nLEFT", 400, 200)).save(tmp_path / "sign.png")
    detector = str(write_detector(tmp_path / "a.onnx", "columns", None))
    (row,) = build(detector)(tmp_path / "sign.png", job)
    assert (row["label"], row["text"]) == ("rectangle", "KEEP\nLEFT")
    assert [row[name] for name in ("x1", "y1", "x2", "y2")] == pytest.approx(
        [400, 200, 600, 290], abs=3
    )
    assert row["text_confidence"] > 0.8
    assert list(row) == list(YoloOcr.schema)


def test_a_thing_without_text_has_none(tmp_path: Path, build: Any, job: JobContext) -> None:
    maker.write_clip(tmp_path / "clip.mp4", "", width=320, height=240, seconds=0.5)
    detector = str(write_detector(tmp_path / "a.onnx", "final", (320, 320)))
    rows = build(detector)(tmp_path / "clip.mp4", job, classes=["circle"])
    assert [(row["label"], row["text"], row["text_confidence"]) for row in rows] == [
        ("circle", None, None)
    ]


def test_progress_goes_by_frames(tmp_path: Path, build: Any, job: JobContext) -> None:
    maker.write_clip(tmp_path / "clip.mp4", "", seconds=2.0)
    assert build()(tmp_path / "clip.mp4", job, frames=4) == []
    assert job.told == pytest.approx([0.375, 0.625, 0.875, 1.0], abs=0.05)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"every_seconds": 0}, "every_seconds=0; expected a number above 0"),
        ({"every_seconds": float("nan")}, "every_seconds=nan; expected"),
        ({"every_seconds": "1s"}, "every_seconds='1s'; expected"),
        ({"frames": 0}, "frames=0; expected a whole number from 1"),
        ({"frames": True}, "frames=True; expected a whole number"),
        ({"confidence": 25}, "confidence=25; expected a number from 0 to 1"),
        ({"iou": -0.1}, "iou=-0.1; expected a number from 0 to 1"),
        ({"classes": "person"}, "classes='person'; expected a list of names or numbers"),
        ({"classes": []}, r"classes=\[\]; expected"),
        ({"annotate": "yes"}, "annotate='yes'; expected True or False"),
        (
            {"classes": ["person"]},
            r"classes=\[.person.\] says what a detector looks for; add detector=",
        ),
    ],
)
def test_a_param_that_cannot_be_meant_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^yolo_ocr: {message}"):
        YoloOcr.check_params(**params)


def test_params_are_refused_when_jobs_are_registered(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    Path("clips/a.mp4").touch()
    Path("best.pt").touch()
    write_detector(Path("signs.onnx"), "columns", (320, 320))
    for params, message in (
        ({"confidence": 2}, "confidence=2; expected a number from 0 to 1"),
        ({"annotate": "yes"}, "takes 'annotate' as bool, and params has 'yes' of type str"),
        (
            {"classes": "person"},
            r"takes 'classes' as Sequence\[int \| str\] \| None, and params has",
        ),
        ({"detector": "best.onnx"}, "detector='best.onnx': there is no such file"),
        (
            {"detector": "best.pt"},
            "holds a model as PyTorch saves it; export it: yolo export model=best.pt format=onnx$",
        ),
        ({"detector": "clips/a.mp4"}, "cannot be loaded by onnxruntime"),
        (
            {"detector": "signs.onnx", "classes": ["rectangle", "cirle"]},
            "classes holds 'cirle', which the detector does not know.*circle",
        ),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            register_jobs("clips", "yolo_ocr", params=params)
    assert jobs_frame().empty
    table = pd.DataFrame({"path": ["clips/a.mp4", "clips/a.mp4"], "iou": [0.5, 1.5]})
    with pytest.raises(InvalidArgumentError, match=r"iou=1\.5; expected a number from 0 to 1"):
        register_jobs(table, "yolo_ocr")
    assert register_jobs("clips", "yolo_ocr", params={"confidence": 1}).added == 1
    params = {"detector": "signs.onnx", "classes": ["circle", 0]}
    assert register_jobs("clips", "yolo_ocr", params=params).added == 1
    write_detector(Path("signs.onnx"), "columns", (320, 320), metadata={"names": "['dog', 'cat']"})
    with pytest.raises(InvalidArgumentError, match="classes holds 'circle'"):
        register_jobs("clips", "yolo_ocr", params=params)
    # Where a notebook has no onnxruntime, its workers may: the file is enough.
    monkeypatch.setattr(vision_pipeline, "find_spec", lambda _name: None)
    params = {"detector": "clips/a.mp4", "classes": ["cirle"]}
    assert register_jobs("clips", "yolo_ocr", params=params).added == 1


def test_an_id_is_refused(build: Any, job: JobContext) -> None:
    with pytest.raises(TypeError, match="takes a file, and got the id or URL 'https:"):
        build()("https://x/y.mp4", job)
    with pytest.raises(InvalidArgumentError, match="detector=7; expected the path"):
        build(7)


def test_it_is_built_in_with_its_schema_and_its_params() -> None:
    found = find_pipeline("yolo_ocr")
    assert (found.origin, found.is_class, found.code_version) == ("built-in", True, "1")
    assert found.schema is not None
    assert list(found.schema) == list(YoloOcr.schema)
    check_names(found, ["detector", "every_seconds", "frames", "confidence", "iou", "classes"])
    with pytest.raises(InvalidArgumentError, match="takes no param 'confidance'"):
        check_names(found, ["confidance"])


def test_threads_fit_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "cpu_count", lambda: 8)
    for workers, threads in (("2", 4), ("3", 2), ("99", 1), ("", 8), ("0", 8)):
        monkeypatch.setenv(WORKERS_VARIABLE, workers)
        assert threads_per_worker() == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_per_worker() == 3


def test_workers_that_are_threads_share_what_their_process_may_use(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "cpu_count", lambda: 8)
    pipeline("share")(lambda path: {"threads": threads_per_worker()})
    for number in range(9):
        (tmp_path / f"{number}.txt").touch()
    register_jobs(tmp_path, "share", pattern="*.txt")
    run_jobs("share", executor="threads", workers=3, progress=False)
    assert set(results_frame("share").threads) == {2}
    assert threads_per_worker() == 8


def test_opencv_keeps_to_a_worker_s_share_and_leaves_a_notebook_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, asked = cv2.getNumThreads(), []
    monkeypatch.setattr(cv2, "setNumThreads", asked.append)
    monkeypatch.delenv(WORKERS_VARIABLE, raising=False)
    limit_opencv()
    assert (cv2.getNumThreads(), asked) == (before, [])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "cpu_count", lambda: 8)
    monkeypatch.setenv(WORKERS_VARIABLE, "4")
    limit_opencv()
    assert asked == [2]


def frame(number: int, width: int = 64, height: int = 48) -> Frame:
    return Frame(number, number / 2, 0.0, np.full((height, width, 3), 200, np.uint8))


@pytest.mark.parametrize(
    ("count", "shown"), [(1, 1), (5, 5), (MOST_FRAMES, MOST_FRAMES), (49, 25), (500, 32)]
)
def test_a_contact_sheet_shows_few_frames_of_many(count: int, shown: int) -> None:
    sheet = ContactSheet()
    for number in range(count):
        sheet.add(frame(number), [])
    assert len(sheet._thumbs) == shown
    assert cv2.imdecode(np.frombuffer(sheet.jpeg(), np.uint8), cv2.IMREAD_COLOR) is not None


def test_a_contact_sheet_names_only_some_of_many_things() -> None:
    sheet = ContactSheet()
    row = {"x1": 5, "y1": 5, "x2": 40, "y2": 30, "label": "a", "text": "b"}
    for number in range(MOST_FRAMES):
        sheet.add(frame(number), [row] * 4000)
    image = cv2.imdecode(np.frombuffer(sheet.jpeg(), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] < 8 * (4 * 320 + 8 * 20)


def test_a_long_strip_is_read_and_not_refused(reader: Reader) -> None:
    strip = np.full((20, 3840, 3), 255, np.uint8)
    assert reader.read_box(strip, 0, 0, 3840, 20) is None
    assert reader.read(strip.transpose(1, 0, 2)) == []


def test_a_contact_sheet_has_boxes_and_takes_any_text_and_shape() -> None:
    sheet = ContactSheet()
    row = {"x1": 5.2, "y1": 5, "x2": 40, "y2": 30, "label": "a", "text": "試合\nZoë"}
    sheet.add(frame(0), [row, {**row, "label": None, "text": None}])
    sheet.add(frame(1, 4, 4000), [row])
    image = cv2.imdecode(np.frombuffer(sheet.jpeg(), np.uint8), cv2.IMREAD_COLOR)
    blue, green, red = image[80, 26].astype(int)
    assert red - blue > 60, "the left edge of the box, five times as large"
    assert green > blue
