"""The folder of wheels installs the package without internet, and nothing that was there moves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.kaggle.make_wheels import METADATA, build, find_problems

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "notebooks" / "kaggle_starter.ipynb"
#: What the image lacks, here in the names of files and folders in ``site-packages``.
LACKING = ("duckdb_engine", "duckdb_sqlalchemy", "foregsyte_kaggle", "__editable__", "_foregsyte")
#: Runs the starter's first cell by IPython, as a kernel does, then the package.
INSTALL_AND_USE = """
import sys
from IPython.core.interactiveshell import InteractiveShell

result = InteractiveShell.instance().run_cell(sys.argv[1])
result.raise_error()
import foregsyte_kaggle as fk
from pathlib import Path

assert Path(fk.__file__).is_relative_to(sys.prefix), fk.__file__
Path("texts").mkdir()
Path("texts", "a.txt").write_text("a")
fk.bootstrap(resume=False)
fk.register_jobs("./texts", "file_info")
assert fk.run_jobs(progress=False).completed == 1
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "foregsyte-kaggle-wheels"
    build(folder)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A new environment with all that this one has, by links, but for what Kaggle's image lacks.

    Returns
    -------
    pathlib.Path
        Its Python.
    """
    venv.create(tmp_path / "image", symlinks=True)
    python = tmp_path / "image" / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    theirs = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    for kind in ("platlib", "purelib"):
        for entry in Path(sysconfig.get_path(kind)).iterdir():
            link = Path(theirs.stdout.strip(), entry.name)
            if not entry.name.startswith(LACKING) and not link.exists():
                link.symlink_to(entry)
    return python


def install_cell() -> str:
    cells = json.loads(STARTER.read_text(encoding="utf-8"))["cells"]
    (cell,) = [text for one in cells if "%pip" in (text := "".join(one["source"]))]
    return cell


def offline(folder: Path, **variables: str) -> dict[str, str]:
    """Return an environment in which pip has neither internet nor a setting of somebody's."""
    clean = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**clean, **nowhere, "HOME": str(folder), **variables}


def installed(python: Path, folder: Path) -> set[str]:
    listed = [python, "-m", "pip", "list", "--format=freeze"]
    done = subprocess.run(listed, env=offline(folder), capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_folder_holds_our_wheel_and_what_the_image_lacks_as_pure_python(wheels: Path) -> None:
    names = [path.name.split("-")[0] for path in sorted(wheels.glob("*.whl"))]
    assert names == ["duckdb_engine", "foregsyte_kaggle"]
    for path in wheels.glob("*.whl"):
        assert path.name.endswith("-py3-none-any.whl")
        assert zipfile.ZipFile(path).testzip() is None
    assert json.loads((wheels / "dataset-metadata.json").read_text()) == METADATA
    assert len(list(wheels.iterdir())) == len(names) + 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", ["", "datasets/ann"], ids=["old layout", "new layout"])
def test_starter_s_cell_installs_these_and_moves_nothing(
    wheels: Path, image: Path, tmp_path: Path, place: str
) -> None:
    mount = tmp_path / "input" / place / wheels.name
    shutil.copytree(wheels, mount)
    before = installed(image, tmp_path)
    # Asked first: the links lead into the environment of these tests, in which nothing may move.
    report = tmp_path / "report.json"
    dry = [
        "--quiet",
        "--dry-run",
        "--report",
        str(report),
        "--no-index",
        "--find-links",
        str(mount),
    ]
    command = [image, "-m", "pip", "install", *dry, "foregsyte-kaggle"]
    subprocess.run(command, env=offline(tmp_path), check=True)
    would = {item["metadata"]["name"] for item in json.loads(report.read_text())["install"]}
    assert would == {"duckdb_engine", "foregsyte-kaggle"}
    work = tmp_path / "working"
    work.mkdir()
    done = subprocess.run(
        [image, "-c", INSTALL_AND_USE, install_cell()],
        cwd=work,
        env=offline(tmp_path, KAGGLE_CACHE_MOUNT_FOLDER=str(tmp_path / "input")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = installed(image, tmp_path)
    assert before <= after
    assert {line.split("==")[0] for line in after - before} == would


def test_readme_has_the_starter_s_cell() -> None:
    assert f"```python\n{install_cell()}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_kernel_metadata_names_the_starter_and_the_dataset() -> None:
    told = json.loads(STARTER.with_name("kernel-metadata.json").read_text(encoding="utf-8"))
    assert told["code_file"] == STARTER.name
    assert told["dataset_sources"] == [METADATA["id"]]
    assert told["id"] == f"INSERT_USERNAME_HERE/{told['title']}"


def test_starter_s_cell_says_what_to_attach_where_nothing_is(image: Path, tmp_path: Path) -> None:
    code = "import sys; from IPython.core.interactiveshell import InteractiveShell as Shell\n"
    code += "Shell.instance().run_cell(sys.argv[1]).raise_error()"
    done = subprocess.run(
        [image, "-c", code, install_cell()],
        cwd=tmp_path,
        env=offline(tmp_path, KAGGLE_CACHE_MOUNT_FOLDER=str(tmp_path / "nothing")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "attach the dataset foregsyte-kaggle-wheels" in done.stderr


@pytest.mark.parametrize(
    ("wheel", "wanted", "said"),
    [
        pytest.param("a-1-cp312-cp312-linux_x86_64.whl", [], "not pure Python", id="compiled"),
        pytest.param("pandas-3.0-py3-none-any.whl", [], "in Kaggle's image, as 2.2.2", id="there"),
        pytest.param("a-1-py3-none-any.whl", ["pandas>=3"], "image has 2.2.2", id="would move it"),
    ],
)
def test_wheel_that_would_not_do_is_named(wheel: str, wanted: list[str], said: str) -> None:
    (problem,) = find_problems({wheel: map(Requirement, wanted)}, {"pandas": "2.2.2"})
    assert problem.startswith(wheel)
    assert said in problem


def test_wheel_that_the_image_satisfies_is_no_problem() -> None:
    wanted = [Requirement("pandas>=2.2"), Requirement("duckdb-engine")]
    assert find_problems({"a-1-py3-none-any.whl": wanted}, {"pandas": "2.2.2"}) == []
