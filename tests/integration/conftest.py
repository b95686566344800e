"""What integration tests share: a folder where a ledger is, and a kernel as Jupyter starts it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from foregsyte_kaggle.database import LEDGER_FILE
from foregsyte_kaggle.testing import empty_ledger

ROOT = Path(__file__).parents[2]


class RealKernel:
    """Cells run by ipykernel, driven as a front end does."""

    def __init__(self) -> None:
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager()
        self.manager.start_kernel(
            extra_arguments=["--HistoryManager.enabled=False"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def begin(self, cell: str) -> str:
        # After a cell that failed, a kernel refuses for a moment what is meant to stop at errors.
        return str(self.client.execute(cell, stop_on_error=False))

    def end(self, request: str) -> tuple[str, str]:
        """Wait for a cell; return what it printed, and the name of its error."""
        printed, error = "", ""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return printed, error

    def run(self, cell: str) -> str:
        printed, error = self.end(self.begin(cell))
        assert not error, error
        return printed

    def shut_down(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The test's own folder with an empty ledger: a process that opens it starts 0.5 s sooner than with Alembic."""
    ledger = tmp_path / LEDGER_FILE
    ledger.parent.mkdir()
    shutil.copyfile(empty_ledger(), ledger)
    return tmp_path


@pytest.fixture
def real_kernel(begun: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealKernel]:
    """A kernel in the test's own folder, where the test is too."""
    pytest.importorskip("ipykernel", reason="a real kernel needs ipykernel")
    monkeypatch.chdir(begun)
    monkeypatch.setenv("IPYTHONDIR", str(begun / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(begun / "runtime"))
    real = RealKernel()
    yield real
    real.shut_down()
