"""The built-in pipelines about single files: facts about any file, facts about a video.

A worker imports this module by name, so everything but the standard library and our own waits until a
pipeline needs it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.file_types import HEAD_BYTES, type_by_content, type_by_name

if TYPE_CHECKING:
    from foregsyte_kaggle.vision.facts import VideoFacts
    from foregsyte_kaggle.worker import JobContext

UNKNOWN_TYPE = "application/octet-stream"
THUMBNAIL_NAME = "thumbnail.jpg"


def file_info(path: Path) -> dict[str, int | str]:
    """Describe any file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        ``size_bytes``; ``sha256`` in hex; ``mime_type``, which goes by the suffix of the name, by
        the first bytes where the suffix says nothing, and else is ``application/octet-stream``.

    Raises
    ------
    IsADirectoryError
        If the path is a folder.
    OSError
        If the file cannot be read.
    """
    _refuse_folder(path, "file_info")
    with path.open("rb") as file:
        mime_type = type_by_name(path) or type_by_content(file.read(HEAD_BYTES)) or UNKNOWN_TYPE
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = os.fstat(file.fileno()).st_size
    return {"size_bytes": size_bytes, "sha256": sha256, "mime_type": mime_type}


def video_info(path: Path, job: JobContext | None = None, *, thumbnail: bool = False) -> VideoFacts:
    """Describe the first video track of a file, without decoding it.

    Parameters
    ----------
    path
        The video.
    thumbnail
        Whether to decode a frame also and write it as ``thumbnail.jpg``, at most 320 pixels wide and
        high, as it is shown: from about a tenth of the length, or from further on if it is of one colour
        there. Off by default, since a file for each video adds up.

    Returns
    -------
    dict
        ``container`` (``mp4``, ``mov``, ``mkv``, ``webm``, ``avi``, …); ``codec``; ``width`` and
        ``height`` in pixels as stored, before any rotation; ``fps``, an average, 0.0 when unknown;
        ``frames``, counted where no header says, or a wrong one; ``duration_seconds``, by the header if the
        last frames agree with it, and else by the frames; ``audio_streams``, how many there are.

    Raises
    ------
    UnreadableVideoError
        If the file is empty, cut short, no video, or of a codec that PyAV does not know; with
        ``thumbnail``, also if no frame can be decoded.
    InvalidArgumentError
        If ``thumbnail`` is neither True nor False.
    ImportError
        If PyAV is not installed.
    IsADirectoryError
        If the path is a folder.
    OSError
        If the file cannot be read.
    """
    if not isinstance(thumbnail, bool):
        raise InvalidArgumentError(
            f"video_info: thumbnail={thumbnail!r:.80}; expected True or False"
        )
    if thumbnail and job is None:
        raise InvalidArgumentError(
            "video_info: thumbnail=True writes a file with a job; expected to be called by run_jobs"
        )
    _refuse_folder(path, "video_info")
    try:
        import av  # noqa: F401 - to say what to install
    except ImportError as error:
        msg = "video_info needs PyAV: pip install 'foregsyte-kaggle[vision]'"
        raise ImportError(msg) from error
    from foregsyte_kaggle.vision.facts import describe_video

    facts = describe_video(path)
    if thumbnail and job is not None:
        from foregsyte_kaggle.vision.thumbnails import video_thumbnail

        jpeg = video_thumbnail(path, float(facts["duration_seconds"]))
        job.output_path(THUMBNAIL_NAME).write_bytes(jpeg)
    return facts


def _refuse_folder(path: Path | str, pipeline_id: str) -> None:
    if isinstance(path, str):  # as ids and URLs come
        msg = f"{pipeline_id} takes a file, and got the id or URL {path!r}: register paths for it"
        raise TypeError(msg)
    if path.is_dir():
        msg = f"{path} is a folder and {pipeline_id} takes one file: register with unit='file'"
        raise IsADirectoryError(msg)
