"""Messages between the notebook's process and a worker: bytes behind their length."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from foregsyte_kaggle.worker.output import identity

__all__ = ["TAMPERED", "Pipe", "read_frame", "write_frame"]

#: Exit code of a worker whose pipes a job closed.
TAMPERED = 87


class Pipe:
    """A worker's end of a pipe.

    A job may close it, and open a file that gets its number: then the process ends instead of reading
    from, or writing into, somebody else's file.
    """

    def __init__(self, descriptor: int, mode: str) -> None:
        self._stream: BinaryIO = os.fdopen(descriptor, mode)  # type: ignore[assignment]
        self._descriptor = descriptor
        self._identity = identity(descriptor)

    def read(self) -> bytes | None:
        """Return the next message; None where the other side is gone."""
        self._check()
        return read_frame(self._stream)

    def write(self, data: bytes) -> None:
        """Send a message."""
        self._check()
        write_frame(self._stream, data)

    def _check(self) -> None:
        if identity(self._descriptor) != self._identity:
            os._exit(TAMPERED)


def write_frame(stream: BinaryIO, data: bytes) -> None:
    """Write one message with its length before it."""
    stream.write(struct.pack("<Q", len(data)))
    stream.write(data)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Return the next message; None where the other side is gone."""
    header = stream.read(8)
    if len(header) < 8:
        return None
    (length,) = struct.unpack("<Q", header)
    data = stream.read(length)
    return data if len(data) == length else None
