"""The machine that figures are from, and how much memory a process took."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("duckdb", "pandas", "pyarrow", "sqlalchemy", "foregsyte-kaggle")


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Return what figures depend on; the load says whether others work here too."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": processors(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: package_version(name) for name in PACKAGES},
    }


def package_version(name: str) -> str | None:
    """Return the version of what is installed; None where it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def in_words(machine: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {machine[name]}" for name in PACKAGES)
    return (
        f"{machine['system']}, {machine['processors']} processors (load {machine['load']} at the start), "
        f"{machine['memory_gb']} GB, Python {machine['python']}, {packages}"
    )


def forget_peak() -> None:
    """Let the peak of this process's memory begin from now, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_megabytes() -> float:
    """Return the most memory that this process held, since ``forget_peak`` where that works."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**20 if sys.platform == "darwin" else most / 2**10
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
