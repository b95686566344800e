"""Readers of every kind beside a run that writes, changes columns and checkpoints: no conflict, no hang."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration

# In a process of its own: what hangs in DuckDB's code can be neither interrupted nor told from a slow
# test by anything inside. The watchdog prints the stack of every thread and ends the process.
SCENARIO = """
import faulthandler, glob, sys, threading, time, traceback
faulthandler.dump_traceback_later(60, exit=True)

import duckdb
import pandas as pd
import foregsyte_kaggle as fk
from foregsyte_kaggle import database
from foregsyte_kaggle.results import storing

JOBS, OPEN_SESSION = 4_000, sys.argv[1] == "session"
database.LOG_BYTES = 1  # a checkpoint after each commit
checkpoints, changes, failures = [], [], []

def counting(method, into):
    def wrapper(*args, **kwargs):
        done = method(*args, **kwargs)
        into.append(done)
        return done
    return wrapper

database.Database.checkpoint = counting(database.Database.checkpoint, checkpoints)
alter = storing._Growing.change
def change(self, key):
    found = alter(self, key)
    if found[0] is not None and self._existing:
        changes.append(found[0])
    return found
storing._Growing.change = change

@fk.pipeline("p")
def widens(text, number):
    time.sleep(0.001)  # so that many groups are recorded while the others read
    value = number if number < 1_000 else number + 0.5 if number < 2_500 else [number]
    return {"number": number, "value": value, f"column_{number // 500}": text}

workspace = fk.bootstrap()
fk.register_jobs(pd.DataFrame({"id": [f"input {n}" for n in range(JOBS)], "number": range(JOBS)}),
                 "p", name="ids")
over = threading.Event()

def guarded(step, until=over.is_set):
    done = 0
    try:
        while not until():
            step(done)
            done += 1
    except BaseException:
        failures.append(traceback.format_exc())

def write(_):
    try:
        run = fk.run_jobs("p", executor="threads", workers=2, progress=False)
        assert run.completed == JOBS, run
    finally:
        over.set()

def look(done):
    frame = fk.results_frame("p")
    counts = fk.summary_frame().loc["p"]
    assert counts.total == JOBS, counts
    assert len(frame) <= counts.completed, (len(frame), counts)  # asked later
    assert frame.job_id.is_unique
    assert len(fk.jobs_frame()) == JOBS

def ask(done):
    rows, completed = fk.sql(
        "SELECT (SELECT count(*) FROM job_attempts), count(*) FROM jobs WHERE status = 'completed'"
    ).iloc[0]
    assert rows == completed, (rows, completed)
    if done % 10 == 0:
        fk.snapshot(f"copy-{done}.duckdb")
        fk.attempts_frame(limit=10)

session = fk.SessionLocal()
if OPEN_SESSION:
    left = session.connection().exec_driver_sql("SELECT * FROM jobs")
    left.fetchone()

table = fk.job_table()
threads = [threading.Thread(target=guarded, args=(step,)) for step in (look, ask)]
threads.append(threading.Thread(target=guarded, args=(write,)))
for thread in threads:
    thread.start()
guarded(lambda _: (table.refresh(), table.to_text()))
for thread in threads:
    thread.join()
session.close()

assert not failures, "".join(failures)
frame = fk.results_frame("p")
assert sorted(frame.number) == list(range(JOBS))
assert fk.summary_frame().loc["p"].completed == JOBS
assert [f"column_{n}" in frame for n in range(8)] == [True] * 8
assert workspace.database.checkpoint()
for copy in glob.glob("copy-*.duckdb"):  # each is one state of the run
    with duckdb.connect(copy, read_only=True) as look_in:
        rows, completed = look_in.execute(
            "SELECT (SELECT count(*) FROM job_attempts), count(*) FROM jobs WHERE status = 'completed'"
        ).fetchone()
        assert rows == completed, (copy, rows, completed)
        if completed:
            assert look_in.execute("SELECT count(*) FROM results.p").fetchone() == (completed,), copy
print(checkpoints.count(True), len(changes))
"""


@pytest.mark.parametrize("session", ["session", pytest.param("none", marks=pytest.mark.slow)])
def test_readers_beside_a_run_meet_no_conflict_and_no_hang(
    run_python: Callable[..., subprocess.CompletedProcess[str]], session: str
) -> None:
    done = run_python(SCENARIO, session)
    checkpoints, changes = map(int, done.stdout.split()[-2:])
    assert changes >= 8, "the run did not widen its columns: the test shows nothing"
    assert checkpoints >= (1 if session == "session" else 10), "nothing was checkpointed meanwhile"
