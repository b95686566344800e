"""Keeping the end of what a job prints: of a thread by a tee at ``sys.stdout``, of a process by its file."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, Protocol, TextIO

__all__ = ["OUTPUT_BYTES", "FileTail", "Tail", "ThreadTails", "identity", "read_tail"]

#: How much of a job's output is kept, from its end.
OUTPUT_BYTES = 8192


class Tail(Protocol):
    """Keeps the end of what a job prints."""

    broken: bool
    """Whether the last job left its streams so that no other job may run here."""

    def begin(self) -> None:
        """Forget what was printed before."""

    def end(self) -> str | None:
        """Return the last ``OUTPUT_BYTES`` since ``begin``; None where nothing was printed."""


class _Printed(threading.local):
    """What the job of the current thread printed; None where no job runs."""

    parts: list[str] | None = None
    size = 0


_printed = _Printed()
_tees: list[tuple[str, _Tee]] = []
_listeners = 0
_tees_lock = threading.Lock()


class ThreadTails:
    """Keeps what each thread prints while a job runs in it, and passes it on as before."""

    broken = False

    def begin(self) -> None:
        """Forget what this thread printed before."""
        _printed.parts = []
        _printed.size = 0

    def end(self) -> str | None:
        """Return the end of what this thread printed since ``begin``."""
        parts, _printed.parts = _printed.parts, None
        if not parts:
            return None
        data = "".join(parts).encode("utf-8", "backslashreplace")[-OUTPUT_BYTES:]
        return _as_text(data) or None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Listen at ``sys.stdout`` and ``sys.stderr``; several runs share one pair of tees."""
        global _listeners  # noqa: PLW0603
        with _tees_lock:
            _listeners += 1
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, _Tee):
                    tee = _Tee(stream)
                    setattr(sys, name, tee)
                    _tees.append((name, tee))
        try:
            yield
        finally:
            with _tees_lock:
                _listeners -= 1
                while not _listeners and _tees:
                    name, tee = _tees.pop()
                    if getattr(sys, name) is tee:
                        setattr(sys, name, tee.stream)


class _Tee:
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        if _printed.parts is not None and isinstance(text, str):
            _printed.parts.append(text[-OUTPUT_BYTES:])
            _printed.size += len(text)
            if _printed.size > 4 * OUTPUT_BYTES:
                kept = "".join(_printed.parts)[-OUTPUT_BYTES:]
                _printed.parts, _printed.size = [kept], len(kept)
        return int(written or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class FileTail:
    """The tail of a worker process: its streams are a file that holds the current job's output only.

    The notebook's process has the same file open, and reads it when this one dies.

    Parameters
    ----------
    descriptor
        Of that file; not 1 or 2, which a job may close.
    """

    def __init__(self, descriptor: int) -> None:
        self.broken = False
        self._descriptor = descriptor
        self._identity = identity(descriptor)
        self._streams = _text_stream(1), _text_stream(2)

    def begin(self) -> None:
        """Empty the file, and undo what the job before did to ``sys.stdout``."""
        if any(stream.closed for stream in self._streams):
            self._streams = _text_stream(1), _text_stream(2)
        sys.stdout, sys.stderr = self._streams
        if os.lseek(self._descriptor, 0, os.SEEK_CUR):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)

    def end(self) -> str | None:
        """Return the end of what this process and its children printed."""
        for stream in (*self._streams, sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        # What was closed may be another file by now, which must be neither written to nor emptied.
        is_ours = identity(self._descriptor) == self._identity
        self.broken = not is_ours or identity(1) != self._identity or identity(2) != self._identity
        return read_tail(self._descriptor) if is_ours else None


def _text_stream(descriptor: int) -> TextIO:
    # By lines, so that a job's last words are in the file when it takes the process down.
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return which file a descriptor stands for; None where it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def read_tail(descriptor: int) -> str | None:
    """Return the last ``OUTPUT_BYTES`` of an open file as text; None where it is empty."""
    size = os.fstat(descriptor).st_size
    if not size:
        return None
    at = max(0, size - OUTPUT_BYTES)
    if hasattr(os, "pread"):
        data = os.pread(descriptor, OUTPUT_BYTES, at)
    else:
        here = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, at, os.SEEK_SET)
        data = os.read(descriptor, OUTPUT_BYTES)
        os.lseek(descriptor, here, os.SEEK_SET)
    # A file that was cut while the worker wrote on begins with a hole.
    return _as_text(data.lstrip(b"\0") if at else data) or None


def _as_text(data: bytes) -> str:
    """Return the end of some output as text; a character cut at its beginning is left out."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    text = data[start:].decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    # What stands for bytes that are no text takes four times their room.
    return text[-OUTPUT_BYTES:]
