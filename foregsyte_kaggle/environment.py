"""Where am I: the kind of session, and the limits of the machine.

The only module that reads Kaggle's variables.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "BATCH_SESSIONS",
    "cpu_count",
    "gpu_ids",
    "input_root",
    "is_interactive",
    "memory_bytes",
    "package_version",
    "session_age_seconds",
    "session_facts",
    "session_kind",
    "session_limit_seconds",
]

#: Sessions that nobody sits at, which end with their last cell.
BATCH_SESSIONS = frozenset({"kaggle-batch", "kaggle-rerun"})
HOUR = 3600.0
#: Where NVIDIA's driver for Linux has a folder for each GPU.
GPU_FOLDER = "/proc/driver/nvidia/gpus"


def session_kind() -> str:
    """Return ``"kaggle-interactive"``, ``"kaggle-batch"``, ``"kaggle-rerun"`` or ``"local"``.

    Told by Kaggle's variables, since the folder ``/kaggle/input`` exists on Colab too.
    """
    run_type = os.environ.get("KAGGLE_KERNEL_RUN_TYPE", "")
    if os.environ.get("KAGGLE_IS_COMPETITION_RERUN"):
        return "kaggle-rerun"
    if run_type:
        return "kaggle-interactive" if run_type == "Interactive" else "kaggle-batch"
    return "local"


def input_root() -> Path | None:
    """Return the folder that Kaggle mounts inputs in; None in a session that is none of Kaggle's.

    ``KAGGLE_CACHE_MOUNT_FOLDER`` names another one, as it does for kagglehub.
    """
    folder = os.environ.get("KAGGLE_CACHE_MOUNT_FOLDER")
    if folder:
        return Path(folder)
    return Path("/kaggle/input") if session_kind().startswith("kaggle") else None


def session_facts() -> dict[str, Any]:
    """Return where a run works, as the ledger notes it: no names, no paths, no variable's value."""
    return {
        "session": session_kind(),
        "python": platform.python_version(),
        "platform": sysconfig.get_platform(),
        "cpu_count": cpu_count(),
    }


@cache
def package_version() -> str | None:
    """Return the installed version of this package; None where it runs from a folder on the path."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("foregsyte-kaggle")
    except PackageNotFoundError:
        return None


def is_interactive() -> bool:
    """Return whether a front end with a person at it can show live widgets.

    True in a Jupyter kernel, except in Kaggle's batch sessions. A kernel that nbclient, nbconvert or
    papermill drives looks the same from inside, so what is shown must hold without a front end too.
    """
    if session_kind() in BATCH_SESSIONS:
        return False
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def session_limit_seconds() -> float | None:
    """Return how long Kaggle lets a session of this kind live; None elsewhere.

    12 hours, 9 on a TPU (Kaggle's documentation of notebooks, "Technical Specifications"). A competition
    sets a limit of its own for its rerun; 9 hours is the usual one.
    """
    kind = session_kind()
    if not kind.startswith("kaggle"):
        return None
    on_tpu = any(os.environ.get(name) for name in ("TPU_NAME", "ISTPUVM"))
    return 9 * HOUR if on_tpu or kind == "kaggle-rerun" else 12 * HOUR


def session_age_seconds(proc: Path = Path("/proc")) -> float:
    """Return how long this session has lived, in seconds.

    No variable of Kaggle's tells. A session is a container of its own, so the age of its first process
    is the session's, also after a restart of the kernel; 0 where it cannot be told.

    Parameters
    ----------
    proc
        Where Linux describes processes.
    """
    ages = [0.0]
    limit = session_limit_seconds() or float("inf")
    for process in ("1", "self"):
        with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
            up = float((proc / "uptime").read_text().split()[0])
            # The name of a process, in parentheses, may hold spaces; its start is field 22.
            fields = (proc / process / "stat").read_text().rpartition(")")[2].split()
            ages.append(up - float(fields[19]) / os.sysconf("SC_CLK_TCK"))
    # An older first process is that of a machine which outlives its sessions.
    return max(age for age in ages if age <= limit)


def cpu_count() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


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
    try:
        return [str(number) for number in range(len(os.listdir(GPU_FOLDER)))]
    except OSError:
        return None


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
