"""The project's rules hold in all of its sources: DuckDB only, and no words of the phase after this one."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "foregsyte_kaggle"
FOLDERS = ("foregsyte_kaggle", "migrations", "notebooks", "tests", ".github")
TOP_LEVEL = (
    "alembic.ini",
    "pyproject.toml",
    "Makefile",
    ".ci/run",
    ".pre-commit-config.yaml",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)
SUFFIXES = {".py", ".ipynb", ".mako", ".ini", ".toml", ".html", ".css", ".js", ".md", ".yml"}
NOT_OURS = {"__pycache__", ".ipynb_checkpoints", "data"}

# The one list. This file is the only source that may hold what it forbids.
RULES = {
    "SQLite": r"\bsqlite3\b|\baiosqlite\b|\bsqlite(\+\w+)?://|dialects(\.| import )sqlite\b",
    "PostgreSQL": r"\bpsycopg2?\b|\basyncpg\b|\bpostgres(ql)?(\+\w+)?://|\bJSONB\b|\bTSVECTOR\b"
    r"|dialects(\.| import )postgresql\b",
    "a live-stream word of the next phase": r"web_?sockets?\b|web_?rtc|\brtsp|\brtmp|\bhls\b"
    r"|(?<![a-z])live[-_ ]?stream",
}

# The one source that may break one rule: it measures what others keep in SQLite. Nothing of the package.
EXCEPTIONS = {ROOT / "tests" / "benchmarks" / "peers" / "on_sqlite.py": "SQLite"}


def violations(text: str) -> list[str]:
    """Say which rules a text breaks, and with what."""
    return [
        f"{rule}: {found.group()!r}"
        for rule, pattern in RULES.items()
        for found in re.finditer(pattern, text, re.IGNORECASE)
    ]


def not_excepted(path: Path, found: list[str]) -> list[str]:
    """Return the violations but those of the rule that a source is an exception to."""
    return [one for one in found if not one.startswith(f"{EXCEPTIONS.get(path)}: ")]


def source_files() -> list[Path]:
    """List what is written by hand in the source folders, but not this file."""
    return sorted(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES
        and path != Path(__file__).resolve()
        and not NOT_OURS.intersection(path.relative_to(ROOT).parts)
    ) + [ROOT / name for name in TOP_LEVEL]


def source_text(path: Path) -> str:
    """Read a source file; of a notebook its cells, since encoded pictures can spell anything."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


@pytest.mark.unit
def test_sources_keep_the_rules() -> None:
    files = source_files()
    for name in ("foregsyte_kaggle/models.py", "CONTRIBUTING.md", ".github/workflows/ci.yml"):
        assert ROOT / name in files, "the folders moved: fix FOLDERS"
    broken = {
        str(path.relative_to(ROOT)): found
        for path in files
        if (found := not_excepted(path, violations(source_text(path))))
    }
    assert not broken, "use DuckDB's types and this phase's words instead"


@pytest.mark.unit
@pytest.mark.parametrize("path", EXCEPTIONS, ids=lambda path: path.name)
def test_an_exception_is_needed_and_no_part_of_what_is_shipped(path: Path) -> None:
    found = violations(source_text(path))
    assert found, "it breaks no rule any more: drop the exception"
    assert not not_excepted(path, found), "the exception is for one rule only"
    assert path.is_relative_to(ROOT / "tests" / "benchmarks")


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import sqlite3", id="sqlite module"),
        pytest.param('create_engine("sqlite:///jobs.db")', id="sqlite url"),
        pytest.param('create_engine("sqlite+aiosqlite://")', id="sqlite url with driver"),
        pytest.param("from sqlalchemy.dialects import sqlite", id="sqlite dialect"),
        pytest.param("from sqlalchemy.dialects.postgresql import UUID", id="postgresql type"),
        pytest.param("from sqlalchemy.dialects import postgresql", id="postgresql dialect"),
        pytest.param('"postgresql+psycopg://host/db"', id="postgresql url"),
        pytest.param("sa.Column('params', JSONB)", id="jsonb"),
        pytest.param("from fastapi import WebSocket", id="websocket"),
        pytest.param("open_web_socket()", id="web_socket"),
        pytest.param("# later over WebRTC", id="webrtc"),
        pytest.param('url = "rtsp://camera"', id="rtsp"),
        pytest.param("the HLS playlist", id="hls"),
        pytest.param("a live stream of the match", id="live stream"),
        pytest.param("class LiveStreamJob:", id="livestream"),
        pytest.param("start_live_stream()", id="live_stream"),
    ],
)
def test_checker_finds_what_is_forbidden(text: str) -> None:
    assert violations(text)


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("no SQLite, no PostgreSQL types", id="naming them is no use of them"),
        pytest.param("sa.Uuid(), sa.JSON(), sa.Enum(name='job_status_enum')", id="own types"),
        pytest.param("sys.stdout is a stream; alive streams, mahlstrom", id="words inside words"),
    ],
)
def test_checker_lets_the_rest_pass(text: str) -> None:
    assert not violations(text)


def project() -> dict[str, object]:
    """Read the ``[project]`` table."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.unit
def test_kaggle_pins_are_within_the_declared_dependencies() -> None:
    lines = (ROOT / "tests" / "kaggle" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line and line[0] != "#")
    extras = project()["optional-dependencies"]
    optional = (extras[name] for name in ("api", "plot", "vision"))
    declared = map(Requirement, sum(optional, project()["dependencies"]))
    pinned = {req: pins[req.name.lower()] for req in declared if req.name.lower() in pins}
    assert {
        "duckdb",
        "matplotlib",
        "opencv-python-headless",
        "pandas",
        "sqlalchemy",
        "uvicorn",
    } <= {req.name for req in pinned}
    refused = {str(req): pin for req, pin in pinned.items() if not req.specifier.contains(pin)}
    assert not refused, "Kaggle's image could not install this version of the package"


def layout() -> list[tuple[list[str], str]]:
    """Read the layout table of CONTRIBUTING.md: of each row its rooms, and what they alone may."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| room in ")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [(re.findall(r"`(\w+)`", names), alone_may) for names, _, alone_may in rows]


def rooms() -> dict[str, int]:
    """Return each room of the package with the number of its row."""
    return {name: row for row, (names, _) in enumerate(layout()) for name in names}


def room_of(path: Path) -> str:
    """Return the room that a module of the package is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """List the modules of the package that a module imports when it runs, not for types only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]
    found += [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    return {name.split(".")[1] for name in found if name.startswith("foregsyte_kaggle.")}


@pytest.mark.unit
def test_imports_go_one_way_down_the_layout_table() -> None:
    row_of = rooms()
    upwards = []
    for path in PACKAGE.rglob("*.py"):
        room = room_of(path)
        if room == "__init__":  # the front door, which names everything
            continue
        assert room in row_of, f"give {room} a line in CONTRIBUTING.md's layout table"
        used = imported_rooms(path) & row_of.keys()
        upwards += [f"{room} -> {other}" for other in used if row_of[other] < row_of[room]]
    assert not upwards, "these imports go up the layout table: move the code, or the line"


# For each entry of the table's column "alone may", the code that does it.
ALONE_MAY = {
    "import FastAPI": r"^\s*(import|from) (fastapi|starlette|uvicorn|pydantic)\b",
    "import ipywidgets": r"^\s*(import|from) ipywidgets\b",
    "start processes": r"^\s*(import|from) (subprocess|multiprocessing)\b"
    r"|\bos\.(fork|system|popen|spawn|posix_spawn|exec)\w*\(",
    "copy ledgers": r"\bATTACH '|\bCOPY FROM DATABASE\b|\bshutil\.copy",
    "change a status": r"\bUPDATE jobs SET ((?!\bWHERE\b).)*\bstatus =|^\s*[\w.]+\.status = ",
    "call Alembic": r"^\s*(import|from) alembic\b",
    "define tables": r"\b__tablename__\b",
    "open DuckDB": r"\bduckdb\.connect\(|\bcreate_engine\(",
    "print": r"(?<![\w.])print\(",
    "read Kaggle's variables and paths": r"\bKAGGLE_|/kaggle/input",
}


@cache
def code_of(path: Path) -> str:
    """Return a module's code without comments and docstrings, each string in one piece."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.unit
def test_every_right_of_the_layout_table_has_a_pattern() -> None:
    assert {alone_may for _, alone_may in layout() if alone_may} == set(ALONE_MAY)


@pytest.mark.unit
@pytest.mark.parametrize("right", ALONE_MAY)
def test_only_the_room_that_alone_may_does_it(right: str) -> None:
    (allowed,) = [names for names, alone_may in layout() if alone_may == right]
    does_it = re.compile(ALONE_MAY[right], re.MULTILINE | re.DOTALL).search
    users = {room_of(path) for path in PACKAGE.rglob("*.py") if does_it(code_of(path))}
    assert users & set(allowed), "the pattern finds nothing any more: mend it"
    assert not users - set(allowed), f"only {allowed} may {right}"


@pytest.mark.unit
def test_migrations_change_no_rows() -> None:
    changes = re.compile(
        r"\b(UPDATE|INSERT|DELETE|MERGE)\b|\bbulk_insert\b|\.(update|delete|insert)\("
    )
    files = list((ROOT / "migrations" / "versions").glob("*.py"))
    assert files
    assert not [path.name for path in files if changes.search(code_of(path))]


@pytest.mark.unit
def test_local_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.unit
def test_tests_that_the_readme_names_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)`: `(test_\w+)`", text)
    assert len(named) >= 12
    for file, name in named:
        path = ROOT / "tests" / file
        assert f"def {name}(" in path.read_text(encoding="utf-8"), f"{file} has no {name}"
