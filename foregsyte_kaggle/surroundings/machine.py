"""What the machine has, told without loading a library."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import threading
from functools import cache
from pathlib import Path

__all__ = [
    "WORKERS_VARIABLE",
    "cpu_count",
    "disk_space",
    "gpu_ids",
    "gpu_models",
    "image_facts",
    "memory_bytes",
    "package_version",
    "share_processors",
    "threads_per_worker",
]

#: How many worker processes share this machine's processors; a run sets it for those that it starts.
WORKERS_VARIABLE = "FOREGSYTE_WORKERS"

#: Where NVIDIA's driver for Linux has a folder for each GPU.
GPU_FOLDER = "/proc/driver/nvidia/gpus"
#: Where it has a file ``nvidia0`` and so on; a container may have these only.
DEVICE_FOLDER = "/dev"
#: Where an image tells what it is.
IMAGE_FOLDER = "/etc"

_this_thread = threading.local()
_is_gpu = re.compile(r"nvidia\d+").fullmatch


@cache
def package_version() -> str | None:
    """Return the installed version of this package; None where it runs from a folder on the path."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("foregsyte-kaggle")
    except PackageNotFoundError:
        return None


def image_facts() -> tuple[str | None, str | None]:
    """Return the commit and the date of Kaggle's image, from the files that its Dockerfile writes.

    ``/etc/git_commit`` and ``/etc/build_date`` (``Dockerfile.tmpl`` of Kaggle/docker-python); None for
    one that is not there.
    """
    return _first_line("git_commit"), _first_line("build_date")


def _first_line(name: str) -> str | None:
    try:
        with open(os.path.join(IMAGE_FOLDER, name), encoding="utf-8", errors="replace") as file:
            line = file.readline(100).strip()
    except OSError:
        return None
    return line if line.isprintable() and line else None


def cpu_count() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def share_processors(workers: int) -> None:
    """Say that the thread that calls this is one of so many workers of this process."""
    _this_thread.workers = workers


def threads_per_worker() -> int:
    """Return how many threads a worker may use, so that those of all workers fit the processors.

    Where ``OMP_NUM_THREADS`` is set, as Dask and joblib set it for their workers, it says so for a
    process, whose threads share them.
    """
    workers: int = getattr(_this_thread, "workers", 1)
    with contextlib.suppress(ValueError):
        return max(1, int(os.environ.get("OMP_NUM_THREADS", "")) // workers)
    with contextlib.suppress(ValueError):
        workers *= max(1, int(os.environ.get(WORKERS_VARIABLE, "")))
    return max(1, cpu_count() // workers)


def gpu_ids() -> list[str] | None:
    """Return the NVIDIA GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Told without loading CUDA, which would take memory on each. None where the system does not say.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        ids = [name.strip() for name in visible.split(",")]
        # As CUDA reads it: what is no device hides all that follow.
        return list(
            itertools.takewhile(lambda name: name[:1].isalnum() and name != "NoDevFiles", ids)
        )
    with contextlib.suppress(OSError):
        return [str(number) for number in range(len(os.listdir(GPU_FOLDER)))]
    with contextlib.suppress(OSError):
        found = list(filter(_is_gpu, os.listdir(DEVICE_FOLDER)))
        return [str(number) for number in range(len(found))] if found else None
    return None


def gpu_models() -> list[str]:
    """Return what NVIDIA's driver calls the GPUs of this machine; empty where it does not say."""
    models = []
    with contextlib.suppress(OSError):
        for folder in sorted(os.listdir(GPU_FOLDER)):
            text = Path(GPU_FOLDER, folder, "information").read_text("utf-8", "replace")
            models += re.findall(r"^Model:\s*(\S.{0,99})$", text, re.MULTILINE)[:1]
    return models


def memory_bytes() -> int:
    """Return the memory of this machine or container in bytes, the smaller of the two.

    8 GiB where neither can be told.
    """
    sizes = []
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = Path("/sys/fs/cgroup", name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            sizes.append(int(text))
    return min((size for size in sizes if size > 0), default=8 * 2**30)


def disk_space(folder: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return how many bytes of a folder's own file system are free, and how many it has in all.

    On Kaggle ``/kaggle/working`` is a small one of its own, and that of ``/`` says nothing about it. None
    where it cannot be told.
    """
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return None
    return found.free, found.total
