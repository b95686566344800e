"""What a pipeline may know and do about the job that it works on."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["PARTIAL_FOLDER", "JobContext", "remove_output"]

#: Where files are written until their job succeeds, in the folder of the pipeline's outputs.
PARTIAL_FOLDER = ".partial"


class JobContext:
    """What a pipeline may know and do about the job it works on; passed as ``job``.

    Attributes
    ----------
    id : str
        The job's id.
    input_path : pathlib.Path or str
        The same as the first argument.
    params : dict
        All params of the job.
    attempt : int
        1 for the first try.
    device : str or None
        The GPU of this worker, as ``run_jobs(devices=...)`` named it; inside, it is the only one.
    """

    def __init__(
        self,
        job_id: str,
        input_path: Path | str,
        params: dict[str, Any],
        attempt: int,
        folder: Path,
        tell: Callable[[float], None],
        device: str | None = None,
    ) -> None:
        self.id = job_id
        self.input_path = input_path
        self.params = params
        self.attempt = attempt
        self.device = device
        self._folder = folder
        self._tell = tell
        self._written: dict[str, Path] = {}

    def output_path(self, name: str) -> Path:
        """Return where to write a file that the job makes.

        The file gets its final name, in ``data/outputs/<pipeline_id>/``, when the pipeline returns;
        what a failing one wrote is removed, also where its result cannot be stored. When a job that ran
        before ends again, completed or failed, earlier files that it did not write again are removed.

        Parameters
        ----------
        name
            A file name without folders, such as ``"sheet.jpg"``.

        Raises
        ------
        ValueError
            If ``name`` is empty or names a folder.
        """
        if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"output_path({name!r}): expected a file name without folders")
        if name not in self._written:
            partial = self._folder / PARTIAL_FOLDER
            partial.mkdir(parents=True, exist_ok=True)
            # Its own for each try: a thread that a Stop left behind may still write to an earlier one.
            self._written[name] = partial / f"{self.id}-{os.urandom(4).hex()}-{name}"
        return self._written[name]

    def progress(self, fraction: float) -> None:
        """Say how far the job is, from 0 to 1; cheap enough for every step.

        It shows at once, or 0.1 s later where something was shown just before.
        """
        self._tell(min(1.0, max(0.0, float(fraction))))

    def keep_outputs(self) -> list[str] | None:
        """Give written files their final names; return them relative to the folder of outputs.

        Raises
        ------
        OSError
            If one cannot be renamed; none is kept then.
        """
        kept: list[Path] = []
        try:
            for name, partial in self._written.items():
                if partial.exists():
                    final = self._folder / f"{self.id}-{name}"
                    if partial.is_dir():
                        remove_output(final)
                    os.replace(partial, final)
                    kept.append(final)
        except BaseException:
            for final in kept:
                remove_output(final)
            self.drop_outputs()
            raise
        return [f"{self._folder.name}/{final.name}" for final in kept] or None

    def drop_outputs(self) -> None:
        """Remove what was written."""
        for partial in self._written.values():
            remove_output(partial)


def remove_output(path: Path) -> None:
    """Remove a file, or a folder, that a pipeline wrote, if it is there."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
