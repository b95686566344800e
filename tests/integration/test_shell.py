"""The command as a shell starts it: exit codes, a ledger that is held, and what reads along."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import foregsyte_kaggle as fk

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
STARTED = [sys.executable, "-m", "foregsyte_kaggle"]

# Python starts with the signal's default action where the test runner was started to ignore it.
INTERRUPTED = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from foregsyte_kaggle import shell
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.shell import commands

def interrupted(options):
    if sys.argv[1] == "python":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    with Database(None).reading() as cursor:
        cursor.execute("SET threads = 1")  # DuckDB 1.3 looks for the signal where this thread works on the query
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        cursor.execute("SELECT sum(a.range * b.range % 7) FROM range(1000000) a, range(1000000) b").fetchall()

commands.COMMANDS["status"] = interrupted
sys.exit(shell.main(["status"]))
"""


def start(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STARTED, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def worked(workspace: fk.Workspace) -> fk.Workspace:
    """An open workspace with two completed jobs."""

    @fk.pipeline("letters")
    def letters(text: str) -> dict[str, object]:
        return {"text": text, "length": len(text)}

    fk.register_jobs(pd.DataFrame({"id": ["a", "bb"]}), "letters", name="ids")
    fk.run_jobs("letters", executor="inline", progress=False)
    return workspace


def test_ledger_that_a_notebook_holds_is_told_by_the_exit_code_and_its_snapshot_is_read(
    worked: fk.Workspace,
) -> None:
    held = start("status")
    assert (held.returncode, held.stdout) == (3, "")
    assert held.stderr.count("\n") == 1
    assert f"is locked by process {os.getpid()}" in held.stderr
    assert "call snapshot(path) in the process that holds it" in held.stderr
    fk.snapshot("copy.duckdb")
    done = start("export", "copy.duckdb", "--pipeline", "letters", "--to", "letters.parquet")
    assert done.returncode == 0, done.stderr
    assert pd.read_parquet("letters.parquet").length.tolist() == [1, 2]
    assert fk.run_jobs("letters", executor="inline", progress=False).total == 0


def test_stdout_that_nobody_reads_ends_it_without_a_traceback(worked: fk.Workspace) -> None:
    worked.close()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = start("status", stdout=writing)
        assert (ended.returncode, ended.stderr) == (141, "")
        # Where Python does not buffer (PYTHONUNBUFFERED), argparse passes over that by itself.
        ended = start("--help", stdout=writing)
        assert ended.returncode in (0, 141)
        assert ended.stderr == ""
    finally:
        os.close(writing)


@pytest.mark.parametrize("within", ["python", "a long query"])
def test_interrupt_of_the_process_ends_it_without_a_traceback(
    run_python: Callable[..., subprocess.CompletedProcess[str]], within: str
) -> None:
    ended = run_python(INTERRUPTED, within, status=130)
    assert (ended.stdout, ended.stderr) == ("", "foregsyte: interrupted\n")


def test_polars_reads_a_snapshot_and_an_export(worked: fk.Workspace, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is no dependency")
    fk.export_results("letters", "letters.parquet")
    assert polars.read_parquet("letters.parquet")["length"].to_list() == [1, 2]
    with duckdb.connect(str(fk.snapshot("copy.duckdb")), read_only=True) as connection:
        frame = connection.sql("SELECT * FROM jobs ORDER BY position").pl()
    assert frame["status"].to_list() == ["completed"] * 2
