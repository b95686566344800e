"""Imports: the front door is light, a worker lighter, and what type checkers see is what is there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

Persisted = Callable[[Path | None, str], list[tuple[Any, ...]]]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "foregsyte_kaggle"
HEAVY = (
    "duckdb",
    "sqlalchemy",
    "pandas",
    "alembic",
    "pyarrow",
    "ipywidgets",
    "numpy",
    "IPython",
    "tqdm",
    "av",
    "cv2",
    "onnxruntime",
    "rapidocr",
    "fastapi",
    "uvicorn",
)


def loaded_by(code: str) -> set[str]:
    """Return which heavy modules a fresh Python loads for some code."""
    shown = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", shown], stdout=subprocess.PIPE, text=True, check=True
    )
    return set(HEAVY) & set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import foregsyte_kaggle",
        "import foregsyte_kaggle; dir(foregsyte_kaggle); foregsyte_kaggle.__all__",
        "from foregsyte_kaggle import pipeline; pipeline('p')(print)",
        "from foregsyte_kaggle import JobContext, ForegsyteError",
        "import foregsyte_kaggle.worker.serving",
        "from foregsyte_kaggle.shell.arguments import parse; parse(['export', '--pipeline', 'p', '--to', 'x.csv'])",
        "import foregsyte_kaggle.shell; foregsyte_kaggle.shell.main",
        "from foregsyte_kaggle.registry import find_pipeline; find_pipeline('yolo_ocr').code_version",
        "from foregsyte_kaggle.registry import find_pipeline; find_pipeline('video_info').code_version",
        "from foregsyte_kaggle.registry.builtin import file_info; file_info(__import__('pathlib').Path('/bin/sh'))",
    ],
)
def test_import_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == set()


def test_bootstrap_of_a_ledger_at_head_loads_no_widgets_and_no_alembic(tmp_path: Path) -> None:
    bootstrap = f"import foregsyte_kaggle as fk; fk.bootstrap({str(tmp_path)!r})"
    assert "alembic" in loaded_by(bootstrap)  # the first time it makes the tables
    assert not {"alembic", "ipywidgets", "IPython"} & loaded_by(bootstrap)


def test_first_run_after_bootstrap_loads_no_pandas(tmp_path: Path, persisted: Persisted) -> None:
    opened = (
        "import foregsyte_kaggle as fk\n"
        "def look(name): return {'number': 7, 'text': name}\n"
        "fk.pipeline('free')(look)\n"
        "fk.pipeline('declared', schema={'number': 'BIGINT', 'text': 'VARCHAR'})(look)\n"
        f"fk.bootstrap({str(tmp_path)!r})\n"
    )
    register = "[fk.register_jobs(ids, one, name='ids') for one in ('free', 'declared')]"
    loaded_by(f"{opened}import pandas; ids = pandas.DataFrame({{'id': ['a', 'b']}}); {register}")
    if "pandas" in loaded_by(f"{opened}0"):
        pytest.skip("this DuckDB imports pandas by itself, as those before 2.0 do")
    loaded = loaded_by(f"{opened}fk.run_jobs(executor='threads')")
    assert "pandas" not in loaded
    assert "pyarrow" in loaded
    for pipeline_id in ("free", "declared"):
        query = f"SELECT number, text FROM results.{pipeline_id}"
        stored = persisted(tmp_path / "data/foregsyte.duckdb", query)
        assert sorted(stored) == [(7, "a"), (7, "b")]


@pytest.mark.usefixtures("memory_workspace")
def test_worker_process_has_nothing_heavy_while_a_job_runs() -> None:
    @fk.pipeline("p")
    def look(name: str) -> dict[str, Any]:
        import sys

        return {"loaded": sorted(set(sys.modules))}

    fk.register_jobs(pd.DataFrame({"id": ["a"]}), "p", name="ids")
    assert fk.run_jobs("p", progress=False).completed == 1
    loaded = set(fk.results_frame("p").loaded[0])
    assert "foregsyte_kaggle.worker.serving" in loaded
    assert not loaded & set(HEAVY)
    ours = {name for name in loaded if name.startswith("foregsyte_kaggle.")}
    assert {name.split(".")[1] for name in ours} == {"worker", "errors"}


def lazy_table() -> dict[str, str]:
    return {name: module for module, names in fk._HOMES.items() for name in names}


def test_all_is_sorted_complete_and_importable(memory_workspace: Workspace) -> None:
    assert fk.__all__ == sorted(set(lazy_table()))
    for name in fk.__all__:
        assert getattr(fk, name) is getattr(
            import_module(f"foregsyte_kaggle.{lazy_table()[name]}"), name
        )
    assert set(fk.__all__) <= set(dir(fk))


def test_type_checkers_see_the_same_names_from_the_same_homes() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom), ast.unparse(node)
        for alias in node.names:
            assert alias.asname == alias.name, f"write `import {alias.name} as {alias.name}`"
            assert node.module is not None
            assert alias.name not in seen, f"{alias.name} is there twice"
            seen[alias.name] = node.module.removeprefix("foregsyte_kaggle.")
    assert seen == lazy_table(), "the TYPE_CHECKING block and _HOMES of __init__.py differ"
    assert sum(map(len, fk._HOMES.values())) == len(seen), "a name stands twice in _HOMES"


def test_every_name_of_every_module_s_all_is_there() -> None:
    missing = []
    for file in sorted(PACKAGE.rglob("*.py")):
        if "_migrations" in file.parts:
            continue
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name.endswith("__main__"):
            continue
        module = import_module(name)
        missing += [
            f"{name}.{public}"
            for public in getattr(module, "__all__", [])
            if not hasattr(module, public)
        ]
    assert not missing


ROOMS_OF_A_WORKER = {"worker", "errors"}


def test_what_runs_in_a_worker_imports_only_its_own_room_and_the_standard_library() -> None:
    for file in sorted((PACKAGE / "worker").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top, _, rest = name.partition(".")
                if top == "foregsyte_kaggle":
                    assert rest.split(".")[0] in ROOMS_OF_A_WORKER, f"{file.name} imports {name}"
                else:
                    assert top in sys.stdlib_module_names, f"{file.name} imports {name}"
