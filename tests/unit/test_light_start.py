"""What is loaded when: importing the package, and starting a worker, must stay light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.workspace import Workspace

HEAVY = ("duckdb", "sqlalchemy", "pandas", "numpy", "pyarrow", "alembic", "ipywidgets", "tqdm")


@pytest.mark.unit
def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import json, sys, foregsyte_kaggle; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.integration
def test_worker_runs_a_job_with_nothing_heavy_loaded(workspace: Workspace) -> None:
    (workspace.directory / "a.txt").write_text("a")
    heavy = HEAVY

    @fk.pipeline("loaded")
    def loaded(path: object) -> dict[str, str]:
        import sys

        return {"heavy": ",".join(m for m in heavy if m in sys.modules), "path": str(path)}

    fk.register_jobs("a.txt", "loaded", name="one")
    fk.run_jobs("loaded", progress=False)
    assert fk.results_frame("loaded").heavy.tolist() == [""]


@pytest.mark.integration
def test_bootstrap_at_head_does_not_import_alembic(workspace: Workspace) -> None:
    workspace.close()
    code = "import sys, foregsyte_kaggle as fk; fk.bootstrap().close(); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
