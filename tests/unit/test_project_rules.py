"""The project's rules hold in all of its sources: DuckDB only, and no words of the phase after this one."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FOLDERS = ("foregsyte_kaggle", "migrations", "notebooks", "tests")
TOP_LEVEL = ("alembic.ini", "pyproject.toml", "Makefile", ".ci/run", "README.md")
SUFFIXES = {".py", ".ipynb", ".mako", ".ini", ".toml", ".html", ".css", ".js"}
NOT_OURS = {"__pycache__", ".ipynb_checkpoints", "data"}

# The one list. This file is the only source that may hold what it forbids.
RULES = {
    "SQLite": r"\bsqlite3\b|\baiosqlite\b|\bsqlite(\+\w+)?://|dialects(\.| import )sqlite\b",
    "PostgreSQL": r"\bpsycopg2?\b|\basyncpg\b|\bpostgres(ql)?(\+\w+)?://|\bJSONB\b|\bTSVECTOR\b"
    r"|dialects(\.| import )postgresql\b",
    "a live-stream word of the next phase": r"web_?sockets?\b|web_?rtc|\brtsp|\brtmp|\bhls\b"
    r"|(?<![a-z])live[-_ ]?stream",
}


def violations(text: str) -> list[str]:
    """Say which rules a text breaks, and with what."""
    return [
        f"{rule}: {found.group()!r}"
        for rule, pattern in RULES.items()
        for found in re.finditer(pattern, text, re.IGNORECASE)
    ]


def source_files() -> list[Path]:
    """List what is written by hand in the source folders, but not this file."""
    return sorted(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES
        and path != Path(__file__).resolve()
        and not NOT_OURS.intersection(path.relative_to(ROOT).parts)
    ) + [ROOT / name for name in TOP_LEVEL if (ROOT / name).exists()]


def source_text(path: Path) -> str:
    """Read a source file; of a notebook its cells, since encoded pictures can spell anything."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


@pytest.mark.unit
def test_sources_keep_the_rules() -> None:
    files = source_files()
    assert ROOT / "foregsyte_kaggle" / "models.py" in files, "the folders moved: fix FOLDERS"
    broken = {
        str(path.relative_to(ROOT)): found
        for path in files
        if (found := violations(source_text(path)))
    }
    assert not broken, "use DuckDB's types and this phase's words instead"


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
def test_last_release_in_the_changelog_is_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\]", text, re.MULTILINE)
    assert "## [Unreleased]" in text
    assert not released or released[0] == project()["version"], (
        "CHANGELOG.md and pyproject.toml name different versions"
    )


@pytest.mark.unit
def test_kaggle_pins_are_within_the_declared_dependencies() -> None:
    lines = (ROOT / "tests" / "kaggle" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line and line[0] != "#")
    declared = map(Requirement, project()["dependencies"])
    pinned = {req: pins[req.name.lower()] for req in declared if req.name.lower() in pins}
    assert {"duckdb", "pandas", "sqlalchemy"} <= {req.name for req in pinned}
    refused = {str(req): pin for req, pin in pinned.items() if not req.specifier.contains(pin)}
    assert not refused, "Kaggle's image could not install this version of the package"


def rooms() -> dict[str, int]:
    """Read the layout table of CONTRIBUTING.md: each module of the package with its row."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| room in ")[2].partition("\n\n")[0].splitlines()[2:]
    return {
        name: row
        for row, line in enumerate(table)
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }


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
    package = ROOT / "foregsyte_kaggle"
    upwards = []
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room == "__init__":  # the front door, which names everything
            continue
        assert room in row_of, f"give {room} a line in CONTRIBUTING.md's layout table"
        used = imported_rooms(path) & row_of.keys()
        upwards += [f"{room} -> {other}" for other in used if row_of[other] < row_of[room]]
    assert not upwards, "these imports go up the layout table: move the code, or the line"


@pytest.mark.unit
def test_local_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
