"""The GPUs that a run may use, one for each worker."""

from __future__ import annotations

import numbers
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.surroundings import gpu_ids

__all__ = ["as_devices"]

ASK_SECONDS = 20.0


def as_devices(devices: str | Iterable[int | str] | None) -> list[str] | None:
    """Return devices as ``CUDA_VISIBLE_DEVICES`` names them; None stands for no choice.

    Parameters
    ----------
    devices
        Numbers or ids, or ``"auto"`` for all that are there, which may be none.

    Raises
    ------
    InvalidArgumentError
        If it is neither.
    """
    if devices is None:
        return None
    if isinstance(devices, str) and devices == "auto":
        found = gpu_ids()
        return _ask_driver() if found is None else found
    if isinstance(devices, (str, bytes)) or not isinstance(devices, Iterable):
        raise InvalidArgumentError(
            f"devices={devices!r:.80}; expected a list of GPUs, such as [0, 1], or 'auto'"
        )
    named = [_as_device(device) for device in devices]
    if not named:
        raise InvalidArgumentError(
            "devices is empty; expected at least one GPU, such as [0], or 'auto' for all that are there"
        )
    return named


def _as_device(device: Any) -> str:
    if isinstance(device, numbers.Integral) and not isinstance(device, bool) and int(device) >= 0:
        return str(int(device))
    is_name = isinstance(device, str) and device.strip() and device.isprintable()
    if not is_name or device.strip().startswith("-"):
        raise InvalidArgumentError(
            f"devices holds {device!r:.80}; expected numbers from 0, or ids such as 'GPU-5c2f...'"
        )
    return str(device.strip())


def _ask_driver() -> list[str]:
    """Count GPUs where the system does not show them as files, as on Windows and WSL."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        shown = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=ASK_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(n) for n in range(sum(line.startswith("GPU ") for line in shown.splitlines()))]
