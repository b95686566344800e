"""The pipeline ``yolo_ocr`` in a run: real clips, real OCR models, real detectors, worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("rapidocr", reason="needs pip install 'foregsyte-kaggle[vision]'")
pytest.importorskip("onnx", reason="the detectors are written with it: pip install onnx")

import cv2

import foregsyte_kaggle as fk
from foregsyte_kaggle.vision.boxes import overlaps
from foregsyte_kaggle.vision.pipeline import YoloOcr
from foregsyte_kaggle.widgets.details import load_details
from foregsyte_kaggle.workspace import Workspace
from tests.fixtures import make_tiny_mp4 as maker
from tests.fixtures.make_detectors import LAYOUTS, write_detector

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.usefixtures("workspace"),
    pytest.mark.timeout(300),
]

CLIPS = {
    "first.mp4": [("KICK OFF", 0.0, 1.0), ("GOAL 1:0", 1.0, 2.5), ("HALF TIME", 2.5, 4.0)],
    "second.mkv": [("CORNER", 0.0, 2.0), ("", 2.0, 3.0), ("GOAL 2:1", 3.0, 4.0)],
}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, captions in CLIPS.items():
        maker.write_clip(folder / name, captions, width=320, height=240, seconds=4.0)
    return folder


def run(source: Path, **params: Any) -> fk.Run:
    fk.register_jobs(source, "yolo_ocr", params=params)
    return fk.run_jobs("yolo_ocr", progress=False)


def errors() -> list[str]:
    return list(fk.jobs_frame().error_message.dropna())


def rows() -> pd.DataFrame:
    return fk.results_frame("yolo_ocr")


def test_each_caption_is_read_at_its_time(clips: Path) -> None:
    assert run(clips, every_seconds=0.5).completed == 2, errors()
    for name, captions in CLIPS.items():
        found = rows().loc[lambda frame, name=name: frame.input_path == name]
        read = dict(zip(found.time_seconds, found.text, strict=True))
        shown = {step / 2: maker.caption_at(captions, step / 2) for step in range(8)}
        assert read == {time: text for time, text in shown.items() if text}
        assert found.label.isna().all()
        assert (found.text_confidence > 0.8).all()
        band = maker.caption_band(320, 240)
        assert (found.y1 >= band.top).all()
        assert (found.y2 <= band.bottom + 2).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(320, 320), (256, 416), None], ids=str)
def test_boxes_hit_the_shapes_in_each_layout(
    tmp_path: Path, layout: str, size: tuple[int, int] | None
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    maker.write_clip(folder / "clip.mp4", "", width=320, height=240, seconds=2.0)
    detector = str(write_detector(tmp_path / "shapes.onnx", layout, size))
    assert run(folder, detector=detector, frames=3).completed == 1, errors()
    found = rows()
    assert found.frame.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.label.tolist() == ["rectangle", "circle"] * 3
    for _, row in found.iterrows():
        box = np.array(getattr(maker.shapes_at(row.time_seconds, 320, 240), row.label), float)
        assert overlaps(np.array([row.x1, row.y1, row.x2, row.y2]), box[None])[0] >= 0.8
    assert found.detection_confidence.tolist() == pytest.approx([0.9] * 6, abs=1e-4)


def test_nothing_found_is_a_completed_job_without_rows(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("grey.png", "white.jpg"):
        cv2.imwrite(str(folder / name), np.full((120, 160, 3), 114, np.uint8))
    assert run(folder).completed == 2, errors()
    assert len(rows()) == 0
    assert rows().columns.tolist()[-10:] == list(YoloOcr.schema)
    assert rows().dtypes["x1"] == np.float64


def test_annotate_leaves_one_sheet_for_each_job(
    clips: Path, tmp_path: Path, workspace: Workspace
) -> None:
    assert run(clips, frames=4, annotate=True).completed == 2, errors()
    sheets = sorted((tmp_path / "data" / "outputs" / "yolo_ocr").glob("*.jpg"))
    assert [sheet.name[-10:] for sheet in sheets] == ["-sheet.jpg"] * 2
    for sheet in sheets:
        image = cv2.imread(str(sheet))
        assert image is not None
        assert image.shape[1] == 2 * 320
    assert fk.jobs_frame().output_path.notna().all()
    for job_id in fk.jobs_frame().job_id:
        details = load_details(workspace, str(job_id))
        assert details is not None
        assert details.output is not None
        assert details.output.note.startswith("640 by "), "the job table shows the sheet"


def test_bad_files_fail_alone_and_say_why(clips: Path) -> None:
    maker.write_truncated(clips / "cut.mp4")
    maker.write_audio_only(clips / "song.mp4")
    (clips / "photo.jpg").write_bytes(b"\xff\xd8\xff broken")
    done = run(clips, frames=1)
    assert (done.completed, done.failed) == (2, 3)
    said = " ".join(errors())
    for reason in ("truncated", "there is no video track", "photo.jpg: not a readable image"):
        assert reason in said


def test_detector_that_is_nowhere_is_refused_before_there_is_a_job(clips: Path) -> None:
    with pytest.raises(
        fk.InvalidArgumentError, match=r"detector='no/such\.onnx': there is no such"
    ):
        run(clips, detector="no/such.onnx")
    assert fk.jobs_frame().empty
