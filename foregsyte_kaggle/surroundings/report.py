"""``environment()``: what there is to know of the session and its machine, as a table."""

from __future__ import annotations

import html
import os
import platform
import sysconfig
from dataclasses import dataclass
from typing import Any

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.quantities import describe_seconds, in_bytes
from foregsyte_kaggle.surroundings.internet import find_internet
from foregsyte_kaggle.surroundings.kind import has_tpu, session_kind
from foregsyte_kaggle.surroundings.limits import session_age_seconds, session_limit_seconds
from foregsyte_kaggle.surroundings.machine import (
    cpu_count,
    disk_space,
    gpu_ids,
    gpu_models,
    image_facts,
    memory_bytes,
    package_version,
)

__all__ = ["Environment", "environment", "session_facts"]

SESSIONS = {
    "kaggle-interactive": "Kaggle, in the editor",
    "kaggle-batch": "Kaggle, a batch session (Save & Run All)",
    "kaggle-rerun": "Kaggle, rerun by a competition",
    "colab": "Colab",
    "local": "local",
}


class _Seen:
    internet: bool | None = None


_seen = _Seen()


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where this session works; shown as a table.

    Attributes
    ----------
    session : str
        ``"kaggle-interactive"``, ``"kaggle-batch"``, ``"kaggle-rerun"``, ``"colab"`` or ``"local"``.
    image_commit, image_date : str or None
        Of Kaggle's image.
    python, platform : str
        The version of Python, and what it runs on.
    package_version : str or None
        That of foregsyte_kaggle.
    cpu_count : int
        Processors that this process may use.
    memory_bytes : int
        Of the machine or the container, the smaller of the two.
    accelerator : str or None
        ``"GPU"`` or ``"TPU"``.
    gpu_count : int
        GPUs that this process may use.
    gpus : tuple of str
        What their driver calls them; empty where it does not say.
    internet : bool or None
        Whether it can be reached; None where nothing tells.
    disk_free_bytes, disk_bytes : int or None
        Of the working folder's own file system.
    session_limit_seconds : float or None
        How long the session may live; None where nothing limits it.
    session_age_seconds : float
        How long it has lived.
    """

    session: str
    image_commit: str | None
    image_date: str | None
    python: str
    platform: str
    package_version: str | None
    cpu_count: int
    memory_bytes: int
    accelerator: str | None
    gpu_count: int
    gpus: tuple[str, ...]
    internet: bool | None
    disk_free_bytes: int | None
    disk_bytes: int | None
    session_limit_seconds: float | None
    session_age_seconds: float

    @property
    def session_left_seconds(self) -> float | None:
        """How long the session may still live; None where nothing limits it."""
        if self.session_limit_seconds is None:
            return None
        return max(0.0, self.session_limit_seconds - self.session_age_seconds)

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("Session", SESSIONS.get(self.session, self.session)), ("Image", self._image())]
        python = f"{self.python} on {self.platform}"
        rows += [("Python", python), ("foregsyte-kaggle", self.package_version or "not installed")]
        rows += [("Processors", f"{self.cpu_count:,}"), ("Memory", in_bytes(self.memory_bytes))]
        rows += [("Accelerator", self._accelerator())]
        internet = {True: "yes", False: "no", None: "unknown"}[self.internet]
        rows += [("Internet", internet), ("Disk", self._disk()), ("Time", self._time())]
        return [(name, value) for name, value in rows if value]

    def _image(self) -> str:
        date = f"built {self.image_date}" if self.image_date else ""
        return ", ".join(filter(None, (self.image_commit, date)))

    def _accelerator(self) -> str:
        if self.accelerator != "GPU":
            return self.accelerator or "none"
        count = f"{self.gpu_count:,} GPU{'' if self.gpu_count == 1 else 's'}"
        return f"{count}: {', '.join(self.gpus)}" if self.gpus else count

    def _disk(self) -> str:
        if self.disk_free_bytes is None or self.disk_bytes is None:
            return "unknown"
        return f"{in_bytes(self.disk_free_bytes)} free of {in_bytes(self.disk_bytes)}"

    def _time(self) -> str:
        if self.session_limit_seconds is None or self.session_left_seconds is None:
            return "no limit known"
        return (
            f"{describe_seconds(self.session_age_seconds)} spent,"
            f" {describe_seconds(self.session_left_seconds)} left of"
            f" {describe_seconds(self.session_limit_seconds)}"
        )

    def __repr__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def _repr_html_(self) -> str:
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(value)}</td></tr>'
            for name, value in self._rows()
        )
        return f'<table aria-label="Environment"><tbody>{body}</tbody></table>'


def environment(directory: str | os.PathLike[str] | None = None) -> Environment:
    """Tell where this session works: on Kaggle or not, with what, and how much of it is spent and left.

    Whether there is internet is asked of two public name servers, which takes 0.3 s at most. No token
    is read.

    Parameters
    ----------
    directory
        The working folder, of whose disk the free space is told; the current one by default.

    Returns
    -------
    Environment
        Shown as a table; each of its values is an attribute.

    Raises
    ------
    InvalidArgumentError
        If the variable ``FOREGSYTE_SESSION_LIMIT`` holds no length of time, or ``directory`` is no path.
    """
    folder = os.fspath(directory) if isinstance(directory, (str, os.PathLike)) else os.curdir
    if not (directory is None or isinstance(directory, (str, os.PathLike))) or "\0" in str(folder):
        raise InvalidArgumentError(
            f"directory={directory!r:.80}; expected a path, as text or a pathlib.Path"
        )
    _seen.internet = find_internet()
    return _look(folder, session_limit_seconds())


def session_facts(directory: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Return where a run works, as the ledger notes it: no names, no paths, no variable's value.

    ``internet`` is what the last ``environment()`` of this process saw: a run itself asks nobody.
    """
    try:
        limit = session_limit_seconds()
    except InvalidArgumentError:
        limit = None
    seen = _look(directory, limit)
    return {
        "session": seen.session,
        "python": seen.python,
        "platform": seen.platform,
        "cpu_count": seen.cpu_count,
        "memory_bytes": seen.memory_bytes,
        "accelerator": seen.accelerator,
        "gpu_count": seen.gpu_count,
        "internet": seen.internet,
        "disk_free_bytes": seen.disk_free_bytes,
        "session_limit_seconds": seen.session_limit_seconds,
        "session_age_seconds": round(seen.session_age_seconds),
        "image_commit": seen.image_commit,
        "image_date": seen.image_date,
    }


def _look(directory: str | os.PathLike[str] | None, limit: float | None) -> Environment:
    commit, date = image_facts()
    gpus, models = len(gpu_ids() or ()), gpu_models()
    space = None if directory is None else disk_space(directory)
    return Environment(
        session=session_kind(),
        image_commit=commit,
        image_date=date,
        python=platform.python_version(),
        platform=sysconfig.get_platform(),
        package_version=package_version(),
        cpu_count=cpu_count(),
        memory_bytes=memory_bytes(),
        accelerator="TPU" if has_tpu() else "GPU" if gpus else None,
        gpu_count=gpus,
        gpus=tuple(models) if len(models) == gpus else (),
        internet=_seen.internet,
        disk_free_bytes=space[0] if space else None,
        disk_bytes=space[1] if space else None,
        session_limit_seconds=limit,
        session_age_seconds=session_age_seconds(),
    )
