"""The command for a shell, in this process: what it prints, changes and returns."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import schema
from foregsyte_kaggle.registry import registered
from foregsyte_kaggle.shell import commands, main
from foregsyte_kaggle.testing import memory_workspace

pytestmark = pytest.mark.unit

LEDGERS = Path(__file__).parents[1] / "integration" / "ledgers"
STORED = sorted(LEDGERS.glob("[0-9]*.duckdb.gz"))
NAMES = ("status", "export", "upgrade", "snapshot", "merge")

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of three completed jobs and one that failed, of two sources."""
    folder = tmp_path_factory.mktemp("template")
    with memory_workspace(folder):

        @fk.pipeline("letters", version="1")
        def letters(text: str) -> dict[str, object]:
            if text == "bad":
                raise ValueError("no")
            return {"length": len(text), "text": f"={text}"}

        fk.register_jobs(pd.DataFrame({"id": ["a", "bb", "bad"]}), "letters", name="some")
        fk.register_jobs(pd.DataFrame({"id": ["cccc"]}), "letters", name="more")
        fk.run_jobs("letters", executor="inline", progress=False)
        fk.register_jobs(pd.DataFrame({"id": ["later"]}), "file_info", name="more")
        copy = fk.snapshot(folder / "ledger.duckdb")
    del registered._registered["letters"]
    return copy


@pytest.fixture
def ledger(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That ledger, in a workspace that is the current folder."""
    monkeypatch.chdir(tmp_path)
    return put(template, tmp_path)


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Shell:
    """Do a command; return its exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            code = main([str(one) for one in arguments])
        except SystemExit as end:
            code = int(str(end.code))
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def ask(shell: Shell) -> Callable[..., Any]:
    """Do a command that must not fail, with ``--json``; return what it printed."""

    def run(*arguments: str | Path, code: int = 0) -> Any:
        returned, stdout, stderr = shell(*arguments, "--json")
        assert returned == code, stderr
        return json.loads(stdout)

    return run


def put(template: Path, folder: Path) -> Path:
    file = folder / "data" / "foregsyte.duckdb"
    file.parent.mkdir(parents=True)
    shutil.copyfile(template, file)
    return file


def restore(stored: Path, folder: Path) -> Path:
    file = folder / "data" / "foregsyte.duckdb"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.decompress(stored.read_bytes()))
    log = stored.with_name(stored.name.replace(".duckdb.gz", ".duckdb.wal.gz"))
    if log.exists():
        file.with_name(f"{file.name}.wal").write_bytes(gzip.decompress(log.read_bytes()))
    return file


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def is_one_line(text: str) -> bool:
    return text.startswith("foregsyte: error: ") and text.count("\n") == 1


# status


def test_status_counts_by_pipeline_source_and_status_and_changes_nothing(
    ledger: Path, tmp_path: Path, ask: Callable[..., Any]
) -> None:
    before = content(tmp_path)
    found = ask("status")
    assert content(tmp_path) == before
    none = {"pending": 0, "running": 0, "completed": 0, "failed": 0}
    assert found["ledger"] == str(ledger)
    assert found["bytes"] == ledger.stat().st_size
    assert found["revision"] == found["newest_revision"] == schema.head_revision()
    assert found["is_newest"] is True
    assert found["counts"] == {"pending": 1, "running": 0, "completed": 3, "failed": 1, "total": 5}
    assert found["jobs"] == [
        {"pipeline_id": "file_info", "source": "more", **none, "pending": 1, "total": 1},
        {"pipeline_id": "letters", "source": "more", **none, "completed": 1, "total": 1},
        {
            "pipeline_id": "letters",
            "source": "some",
            **none,
            "completed": 2,
            "failed": 1,
            "total": 3,
        },
    ]
    run = found["last_run"]
    assert (run["pipeline_id"], run["executor"], run["ended_by"]) == (
        "letters",
        "inline",
        "finished",
    )
    assert (run["completed"], run["failed"]) == (3, 1)
    assert pd.Timestamp(run["finished_at"]).utcoffset() == pd.Timedelta(0)


def test_status_tells_people_the_same_in_lines(ledger: Path, shell: Shell) -> None:
    code, stdout, stderr = shell("status")
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0].startswith(f"{ledger}, ")
    assert lines[1] == f"revision {schema.head_revision()} (the newest)"
    table = [line.split() for line in lines[4:9]]
    assert table == [
        ["pipeline", "source", "pending", "running", "completed", "failed", "total"],
        ["file_info", "more", "1", "0", "0", "0", "1"],
        ["letters", "more", "0", "0", "1", "0", "1"],
        ["letters", "some", "0", "0", "2", "1", "3"],
        ["all", "1", "0", "3", "1", "5"],
    ]
    assert "last run: letters, begun " in lines[-1]
    assert lines[-1].endswith("(finished): 3 completed, 1 failed")


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.name.split(".")[0])
def test_status_reads_every_revision_and_leaves_it_there(
    stored: Path, tmp_path: Path, ask: Callable[..., Any], shell: Shell
) -> None:
    restore(stored, tmp_path)
    before = content(tmp_path)
    found = ask("status", tmp_path)
    assert found["counts"] == {"pending": 2, "running": 1, "completed": 1, "failed": 1, "total": 5}
    assert found["revision"] == stored.name.split("_")[1].split(".")[0]
    assert found["is_newest"] is (stored == STORED[-1])
    _, said, _ = shell("status", tmp_path)
    assert ("upgrade" in said) is (stored != STORED[-1])
    assert "1 job that ran when the session ended" in said
    assert content(tmp_path) == before


def test_status_reads_what_a_dead_process_left_in_the_log_and_leaves_it_there(
    tmp_path: Path, ask: Callable[..., Any]
) -> None:
    restore(LEDGERS / "with_log.duckdb.gz", tmp_path)
    before = content(tmp_path)
    assert ask("status", tmp_path)["counts"]["completed"] == 3
    assert content(tmp_path) == before


def test_status_of_a_ledger_without_jobs_says_so(tmp_path: Path, shell: Shell) -> None:
    with memory_workspace(tmp_path):
        fk.snapshot(tmp_path / "empty.duckdb")
    code, stdout, _ = shell("status", tmp_path / "empty.duckdb")
    assert code == 0
    assert stdout.splitlines()[-1] == "no jobs yet"


@pytest.mark.parametrize("given", ["data/foregsyte.duckdb", "data", "."])
def test_path_is_a_file_or_a_folder(ledger: Path, ask: Callable[..., Any], given: str) -> None:
    assert ask("status", given)["ledger"] == str(ledger)


def test_names_that_a_terminal_would_obey_are_shown_escaped(tmp_path: Path, shell: Shell) -> None:
    with memory_workspace(tmp_path):
        with fk.SessionLocal() as session:
            session.add(fk.Job(pipeline_id="a\x1b[2J\nb", input_path="x"))
            session.commit()
        fk.snapshot(tmp_path / "odd.duckdb")
    code, stdout, _ = shell("status", tmp_path / "odd.duckdb")
    assert code == 0
    assert "\x1b" not in stdout
    assert r"'a\x1b[2J\nb'" in stdout


# What is no ledger


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("export", "--pipeline", "letters", "--to", "x.csv"),
        ("upgrade",),
        ("upgrade", "--check"),
        ("snapshot", "copy.duckdb"),
    ],
    ids=" ".join,
)
def test_where_no_ledger_is_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = shell(*command)
    assert (code, stdout) == (1, "")
    assert is_one_line(stderr)
    assert f"there is no ledger at {tmp_path}." in stderr
    assert not list(tmp_path.iterdir())


def test_misspelt_path_gets_the_nearest_ledger(ledger: Path, tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "data" / "forgsyte.duckdb~").write_text("no ledger")
    _, _, stderr = shell("status", "data/forgsyte.duckdb")
    assert f"Did you mean {str(ledger)!r}?" in stderr


def test_duckdb_file_that_is_no_ledger_is_refused_and_unchanged(
    tmp_path: Path, shell: Shell
) -> None:
    file = tmp_path / "other.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER)")
    before = content(tmp_path)
    for command in ("status", "upgrade"):
        code, _, stderr = shell(command, file)
        assert code == 1
        assert is_one_line(stderr)
        assert "other.duckdb is a DuckDB file, but no ledger of foregsyte_kaggle" in stderr
    assert content(tmp_path) == before


def test_failure_is_json_too(tmp_path: Path, ask: Callable[..., Any]) -> None:
    (tmp_path / "text.duckdb").write_text("no database at all")
    found = ask("status", tmp_path / "text.duckdb", code=1)
    assert found["error"] == "LedgerError"
    assert "is not a DuckDB file" in found["message"]


# export


def test_export_writes_what_export_results_does(
    ledger: Path, tmp_path: Path, ask: Callable[..., Any], shell: Shell
) -> None:
    before = ledger.read_bytes()
    found = ask("export", "--pipeline", "letters", "--to", "one.parquet")
    file = tmp_path / "one.parquet"
    assert found == {
        "ledger": str(ledger),
        "pipeline_id": "letters",
        "file": str(file),
        "rows": 3,
        "bytes": file.stat().st_size,
    }
    assert list(pd.read_parquet(file).length) == [1, 2, 4]
    code, stdout, _ = shell("export", ".", "--pipeline", "letters", "--to", "one.csv")
    assert code == 0
    assert stdout.startswith(f"3 rows of letters written to {tmp_path / 'one.csv'} (")
    assert list(pd.read_csv(tmp_path / "one.csv").text) == ["'=a", "'=bb", "'=cccc"]
    ask("export", "--pipeline", "letters", "--to", "one.csv", "--no-escape-formulas")
    assert list(pd.read_csv(tmp_path / "one.csv").text) == ["=a", "=bb", "=cccc"]
    assert ledger.read_bytes() == before
    fk.bootstrap()
    fk.export_results("letters", "two.csv", escape_formulas=False)
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()


@pytest.mark.parametrize(
    ("pipeline_id", "to", "expected"),
    [
        pytest.param("lettres", "x.csv", "Did you mean 'letters'?", id="pipeline"),
        pytest.param("letters", "x.xlsx", "ends in '.xlsx'; expected one of", id="suffix"),
        pytest.param("letters", "no/x.csv", "there is no folder", id="folder"),
    ],
)
def test_export_that_is_not_possible_says_why(
    ledger: Path, shell: Shell, pipeline_id: str, to: str, expected: str
) -> None:
    code, stdout, stderr = shell("export", "--pipeline", pipeline_id, "--to", to)
    assert (code, stdout) == (1, "")
    assert is_one_line(stderr)
    assert expected in stderr


def test_export_of_an_older_revision_says_to_upgrade(tmp_path: Path, shell: Shell) -> None:
    restore(STORED[0], tmp_path)
    code, _, stderr = shell(
        "export", tmp_path, "--pipeline", "file_info", "--to", tmp_path / "x.csv"
    )
    assert code == 1
    assert "run `python -m foregsyte_kaggle upgrade` on it first" in stderr


# upgrade


def test_upgrade_brings_a_ledger_to_the_newest_revision_and_moves_no_job(
    tmp_path: Path, ask: Callable[..., Any], shell: Shell
) -> None:
    file = restore(STORED[0], tmp_path)
    before = content(tmp_path)
    found = ask("upgrade", tmp_path, "--check", code=4)
    assert (found["revision"], found["is_newest"]) == ("5c1f7a0b3d21", False)
    assert content(tmp_path) == before
    found = ask("upgrade", tmp_path)
    assert found["revision_before"] == "5c1f7a0b3d21"
    assert found["revision"] == schema.head_revision()
    assert ask("status", found["copy"])["revision"] == "5c1f7a0b3d21"
    assert ask("status", file)["counts"]["running"] == 1
    after = content(tmp_path)
    assert shell("upgrade", tmp_path)[0] == shell("upgrade", tmp_path, "--check")[0] == 0
    assert content(tmp_path) == after


# snapshot


def test_snapshot_takes_the_log_along_and_leaves_both_as_they_are(
    tmp_path: Path, ask: Callable[..., Any]
) -> None:
    restore(LEDGERS / "with_log.duckdb.gz", tmp_path)
    before = content(tmp_path)
    found = ask("snapshot", tmp_path, tmp_path / "copies" / "one.duckdb")
    copy = tmp_path / "copies" / "one.duckdb"
    assert found["copy"] == str(copy)
    assert os.listdir(copy.parent) == [copy.name]
    assert copy.read_bytes()[12:20] == (64).to_bytes(8, "little"), "DuckDB 1.3 reads version 64"
    with duckdb.connect(str(copy), read_only=True) as connection:
        statuses = connection.execute("SELECT status, count(*) FROM jobs GROUP BY 1").fetchall()
    assert dict(statuses) == {"pending": 2, "running": 2, "completed": 3, "failed": 1}
    shutil.rmtree(copy.parent)
    assert content(tmp_path) == before


def test_snapshot_over_a_file_that_exists_is_refused(
    ledger: Path, tmp_path: Path, shell: Shell
) -> None:
    (tmp_path / "one.duckdb").write_text("precious")
    code, _, stderr = shell("snapshot", "one.duckdb")
    assert code == 1
    assert "one.duckdb exists already" in stderr
    assert (tmp_path / "one.duckdb").read_text() == "precious"


# merge


def test_merge_makes_a_workspace_of_several_and_again_changes_nothing(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    part = put(template, tmp_path / "part")
    old = restore(STORED[-2], tmp_path / "old")
    before = part.read_bytes(), old.read_bytes()
    found = ask("merge", "whole", "part", old)
    assert (found["added"], found["replaced"]) == (10, 0)
    assert found["ledger"] == str(tmp_path / "whole" / "data" / "foregsyte.duckdb")
    assert found["counts"]["total"] == ask("status", "whole")["counts"]["total"] == 10
    assert found["differences"] == []
    assert ask("merge", "whole/data/foregsyte.duckdb", "part", "old")["added"] == 0
    assert (part.read_bytes(), old.read_bytes()) == before


def test_merge_tells_what_differs(
    template: Path, tmp_path: Path, ask: Callable[..., Any], shell: Shell
) -> None:
    put(template, tmp_path / "one")
    with duckdb.connect(str(put(template, tmp_path / "two"))) as connection:
        connection.execute("UPDATE results.letters SET length = 7 WHERE length = 4")
        connection.execute("UPDATE job_attempts SET attempt_id = uuid()")  # tries of its own
    code, stdout, _ = shell("merge", tmp_path / "whole", tmp_path / "one", tmp_path / "two")
    assert code == 0
    assert "has 5 jobs: 1 pending, 3 completed, 1 failed" in stdout
    assert "differs: letters of cccc: results " in stdout
    (difference,) = ask("merge", tmp_path / "one", tmp_path / "two")["differences"]
    assert (difference["what"], difference["input_path"]) == ("results", "cccc")


@pytest.mark.parametrize(
    ("to", "ledger_given", "expected"),
    [
        pytest.param("whole", "nowhere", "there is no ledger 'nowhere'", id="no ledger"),
        pytest.param("whole", "text.duckdb", "is not a DuckDB file", id="no database"),
        pytest.param("whole.duckdb", "data", "'whole.duckdb' is no workspace; expected", id="file"),
    ],
)
def test_merge_that_is_not_possible_makes_no_workspace(
    ledger: Path, tmp_path: Path, shell: Shell, to: str, ledger_given: str, expected: str
) -> None:
    (tmp_path / "text.duckdb").write_text("no database at all")
    code, stdout, stderr = shell("merge", to, ledger_given)
    assert (code, stdout) == (1, "")
    assert is_one_line(stderr)
    assert expected in stderr
    assert not (tmp_path / to).exists()


# Arguments


def test_help_tells_of_the_commands_and_exit_codes(shell: Shell) -> None:
    code, stdout, _ = shell("--help")
    assert code == 0
    assert all(f"    {name} " in stdout for name in NAMES)
    assert "\nexit codes:\n  0    done\n" in stdout
    assert set(commands.COMMANDS) == set(NAMES)


def test_version_is_that_of_the_package(shell: Shell) -> None:
    assert shell("--version") == (0, f"foregsyte_kaggle {fk.__version__}\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_has_an_example_that_is_understood(name: str, shell: Shell) -> None:
    code, stdout, _ = shell(name, "--help")
    assert code == 0
    example = stdout.partition("example:\n")[2].splitlines()[0].strip()
    program, _, arguments = example.partition(f" {name} ")
    assert program == "python -m foregsyte_kaggle"
    from foregsyte_kaggle.shell.arguments import parse

    assert parse([name, *arguments.split()]).command == name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["stauts"], "no command 'stauts'. Did you mean 'status'?", id="command"),
        pytest.param(
            ["status", "--jsn"],
            "no option '--jsn'. Did you mean '--json', the only one?",
            id="option",
        ),
        pytest.param(
            ["--json", "status", "."], "--json goes after the command: status --json", id="order"
        ),
        pytest.param(["status", "a", "b"], "there is no place for 'b'", id="too many"),
        pytest.param(["export", "."], "required: --pipeline, --to", id="too few"),
        pytest.param([], "a command is missing.", id="none"),
    ],
)
def test_arguments_that_are_not_understood_are_refused_with_the_nearest(
    shell: Shell, arguments: list[str], expected: str
) -> None:
    code, stdout, stderr = shell(*arguments)
    assert (code, stdout) == (2, "")
    assert expected in stderr


def test_interrupt_ends_without_a_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> commands.Answer:
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.COMMANDS, "status", interrupted)
    assert shell("status") == (130, "", "foregsyte: interrupted\n")
