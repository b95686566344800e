"""A forked child must not take the parent's rows with it.

When a child closes or garbage-collects a connection that it inherited, DuckDB deletes the parent's
write-ahead log. That shows only when the log was not checkpointed and the parent then dies, so that is
what the parent does here.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]

PARENT = """
import gc, multiprocessing, os, signal, sys, warnings

warnings.simplefilter("ignore")  # that a process with threads forks
import foregsyte_kaggle as fk
from foregsyte_kaggle import database
from foregsyte_kaggle.models import Job

hook, *children = sys.argv[1:]
if hook == "unhooked":
    database._keep_alive_in_child.__code__ = (lambda: None).__code__
workspace = fk.bootstrap()


def add(name):
    with fk.SessionLocal() as session:
        session.add_all(Job(pipeline_id="p", input_path=f"{name}{n}") for n in range(50))
        session.commit()


def forget_all():
    global workspace
    workspace.engine.dispose()
    sys.modules["foregsyte_kaggle.workspace"].open_workspaces.clear()
    sys.modules["foregsyte_kaggle.workspace"].activate(None)
    database._registry.clear()
    workspace = None
    gc.collect()


def fork(child_does):
    process = os.fork()
    if process == 0:
        if child_does == "exit":
            sys.exit()
        elif child_does == "close":
            workspace.close()
        elif child_does == "collect_garbage":
            forget_all()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def use_multiprocessing():
    child = multiprocessing.get_context("fork").Process(target=gc.collect)
    child.start()
    child.join()
    return child.exitcode


add("before")
for child in children:
    status = use_multiprocessing() if child == "multiprocessing" else fork(child)
    print(child, "ended with", status, flush=True)
    add(child)
os.kill(os.getpid(), signal.SIGKILL)
"""


def rows_on_disk(folder: Path) -> int:
    with duckdb.connect(str(folder / "data" / "foregsyte.duckdb")) as connection:
        return connection.execute("SELECT count(*) FROM jobs").fetchall()[0][0]


def test_forked_children_that_end_cost_the_parent_no_row(run_python: Run, tmp_path: Path) -> None:
    children = ["exit", "close", "collect_garbage", "multiprocessing"]
    done = run_python(PARENT, "hooked", *children, status=-signal.SIGKILL)
    ends = [line for line in done.stdout.splitlines() if " ended with " in line]
    assert ends == [f"{child} ended with 0" for child in children]
    assert (tmp_path / "data" / "foregsyte.duckdb.wal").exists(), "it proves nothing without a log"
    assert rows_on_disk(tmp_path) == 250


def test_without_the_hook_rows_are_lost_or_the_child_crashes(
    run_python: Run, tmp_path: Path
) -> None:
    done = run_python(PARENT, "unhooked", "exit", status=-signal.SIGKILL)
    crashed = "exit ended with 0\n" not in done.stdout
    assert crashed or rows_on_disk(tmp_path) < 100, (
        "this DuckDB does no harm when a forked child ends: the test above proves nothing any more, and "
        "database._keep_alive_in_child may go once every supported version is like that"
    )


CHILD_THAT_USES_IT = """
import os, sys, threading, warnings

warnings.simplefilter("ignore")
import foregsyte_kaggle as fk
from foregsyte_kaggle.models import Job
from sqlalchemy import text

workspace = fk.bootstrap()
session = fk.SessionLocal()
session.execute(text("SELECT 1")).all()
writing, go_on = threading.Event(), threading.Event()


def write():
    with workspace.database.transaction():  # holds the lock while the child is made
        writing.set()
        go_on.wait()


writer = threading.Thread(target=write)
writer.start()
writing.wait()


def write_rows():
    with workspace.database.transaction() as connection:
        connection.execute("DELETE FROM jobs")


ways = {
    "transaction": write_rows,
    "checkpoint": workspace.database.checkpoint,
    "jobs_frame": fk.jobs_frame,
    "sql": lambda: fk.sql("SELECT 1"),
    "retry_jobs": fk.retry_jobs,
    "snapshot": lambda: fk.snapshot("copy.duckdb"),
    "session": lambda: fk.SessionLocal().execute(text("SELECT 1")),
    "engine": workspace.engine.connect,
    "bootstrap": fk.bootstrap,
}
process = os.fork()
if process == 0:
    for name, use in ways.items():
        try:
            use()
        except Exception as error:
            print(name, type(error).__name__, error, flush=True)
        else:
            print(name, "WENT THROUGH", flush=True)
    workspace.database.close()
    os._exit(0)
os.waitpid(process, 0)
go_on.set()
writer.join()
session.close()
workspace.close()
print("parent", os.getpid())
"""


def test_a_forked_child_that_uses_the_ledger_is_told_why_it_may_not(run_python: Run) -> None:
    done = run_python(CHILD_THAT_USES_IT)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("foregsyte:")]
    *told, last = lines
    parent = last.removeprefix("parent ")
    assert len(told) == 9
    for line in told:
        name, _, rest = line.partition(" ")
        assert rest.startswith("LedgerError the ledger "), line
        assert f"belongs to process {parent}" in rest, name
        assert "forked" in rest, name


def test_a_forked_child_may_open_a_ledger_of_its_own(run_python: Run, tmp_path: Path) -> None:
    run_python(
        """
import os, sys, warnings
warnings.simplefilter("ignore")
import foregsyte_kaggle as fk
fk.bootstrap("parents")
process = os.fork()
if process == 0:
    fk.bootstrap("childs")
    fk.SessionLocal().close()
    sys.exit()
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
"""
    )
    assert (tmp_path / "childs" / "data" / "foregsyte.duckdb").exists()
