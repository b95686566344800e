"""Mounts of a test's own: a small disk, and a folder that root cannot write to either.

They need the right to mount; with ``FOREGSYTE_REQUIRE_MOUNT=1``, as in CI where there is that right, to be
without it is a failure.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Make a folder an empty disk of this size for a while."""
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield
    finally:
        _unmount(folder)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to a folder for a while: ``chmod`` does not hold root back."""
    _run("mount", "--bind", str(folder), str(folder))
    try:
        _run("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _unmount(folder)


def may_mount() -> bool:
    """Return whether these can be mounted here; fail where they must."""
    reason = _reason_against()
    if reason and _is_required():
        pytest.fail(f"mounting is required here, but cannot be done: {reason}")
    return not reason


def require_mount() -> None:
    """Skip a test that is nothing without a mount, or fail where there must be one."""
    if not may_mount():
        pytest.skip("a small disk needs the right to mount one")


def miss(advice: str) -> NoReturn:
    """Fail where mounts are required, and what is played on them, else skip."""
    if _is_required():
        pytest.fail(advice)
    pytest.skip(advice)


@functools.cache
def _reason_against() -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 1), read_only(Path(folder)):
                return ""
        except OSError as error:
            return str(error)


def _is_required() -> bool:
    return os.environ.get("FOREGSYTE_REQUIRE_MOUNT") == "1"


def _unmount(folder: Path) -> None:
    _run("umount", "--lazy", str(folder))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
