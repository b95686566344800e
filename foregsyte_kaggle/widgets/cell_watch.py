"""Whether a cell of the notebook computes now, and whether clicks have to wait for its end."""

from __future__ import annotations

import sys
import threading
from typing import Any

__all__ = ["CellWatch"]


class CellWatch:
    """Listens to the cells that IPython runs in the main thread, from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self._shell: Any = None
        self._computes = False
        self._comes_beside = False
        # The same objects for register and unregister: older versions of IPython compare them by identity.
        self._listeners = {"pre_execute": self._on_begin, "post_execute": self._on_end}

    def start(self) -> None:
        """Begin to listen; does nothing outside a notebook."""
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython else None
        if self._shell is None and shell is not None:
            self._shell, self._computes = shell, _is_in_a_cell(shell)
            for event, listener in self._listeners.items():
                shell.events.register(event, listener)

    def stop(self) -> None:
        """Listen no more."""
        shell, self._shell, self._computes = self._shell, None, False
        if shell is not None:
            for event, listener in self._listeners.items():
                shell.events.unregister(event, listener)

    def note_click(self) -> None:
        """Learn from the thread that a click is handled in: where one came beside the cells, others do."""
        self._comes_beside = threading.current_thread() is not threading.main_thread()

    def clicks_wait(self, comm: Any) -> bool | None:
        """Return whether a message to a comm waits for the end of a cell now; None where it may.

        A kernel with subshells (ipykernel 7) handles the messages that a front end sends to one of them (as
        JupyterLab from 4.4 on) beside the cell. From 7.4 on, it is the kernel that chooses by the comm.
        """
        if not self._computes:
            return False
        kernel = getattr(self._shell, "kernel", None)
        if not getattr(kernel, "_supports_kernel_subshells", False):
            return True
        try:
            subshells = kernel.shell_channel_thread.manager.list_subshell()  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001 - no public way to ask, so it may change
            return None
        if not subshells:
            return True
        chosen = getattr(comm, "_reply_subshell_id", comm)
        if chosen is not comm:
            return chosen not in subshells
        return False if self._comes_beside else None

    def _on_begin(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            self._computes = True

    def _on_end(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            self._computes = False


def _is_in_a_cell(shell: Any) -> bool:
    """Whether what happens now was asked for by a cell, and not by a click."""
    if threading.current_thread() is not threading.main_thread():
        return False
    try:
        return bool(shell.kernel.get_parent("shell")["header"]["msg_type"] == "execute_request")
    except Exception:  # noqa: BLE001 - an older kernel; the next cell tells
        return False
