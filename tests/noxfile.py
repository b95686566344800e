"""The lanes: the same tests on other Pythons, pinned versions, another dialect, another time zone.

``make test-all`` runs every lane; ``nox -f tests/noxfile.py -s kaggle -- tests/unit`` runs one, on a
part of the tests. A lane whose Python this machine lacks is skipped, and the summary says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tests" / "kaggle" / "constraints.txt"
WITHOUT_BROWSER = ("tests/unit", "tests/integration", "tests/kaggle", "tests/notebooks")
SAY_VERSIONS = """
import sys, importlib.metadata as m
names = ("duckdb", "sqlalchemy", "alembic", "pandas", "pyarrow", "ipywidgets", "pytest")
print("Python", sys.version.split()[0], *(f"| {name} {m.version(name)}" for name in names))
"""
SAY_WHERE = """
import sys, foregsyte_kaggle
print(foregsyte_kaggle.__file__)
assert foregsyte_kaggle.__file__.startswith(sys.prefix), "this is not what was installed"
"""
#: What the folder of wheels brings to Kaggle.
BROUGHT = ("foregsyte-kaggle", "duckdb-engine")

# uv compiles nothing, so that every process would, where images set this.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2025.5.1"
nox.options.envdir = str(ROOT / ".nox")
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"


def find_python(version: str) -> str | None:
    """Find a Python of this version that starts: one of pyenv's shims may be there and fail."""
    environments: list[Mapping[str, str]] = [os.environ]
    if shutil.which("pyenv"):
        latest = _output(["pyenv", "latest", version], os.environ)
        environments.append({**os.environ, "PYENV_VERSION": latest or ""})
    command = [f"python{version}", "-c", "import sys; print(sys.executable)"]
    return next(filter(None, (_output(command, environ) for environ in environments)), None)


def _output(command: list[str], environ: Mapping[str, str]) -> str | None:
    """Run a command; give what it printed, or None if it is not there or failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def lane(*versions: str) -> Callable[[Callable[[nox.Session], None]], object]:
    """Make a function a lane in an environment of its own, on the first of these Pythons found."""
    found = next(((python, v) for v in versions if (python := find_python(v))), None)

    def declare(body: Callable[[nox.Session], None]) -> object:
        def run(session: nox.Session) -> None:
            if found is None:
                session.skip(f"THIS DID NOT RUN: no Python {' or '.join(versions)} here")
            if found[1] != versions[0]:
                session.warn(f"NO PYTHON {versions[0]} HERE: this runs on {found[1]}")
            session.chdir(ROOT)
            body(session)

        run.__doc__ = body.__doc__
        # False makes no environment for a lane that will only be skipped.
        return nox.session(run, name=body.__name__, python=found[0] if found else False)

    return declare


def install(
    session: nox.Session, *what: str, newest: bool = False, pip_alone: bool = False
) -> None:
    """Install by uv, which takes a tenth of pip's time; by pip where there is none, or it fails.

    Pip alone looks where its own configuration says, which may be a disk. With ``newest``, everything
    is as new as is allowed, since an environment is reused for weeks.
    """
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    uv = None if pip_alone else beside or shutil.which("uv")
    if uv is not None:
        upgrade = ["--upgrade"] if newest else []
        python = f"{session.bin}/python"
        try:
            session.run(
                uv, "pip", "install", "--python", python, *upgrade, "pip", *what, external=True
            )
        except CommandFailed:
            session.warn("uv cannot install this here, so pip does")
        else:
            return
    session.install("--upgrade", "pip")  # that of a new environment takes three times as long
    upgrade = ["--upgrade", "--upgrade-strategy", "eager"] if newest else []
    session.install(*upgrade, *what)


def install_checkout(
    session: nox.Session, extras: str, *more: str, pip_alone: bool = False
) -> None:
    """Install this checkout with the newest versions that the rest of the arguments allow."""
    install(session, "--editable", f".[{extras}]", *more, newest=True, pip_alone=pip_alone)


def run_tests(session: nox.Session, *paths: str, installed: bool = False) -> None:
    """Say what is installed, then run the tests given on the command line, or else these.

    With ``installed``, on the package that is installed: this checkout is not on the path.
    """
    session.run("python", "-c", SAY_VERSIONS)
    options = ("-P",) if installed else ()
    session.run("python", *options, "-m", "pytest", *(session.posargs or paths))


@lane("3.11")
def py311(session: nox.Session) -> None:
    """Python 3.11, newest versions: everything, the browser too."""
    install_checkout(session, "test,browser")
    run_tests(session, "tests")


def kill_hundreds(session: nox.Session) -> None:
    """Have the kill tests end processes hundreds of times in all, unless the caller says how often."""
    session.env["FOREGSYTE_KILLS"] = os.environ.get("FOREGSYTE_KILLS", "25")


@lane("3.12")
def py312(session: nox.Session) -> None:
    """Python 3.12, newest versions; hundreds of kills."""
    kill_hundreds(session)
    install_checkout(session, "test")
    run_tests(session, *WITHOUT_BROWSER)


@lane("3.13")
def py313(session: nox.Session) -> None:
    """Python 3.13, newest versions."""
    install_checkout(session, "test")
    run_tests(session, *WITHOUT_BROWSER)


def image_requirements() -> list[str]:
    """Return what tests need on Kaggle, without the package and what its folder of wheels brings."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *extras["vision"],
        *extras["plot"],
        *extras["api"],
        *extras["dask"],
        *extras["test"],
    ]
    return [one for one in wanted if not one.startswith(BROUGHT)]


@lane("3.12", "3.11")
def kaggle(session: nox.Session) -> None:
    """Kaggle's image, the oldest versions supported, with the package installed offline; hundreds of kills."""
    kill_hundreds(session)
    # playwright is for pages by the nbconvert of the pins; it needs no JupyterLab.
    install(session, *image_requirements(), "playwright", "--constraint", str(PINS), newest=True)
    session.run("python", "tests/kaggle/make_wheels.py")
    session.run("python", "-m", "pip", "uninstall", "--yes", "--quiet", *BROUGHT)
    session.install("--no-index", "--find-links", "dist/kaggle-wheels", BROUGHT[0])
    # Behind what is installed, for workers that import a pipeline of a test.
    (packages,) = Path(session.virtualenv.location).glob("lib/python*/site-packages")
    (packages / "_foregsyte_tests.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    session.run("python", "-P", "-c", SAY_WHERE)
    run_tests(session, *WITHOUT_BROWSER, "tests/browser/test_saved_notebooks.py", installed=True)


@lane("3.11")
def colab(session: nox.Session) -> None:
    """Kaggle's versions with Colab's older ipywidgets and the oldest for vision: the lowest declared."""
    install_checkout(session, "test", "--constraint", str(PINS))
    oldest = ("av==14.2.0", "onnxruntime==1.22.0", "packaging==24.2", "rapidocr==3.10.0")
    dask = ("dask==2026.1.1", "distributed==2026.1.1")
    install(session, "ipywidgets==7.7.1", *oldest, *dask)
    run_tests(session, "tests/unit", "tests/notebooks")


@lane("3.13", "3.11")
def fork(session: nox.Session) -> None:
    """duckdb-sqlalchemy, the maintained fork, in place of duckdb-engine."""
    install_checkout(session, "test", "duckdb-sqlalchemy")
    session.run("python", "-m", "pip", "uninstall", "--yes", "--quiet", "duckdb-engine")
    run_tests(session, *WITHOUT_BROWSER)


@lane("3.11")
def ultralytics(session: nox.Session) -> None:
    """Our detector beside Ultralytics', on models that it exports: newest, with PyTorch."""
    # A PyTorch for the CPU alone, `2.13.0+cpu`, is preferred where pip finds one; the other brings CUDA.
    more = ("ultralytics-opencv-headless", "onnxslim", "torch==2.13.0")
    install_checkout(session, "test", *more, pip_alone=True)
    session.env["FOREGSYTE_REQUIRE_ULTRALYTICS"] = "1"
    session.env["YOLO_CONFIG_DIR"] = session.create_tmp()
    run_tests(session, "tests/integration/test_against_ultralytics.py")


@lane("3.11")
def ray(session: nox.Session) -> None:
    """The contract of the engines on a Ray cluster of this machine; each row of the benchmarks, tiny: newest."""
    install_checkout(session, "test,ray")
    session.env["FOREGSYTE_REQUIRE_RAY"] = "1"
    run_tests(session, "tests/integration/test_engine_contract.py")
    if not session.posargs:
        session.run("python", "-m", "tests.benchmarks", "--sizes", "tiny", "--repeat", "1")


@nox.session(python=False)
def tokyo(session: nox.Session) -> None:
    """A time zone far from UTC, in the environment that nox itself runs in."""
    session.chdir(ROOT)
    session.env["TZ"] = "Asia/Tokyo"
    paths = session.posargs or ("tests/unit", "tests/integration")
    session.run(sys.executable, "-m", "pytest", *paths, external=True)
