"""Run ``quickstart.ipynb`` in a fresh folder, then show its job table here and leave it as a page."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

import foregsyte_kaggle as fk

NOTEBOOK = Path(__file__).with_name("quickstart.ipynb")


def main() -> int:
    """Return 0 when every cell ran and the jobs ended as they should."""
    folder = Path(tempfile.mkdtemp(prefix="foregsyte-quickstart-"))
    print(f"Running {NOTEBOOK.name} in {folder} ...", flush=True)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    os.chdir(folder)
    try:
        NotebookClient(
            notebook,
            timeout=300,
            resources={"metadata": {"path": str(folder)}},
            config=Config({"KernelManager": {"transport": "ipc"}}),
        ).execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        nbformat.write(notebook, folder / NOTEBOOK.name)
    workspace = fk.bootstrap(folder)
    table = fk.job_table()
    print(f"\n{table.to_text()}\n")
    print(f"The same as a page:    {table.to_html(folder / 'job_table.html')}")
    print(f"The notebook as run:   {folder / NOTEBOOK.name}")
    print(f"The ledger:            {folder / 'data' / 'foregsyte.duckdb'}")
    counts = fk.summary_frame().loc["video_info"]
    workspace.close()
    return 0 if (counts.completed, counts.failed) == (4, 1) else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # DuckDB 2.0 reports objects as leaked when an interpreter that also loaded SQLAlchemy's ORM and
    # pandas ends; they are harmless, the ledger is closed, and the report would bury the table.
    os._exit(code)
