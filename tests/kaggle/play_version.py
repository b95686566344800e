"""Play one version of a notebook as Kaggle's Save & Run All does, in the current folder.

papermill executes ``__notebook__.ipynb`` in its place, saving it after each cell, and ends at the first
that raises; then nbconvert makes the page ``__results__.html`` of it, by its classic template.
"""

from __future__ import annotations

import sys
from pathlib import Path

import papermill
from nbconvert import HTMLExporter

NOTEBOOK = "__notebook__.ipynb"


def main() -> int:
    """Return 0 when every cell ran, as Kaggle calls a version completed."""
    try:
        papermill.execute_notebook(NOTEBOOK, NOTEBOOK, kernel_name="python3", progress_bar=False)
    except papermill.PapermillExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    page, _ = HTMLExporter(template_name="classic").from_filename(NOTEBOOK)
    Path("__results__.html").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
