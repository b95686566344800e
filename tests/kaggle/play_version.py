"""Play one version of a notebook as Kaggle's Save & Run All does, in the current folder.

papermill executes ``__notebook__.ipynb`` in its place, saving it after each cell, and ends at the first
that raises; then nbconvert makes the page ``__results__.html`` of it.
"""

from __future__ import annotations

import subprocess
import sys

import papermill


def main() -> int:
    """Return 0 when every cell ran, as Kaggle calls a version completed."""
    notebook = "__notebook__.ipynb"
    try:
        papermill.execute_notebook(notebook, notebook, kernel_name="python3", progress_bar=False)
    except papermill.PapermillExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    page = ["--to", "html", "--template", "classic", "--output", "__results__"]
    return subprocess.run([sys.executable, "-m", "nbconvert", *page, notebook]).returncode


if __name__ == "__main__":
    sys.exit(main())
