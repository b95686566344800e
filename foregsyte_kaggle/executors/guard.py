"""The guard that ends all workers when the notebook's process dies."""

from __future__ import annotations

import contextlib
import inspect
import os
import subprocess
import sys

from foregsyte_kaggle.worker.descendants import descendants

__all__ = ["Guard"]

_GUARD = """
import os, select, signal, sys
parent, groups, rest = int(sys.argv[1]), set(), b""
while True:
    if not select.select([0], [], [], 1.0)[0]:
        if os.getppid() != parent:
            break
        continue
    data = os.read(0, 65536)
    if not data:
        break
    *lines, rest = (rest + data).split(b"\\n")
    for line in lines:
        (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
for group in groups:
    others = descendants(group)
    for kill, pid in [(os.killpg, group), *((os.kill, other) for other in others)]:
        try:
            kill(pid, signal.SIGKILL)
        except OSError:
            pass
"""


class Guard:
    """A small process that ends all workers, with their children, when this process is gone.

    Workers notice that by themselves too, but not while native code keeps them from running Python.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not hasattr(os, "killpg"):
            return
        with contextlib.suppress(OSError):  # it is the second line of defence
            program = (
                f"from __future__ import annotations\n{inspect.getsource(descendants)}{_GUARD}"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", program, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )

    def watch(self, pid: int) -> None:
        """End this process group too."""
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """Leave this process group alone from now on."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """End the guard, and nothing else."""
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(line.encode())
