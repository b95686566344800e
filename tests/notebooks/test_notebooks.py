"""Every notebook runs in a fresh folder and gives the outputs that it was saved with."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SANITIZE = Path(__file__).with_name("sanitize.cfg")
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
#: What a notebook imports of an extra, and which.
OF_EXTRAS = {
    "custom_pipeline": ("vision", ("onnxruntime", "rapidocr")),
    "scale_out": ("dask", ("distributed",)),
    "yolo_ocr": ("vision", ("av", "rapidocr")),
}


@pytest.mark.notebook
def test_there_are_notebooks() -> None:
    assert NOTEBOOKS, "notebooks/ holds no *.ipynb: its folder moved, so this file tests nothing"


@pytest.mark.notebook
@pytest.mark.timeout(600)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_gives_its_saved_outputs(notebook: Path, tmp_path: Path) -> None:
    extra, modules = OF_EXTRAS.get(notebook.stem, ("", ()))
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{notebook.name} needs {module}: pip install 'foregsyte-kaggle[{extra}]'")
    # A copy, since the kernel works in the notebook's folder and leaves its workspace there.
    copy = shutil.copy(notebook, tmp_path)
    nbval = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(SANITIZE)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--color=no", *nbval, copy],
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{notebook.name} differs from its saved outputs; nbval says how"
