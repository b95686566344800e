"""The process that holds the ledger is ended at random moments; plain DuckDB then looks at what is left.

``FOREGSYTE_KILLS`` says how often for each kind of run; ``make test-all`` sets hundreds in all.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.mounts import require_mount, small_disk

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("begun"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups"),
]

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("FOREGSYTE_KILLS", "4"))
LEDGER = "data/foregsyte.duckdb"
PIPELINES = ("p", "batched", "widening")

# What a notebook's process does: bootstrap, register more, run. It notes, durably, each job whose end was
# acknowledged: after the commit that the recorder made. One that it is about to put back is noted as pending.
SESSION = """
import os, signal, sys, time
import pandas as pd
import foregsyte_kaggle as fk
from foregsyte_kaggle import loop

# As a kernel does, whatever was inherited: a shell starts what runs in the background deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)

executor, kind, first, many = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
record = loop.record_group

def note(jobs):
    with open("acknowledged.txt", "a") as side:
        side.write("\\n")  # the process before may have ended in the middle of a line
        side.writelines(f"{job_id} {status}\\n" for job_id, status in jobs)
        side.flush()
        os.fsync(side.fileno())

def record_and_note(*args):
    written = record(*args)
    note((e.job_id, e.outcome.outcome) for e in written if e.final)
    return written

loop.record_group = record_and_note

def begin():
    print("up", flush=True)
    fk.bootstrap()
    running = fk.sql("SELECT count(*) AS n FROM jobs WHERE status = 'running'").n[0]
    print("running:", running, flush=True)
    return pd.DataFrame({"id": [f"n{n}" for n in range(first, first + many)]})

def run(**options):
    print("at work", flush=True)
    fk.run_jobs(executor=executor, workers=2, progress=False, **options).wait()
    print("over", flush=True)
"""
SIMPLE = """
@fk.pipeline("p")
def p(name):
    if kind == "long":
        time.sleep(0.03)
    if name.endswith("9"):
        raise ValueError(name)
    return [{"name": name, "text": name * 10}] * 2

fk.register_jobs(begin(), "p", name="ids")
run()
"""
# Each session's column becomes wider twice, and a tenth of what was completed is replaced.
RICH = """
def rows(name, job):
    n = int(name[1:])
    value = (n, n + 0.5, name)[n % many * 3 // many]
    return [{"name": name, "attempt": job.attempt, f"session_{n // many}": value}] * 2

@fk.pipeline("batched", batch_size=4)
def batched(names, job):
    if any(name.endswith("9") for name in names):
        raise ValueError(names)
    return [rows(name, one) for name, one in zip(names, job)]

@fk.pipeline("widening")
def widening(name, job):
    job.output_path("name.txt").write_text(name)
    job.progress(0.5)
    if job.attempt == 1:
        raise ValueError(name)
    return rows(name, job)

ids = begin()
again = fk.jobs_frame(status="completed").job_id.astype(str).sample(frac=0.1)
note((job_id, "pending") for job_id in again)
fk.retry_jobs(status="completed", job_ids=list(again))
fk.register_jobs(ids, "batched", name="ids")
fk.register_jobs(ids, "widening", name="ids")
run(max_attempts=2, background=first // many % 2 == 1)
"""


class Sessions:
    """One ledger, and the processes that work on it one after the other."""

    def __init__(self, executor: str, kind: str) -> None:
        self.executor = executor
        self.kind = kind
        self.many = {"tiny": 30_000 if KILLS > 1 else 10_000, "long": 100, "rich": 150}[kind]
        self.started = 0
        self.finished = 0
        self.process: subprocess.Popen[str] | None = None
        self.said = ""
        Path("session.py").write_text(SESSION + (RICH if kind == "rich" else SIMPLE))
        Path("acknowledged.txt").touch()

    def start(self, until: str = "up") -> None:
        """Start the next process and wait until it says that it is so far."""
        command = [sys.executable, "session.py", self.executor, self.kind]
        self.process = subprocess.Popen(
            [*command, str(self.started * self.many), str(self.many)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started += 1
        assert self.process.stdout is not None
        self.said = ""
        while not self.said.endswith(f"{until}\n"):
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line

    def end(self, how: signal.Signals | None, after: float) -> str:
        """End the process after some seconds, or let it finish; return what it printed."""
        assert self.process is not None
        try:
            if how is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=after)
                if how is signal.SIGINT:
                    with contextlib.suppress(ProcessLookupError):  # it was over before
                        os.killpg(self.process.pid, how)  # as the notebook's Stop does
                else:
                    self.process.send_signal(how)
            # What the killed ones left takes long where there were many, on a busy machine.
            out = self.said + self.process.communicate(timeout=60 + 20 * KILLS)[0]
        finally:
            self.process.kill()
            self.process.communicate()
        self.finished += "over\n" in out
        return out


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def notes() -> list[tuple[str, str]]:
    """Return the ids with their statuses as they were noted; of a line that was cut off, nothing."""
    text = Path("acknowledged.txt").read_text()
    return re.findall(r"^([0-9a-f-]{36}) (completed|failed|pending)$", text, re.MULTILINE)


def check_rows(
    connection: duckdb.DuckDBPyConnection, pipeline_id: str, retried: set[str], context: str
) -> None:
    """Check that each completed job has its two rows, of its last attempt, and no other job any."""

    def all_rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    if not all_rows(f"SELECT 1 FROM duckdb_tables() WHERE table_name = '{pipeline_id}'"):
        done = f"SELECT 1 FROM jobs WHERE status = 'completed' AND pipeline_id = '{pipeline_id}'"
        assert not all_rows(done), context
        return
    wrong = all_rows(
        "SELECT job_id::VARCHAR, status::VARCHAR, rows FROM jobs FULL JOIN"
        f" (SELECT job_id, count(*) AS rows FROM results.{pipeline_id} GROUP BY ALL)"
        f" USING (job_id) WHERE coalesce(pipeline_id, '{pipeline_id}') = '{pipeline_id}'"
        " AND coalesce(rows, 0) <> CASE WHEN status = 'completed' THEN 2 ELSE 0 END"
    )
    # Those of a job that was put back stay, hidden, until they are replaced.
    wrong = [one for one in wrong if one[1] == "completed" or one[0] not in retried or one[2] != 2]
    assert not wrong, f"{context}: {pipeline_id}: {wrong[:5]}"
    if pipeline_id != "p":  # whose rows do not tell
        assert not all_rows(
            f"SELECT 1 FROM jobs JOIN results.{pipeline_id} AS made USING (job_id)"
            " WHERE status = 'completed' AND made.attempt <> attempts"
        ), context


def check(context: str) -> tuple[int, int]:
    """Check the ledger by a plain reopen; return how many jobs were acknowledged and are recorded."""
    if not Path(LEDGER).exists():
        return 0, 0
    # A job that is noted as pending may be completed again, or not be put back yet.
    retried = {job_id for job_id, status in notes() if status == "pending"}
    noted = {job_id: status for job_id, status in dict(notes()).items() if status != "pending"}
    with duckdb.connect(LEDGER) as connection:

        def all_rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        tables = {name for (name,) in all_rows("SELECT table_name FROM duckdb_tables()")}
        if not {"jobs", "job_attempts"} <= tables:
            assert not noted, context
            return 0, 0
        statuses = dict(all_rows("SELECT job_id::VARCHAR, status::VARCHAR FROM jobs"))
        lost = [job_id for job_id, outcome in noted.items() if statuses.get(job_id) != outcome]
        assert not lost, f"{context}: acknowledged and lost: {lost[:5]}"
        done = sum(status == "completed" for status in statuses.values())
        for pipeline_id in PIPELINES:
            check_rows(connection, pipeline_id, retried, context)
        for path, name in all_rows(
            "SELECT output_path, input_path FROM jobs"
            " WHERE status = 'completed' AND pipeline_id = 'widening'"
        ):
            assert path is not None, context
            assert Path(path).read_text() == name, f"{context}: {path}"
        tries = all_rows("SELECT count(*), count(DISTINCT (job_id, attempt)) FROM job_attempts")
        assert tries[0][0] == tries[0][1], context
        assert not all_rows(
            "SELECT job_id FROM jobs WHERE status IN ('completed', 'failed')"
            " AND job_id NOT IN (SELECT job_id FROM job_attempts)"
        ), context
        return len(noted), done


HOW = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: Where one kill of each has to do, threads are ended by the hardest alone.
ENDS = [(executor, how) for executor in ("processes", "threads") for how in HOW]
ENDS = [one for one in ENDS if KILLS > 1 or one[0] == "processes" or one[1] is signal.SIGKILL]


@pytest.mark.timeout(120 + 60 * KILLS)
@pytest.mark.parametrize(
    ("executor", "how"), ENDS, ids=lambda one: getattr(one, "name", None) or one
)
@pytest.mark.parametrize("kind", ["tiny", "long", "rich"])
def test_nothing_acknowledged_is_lost_and_nothing_doubled_whenever_the_process_ends(
    folder: Path,
    executor: str,
    kind: str,
    how: signal.Signals,
    record_property: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    sessions = Sessions(executor, kind)
    kills = KILLS if how is signal.SIGKILL else max(1, KILLS // 3)
    for number in range(kills):
        sessions.start(moments.choice(["up", "at work"]))
        # About the time that the work takes here, so that most are hit at work.
        after = moments.uniform(0, 1.5)
        out = sessions.end(how, after)
        context = f"seed {seed}, {how.name} {number + 1} after {after:.3f} s: {out[-2000:]}"
        assert "running: 0" in out or "running:" not in out, context
        check(context)
    sessions.start()
    out = sessions.end(None, 0)
    assert "running: 0\n" in out, out
    assert "over\n" in out, out
    noted, done = check(f"seed {seed}, at the end: {out[-2000:]}")
    with duckdb.connect(LEDGER) as connection:
        left = connection.execute(
            "SELECT count(*) FROM jobs WHERE status NOT IN ('completed', 'failed')"
        ).fetchall()
        twice = connection.execute(
            "SELECT count(*) FROM jobs WHERE error_type = 'Interrupted'"
        ).fetchall()[0][0]
    assert left == [(0,)]
    assert twice <= kills
    if how is signal.SIGINT:
        assert twice == 0
    with capsys.disabled():
        print(
            f"\n  {executor}, {kind}: {kills} x {how.name}, {sessions.finished - 1} came too late; "
            f"{noted:,} jobs acknowledged, 0 lost; {done:,} completed, 0 doubled; {twice} failed as the "
            f"one that ran at two ends; DuckDB {duckdb.__version__}",
            end="",
        )


CRASHES = """
import os, signal, sys
import foregsyte_kaggle as fk

kernel = os.getpid()

@fk.pipeline("p")
def p(path):
    if path.stem == "3":
        os.kill(kernel, signal.SIGKILL)
    return {"name": path.name}

fk.bootstrap()
fk.register_jobs("inputs", "p")
fk.run_jobs("p", executor=sys.argv[1], workers=2, progress=False)
"""


@pytest.mark.parametrize(
    ("executor", "many", "crashes"),
    [
        ("processes", 8, 2),
        ("threads", 8, 2),
        ("inline", 8, 2),
        # Among tiny ones, of which many are underway at a crash.
        ("processes", 3000, 3),
        ("threads", 3000, 3),
    ],
)
def test_job_that_kills_the_kernel_fails_at_the_crash_where_it_is_alone_and_all_others_are_done(
    folder: Path, executor: str, many: int, crashes: int
) -> None:
    Path("inputs").mkdir()
    for number in range(many):
        Path("inputs", str(number)).touch()
    Path("crashes.py").write_text(CRASHES)

    def run_session() -> int:
        return subprocess.run(
            [sys.executable, "crashes.py", executor],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=100,
            check=False,
        ).returncode

    codes = [run_session() for _ in range(crashes + 1)]
    assert codes == [*[-signal.SIGKILL] * crashes, 0]
    with duckdb.connect(LEDGER) as connection:
        assert connection.execute(
            "SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL ORDER BY 1 DESC"
        ).fetchall() == [("failed", 1), ("completed", many - 1)]
        ((path, kind, message),) = connection.execute(
            "SELECT input_path, error_type, error_message FROM jobs WHERE status = 'failed'"
        ).fetchall()
    assert (path, kind) == ("3", "Interrupted")
    assert "ended twice while this job ran" in message


# A full disk

FILLS = """
import os, resource, sys
from pathlib import Path
import foregsyte_kaggle as fk

way, room, executor = sys.argv[1], int(sys.argv[2]), sys.argv[3]

@fk.pipeline("p")
def p(name, size):
    return {"name": name, "blob": os.urandom(size)}

fk.bootstrap("workspace")
import pandas as pd
fk.register_jobs(pd.DataFrame({"id": [str(n) for n in range(400)]}), "p", name="ids", params={"size": 100_000})
if way == "file size":
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
try:
    fk.run_jobs("p", executor=executor, workers=2, progress=False)
except fk.LedgerError as error:
    print("error:", error)
else:
    print("no error")
print("readable:", len(fk.jobs_frame()), len(fk.results_frame("p")), flush=True)
if way == "file size":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
else:
    Path("workspace/ballast").unlink()
run = fk.run_jobs("p", executor=executor, workers=2, progress=False)
print("then:", run, flush=True)
"""


@pytest.fixture
def room_left(folder: Path) -> Iterator[int]:
    """A disk of 128 MiB, 112 of them taken, under ``workspace``."""
    Path("workspace").mkdir()
    require_mount()
    with small_disk(Path("workspace"), megabytes=128):
        with Path("workspace/ballast").open("wb") as ballast:
            ballast.write(bytes(112 * 2**20))
        yield 0


def check_full(way: str, room: int, executor: str) -> None:
    Path("fills.py").write_text(FILLS)
    done = subprocess.run(
        [sys.executable, "fills.py", way, str(room), executor],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    out = done.stdout
    assert done.returncode == 0, out + done.stderr
    (error,) = [line for line in out.splitlines() if line.startswith(("error:", "no error"))]
    assert error.startswith("error: "), out
    assert "disk" in error or "room" in error or "space" in error, error
    (readable,) = [line.split() for line in out.splitlines() if line.startswith("readable:")]
    assert int(readable[1]) == 400
    completed = int(readable[2])
    assert completed < 400
    assert f"then: <Run p: {400 - completed} completed, 0 failed, finished>" in out
    with duckdb.connect(f"workspace/{LEDGER}") as connection:
        assert connection.execute("SELECT DISTINCT status::VARCHAR FROM jobs").fetchall() == [
            ("completed",)
        ]
        assert connection.execute(
            "SELECT count(*), count(DISTINCT job_id), min(octet_length(blob)) FROM results.p"
        ).fetchall() == [(400, 400, 100_000)]


def test_full_disk_is_a_clear_error_and_the_run_goes_on_after_room_is_made(room_left: int) -> None:
    check_full("disk", room_left, "threads")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_file_that_may_not_grow_is_a_clear_error_too(executor: str) -> None:
    Path("workspace").mkdir()
    check_full("file size", 12 * 2**20, executor)
