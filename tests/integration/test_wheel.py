"""The wheel, installed away from the checkout into an environment that is read-only and stays as it was."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from foregsyte_kaggle import schema

ROOT = Path(__file__).parents[2]
MAIN_JOB = """
import json, sys
from pathlib import Path

import foregsyte_kaggle as fk
from foregsyte_kaggle import schema

checkout = sys.argv[1]
assert not any(Path(entry).resolve() == Path(checkout) for entry in sys.path if entry)
assert not fk.__file__.startswith(checkout), fk.__file__
assert schema.migrations_directory().name == "_migrations", schema.migrations_directory()
Path("inputs").mkdir()
for number in range(5):
    Path("inputs", f"{number}.txt").write_text("x" * number)
workspace = fk.bootstrap()
fk.register_jobs("inputs", "file_info")
run = fk.run_jobs("file_info", progress=False)
page = fk.job_table().to_html("table.html")
assert "acme_sizes" not in sys.modules
fk.register_jobs("inputs", "acme_size", params={"unit": 2})
fk.run_jobs("acme_size", progress=False)
print(json.dumps({
    "completed": run.completed,
    "rows": len(fk.results_frame("file_info")),
    "version": fk.__version__,
    "revision": schema.current_revision(workspace.database),
    "page": Path(page).stat().st_size > 0,
    "shipped": fk.results_frame("acme_size")["size"].tolist(),
    "from": fk.pipelines().set_index("pipeline_id").loc["acme_size", "origin"],
}))
"""
#: A package that somebody else ships, with a pipeline.
SHIPPED = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"
[project]
name = "acme-sizes"
version = "2.5"
[project.entry-points."foregsyte_kaggle.pipelines"]
acme_size = "acme_sizes:size"
""",
    "acme_sizes.py": """
import foregsyte_kaggle as fk

@fk.pipeline("acme_size", batch_size=2, schema={"size": float})
def size(paths, unit: int = 1):
    return [{"size": path.stat().st_size / unit} for path in paths]
""",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.integration
def test_wheel_is_pure_and_carries_migrations_and_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.endswith("-py3-none-any.whl")
    shipped = sorted(Path(name).name for name in names if "/_migrations/versions/" in name)
    own = sorted(path.name for path in (ROOT / "migrations" / "versions").glob("*.py"))
    assert shipped == own
    for name in ("_migrations/env.py", "_migrations/script.py.mako", "py.typed"):
        assert f"foregsyte_kaggle/{name}" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"foregsyte_kaggle"}


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_installed_wheel_runs_the_main_job_and_writes_nothing_beside_itself(
    wheel: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    acme = tmp_path / "acme"
    acme.mkdir()
    for name, text in SHIPPED.items():
        (acme / name).write_text(text)
    # Core dependencies only, all of them as wheels: no compiler is needed.
    options = ("--quiet", "--no-compile", "--only-binary", ":all:")
    pip("--python", str(python), "install", *options, str(wheel), str(acme))
    make_read_only(environment)
    before = contents(environment)
    folder = tmp_path / "away"
    folder.mkdir()
    done = subprocess.run(
        [python, "-c", MAIN_JOB, str(ROOT)],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",  # root could write compiled files, and nothing else would
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "completed": 5,
        "rows": 5,
        "version": wheel.name.split("-")[1],
        "revision": schema.head_revision(),
        "page": True,
        "shipped": [0.0, 0.5, 1.0, 1.5, 2.0],
        "from": "acme-sizes 2.5",
    }
    # Compared too, since nothing is read-only for root, as tests in a container run.
    assert contents(environment) == before


def make_read_only(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the time of change and the digest of each file, compiled ones too; of folders the time."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (path.lstat().st_mtime_ns, digest)
    return found


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
