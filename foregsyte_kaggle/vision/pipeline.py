"""The pipeline ``yolo_ocr``. Light to import: models and libraries are loaded where it is built."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from foregsyte_kaggle.vision.class_numbers import class_numbers
from foregsyte_kaggle.vision.params import check_params

if TYPE_CHECKING:
    from foregsyte_kaggle.vision.frames import Frame
    from foregsyte_kaggle.worker import JobContext

__all__ = ["YoloOcr"]

SHEET_NAME = "sheet.jpg"


class YoloOcr:
    """Find things in the frames of videos and images, and read the text on them.

    Built once per worker. Each call looks at a file and returns a row for each thing that was found, or
    without a detector one for each line of text on the whole frame.

    Parameters
    ----------
    detector
        A YOLO model in ONNX (v5 to 26): a path, or one inside an attached input, such as
        ``"owner/slug/best.onnx"``. By default there is none, and the whole frame is read. Its path stands
        for it: give new weights a new name, or completed jobs stay as they are.

    Raises
    ------
    InvalidArgumentError
        If the detector cannot be found or used.
    ImportError
        If a package of the extra ``vision`` is not installed; a run refuses that before it starts.
    """

    #: The columns of the result.
    schema: ClassVar[dict[str, type]] = {
        "frame": int,
        "time_seconds": float,
        "label": str,
        "detection_confidence": float,
        "x1": float,
        "y1": float,
        "x2": float,
        "y2": float,
        "text": str,
        "text_confidence": float,
    }
    #: Stands for the code: raise it when the same file would give other rows.
    version: ClassVar[str] = "1"

    def __init__(self, detector: str | None = None) -> None:
        check_params({"detector": detector})
        from foregsyte_kaggle.vision.detector import Detector
        from foregsyte_kaggle.vision.detector_files import find_detector
        from foregsyte_kaggle.vision.reader import Reader
        from foregsyte_kaggle.vision.sessions import limit_opencv

        limit_opencv()
        self._detector = None if detector is None else Detector(str(find_detector(detector)))
        self._reader = Reader()

    @staticmethod
    def check_params(**params: Any) -> None:
        """Refuse params that would fail each job; ``register_jobs`` asks.

        Raises
        ------
        InvalidArgumentError
            If a value is not of the expected form, there is no such detector or it cannot be used, or it
            does not know a class. Where onnxruntime is not installed, the file is found and not opened.
        """
        check_params(params)
        if params.get("detector") is not None:
            from foregsyte_kaggle.vision.detector_files import find_detector

            place = find_detector(params["detector"])
            if find_spec("onnxruntime") is not None:
                from foregsyte_kaggle.vision.detector import check_detector

                check_detector(place, params.get("classes"))

    def __call__(
        self,
        path: Path,
        job: JobContext,
        *,
        every_seconds: float = 1.0,
        frames: int | None = None,
        confidence: float = 0.25,
        iou: float = 0.45,
        classes: Sequence[int | str] | None = None,
        annotate: bool = False,
    ) -> list[dict[str, Any]]:
        """Look at a file.

        Parameters
        ----------
        path
            A video or an image.
        every_seconds
            A frame is taken every so many seconds, from the first one on; what is shown for longer is
            taken once.
        frames
            So many frames are taken instead, from the middles of as many equal parts.
        confidence
            Of a thing that is found, at least.
        iou
            Of two things of one label that overlap by more than this, the less sure one is dropped.
        classes
            Names or numbers of those to look for; all that the detector knows by default.
        annotate
            Whether to write a picture of the frames with boxes and text, ``sheet.jpg``.

        Returns
        -------
        list of dict
            ``frame``, counted from 0 over those that were taken, and ``time_seconds``, when it begins
            to be shown; ``label`` and ``detection_confidence``; ``x1, y1, x2, y2`` in pixels of the
            frame, turned as it is shown, and not stretched where pixels are not square; ``text`` with line
            breaks, and ``text_confidence``, both None where there is no text on a thing, or none of which
            RapidOCR is half sure. Without a detector the box is that of the line, and there is no label.
        """
        if isinstance(path, str):  # as ids and URLs come
            raise TypeError(
                f"yolo_ocr takes a file, and got the id or URL {path!r}: register paths for it"
            )
        wanted = None
        if classes is not None and self._detector is not None:
            wanted = class_numbers(self._detector.labels, classes)
        from foregsyte_kaggle.vision.frames import sample_frames
        from foregsyte_kaggle.vision.sheet import ContactSheet

        sheet = ContactSheet() if annotate else None
        rows = []
        for frame in sample_frames(path, every_seconds, frames):
            found = self._look_at(frame, confidence, iou, wanted)
            rows += found
            if sheet is not None:
                sheet.add(frame, found)
            job.progress(frame.fraction)
        if sheet is not None:
            job.output_path(SHEET_NAME).write_bytes(sheet.jpeg())
        return rows

    def _look_at(
        self, frame: Frame, confidence: float, iou: float, wanted: set[int] | None
    ) -> list[dict[str, Any]]:
        if self._detector is None:
            lines = self._reader.read(frame.image)
            return [_row(frame, None, None, line[2:], line.text, line.confidence) for line in lines]
        rows = []
        for found in self._detector(frame.image, confidence, iou, wanted):
            box = found[2:]
            read = self._reader.read_box(frame.image, *box)
            text, sure = (None, None) if read is None else (read.text, read.confidence)
            rows.append(_row(frame, found.label, found.confidence, box, text, sure))
        return rows


def _row(
    frame: Frame,
    label: str | None,
    detected: float | None,
    box: tuple[float, ...],
    text: str | None,
    read: float | None,
) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    return {
        "frame": frame.number,
        "time_seconds": frame.seconds,
        "label": label,
        "detection_confidence": detected,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "text": text,
        "text_confidence": read,
    }
