"""One contract over all the places where pipelines run."""

# ruff: noqa: ARG002 - a pipeline takes a path, also where it does not look at it

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import alembic.command
import pandas as pd
import pytest
from sqlalchemy import delete

import foregsyte_kaggle as fk
from foregsyte_kaggle import ledger, schema
from foregsyte_kaggle.errors import (
    InvalidArgumentError,
    LedgerError,
    PipelineError,
    RunError,
    SourceError,
)
from foregsyte_kaggle.models import Job, JobStatus
from foregsyte_kaggle.worker import JobContext
from foregsyte_kaggle.workspace import Workspace, active_workspace

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
EXECUTORS = (
    "processes",
    "threads",
    # These differ by their Python and not by what is installed.
    pytest.param("inline", marks=pytest.mark.slow),
    pytest.param("ThreadPoolExecutor", marks=pytest.mark.slow),
    pytest.param("ProcessPoolExecutor", marks=pytest.mark.slow),
)
IN_OTHER_PROCESSES = ("processes", "ProcessPoolExecutor")


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[str | Executor]:
    if request.param == "ThreadPoolExecutor":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    elif request.param == "ProcessPoolExecutor":
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            yield pool
    else:
        yield request.param


@pytest.fixture
def run(workspace: Workspace, executor: str | Executor) -> Callable[..., fk.Run]:
    def run_quietly(pipeline_id: str | None = "p", **options: Any) -> fk.Run:
        options = {"executor": executor, "workers": 2, "progress": False, **options}
        return fk.run_jobs(pipeline_id, **options)

    return run_quietly


def make_inputs(count: int = 6, folder: str = "inputs") -> Path:
    made = Path(folder)
    made.mkdir(exist_ok=True)
    for number in range(count):
        (made / f"{number}.txt").write_text("x" * number)
    return made


def query(text: str) -> list[tuple[Any, ...]]:
    return list(fk.sql(text).itertuples(index=False, name=None))


def statuses() -> dict[str, int]:
    return dict(query("SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL"))


def test_results_attempts_and_jobs_tell_the_same(run: Callable[..., fk.Run]) -> None:
    @fk.pipeline("p", version="v7")
    def read(path: Path, factor: int = 1) -> dict[str, Any]:
        print("reading", path.name)
        return {"name": path.name, "size": len(path.read_text()) * factor}

    fk.register_jobs(make_inputs(), "p", params={"factor": 10})
    made = run()
    assert (made.completed, made.failed, made.returned, made.ended_by) == (6, 0, 0, "finished")
    assert statuses() == {"completed": 6}
    results = fk.results_frame("p").sort_values("name")
    assert results["size"].to_list() == [0, 10, 20, 30, 40, 50]
    assert (results.input_path == results.name).all() or results.input_path.str.endswith(
        ".txt"
    ).all()
    attempts = fk.attempts_frame()
    assert set(attempts.outcome) == {"completed"}
    assert attempts.job_id.is_unique
    assert attempts.result_rows.to_list() == [1] * 6
    assert sorted(attempts.output) == [f"reading {number}.txt\n" for number in range(6)]
    assert set(attempts.code_version) == {"v7"}
    assert attempts.worker.notna().all()
    assert (attempts.duration_seconds >= 0).all()
    assert (attempts.finished_at >= attempts.started_at).all()
    now = pd.Timestamp.now(tz="UTC")
    assert ((now - attempts.started_at) < pd.Timedelta(minutes=10)).all()
    assert (attempts.started_at <= now).all()


def downgraded_to_base() -> None:
    alembic.command.downgrade(schema.alembic_config(), "base")
    active_workspace(None).close()  # DuckDB 1.3.2 makes no tables anew that this process read
    fk.register_jobs("inputs", "p", workspace=fk.bootstrap())


def downgraded_to_the_first_revision() -> None:
    alembic.command.downgrade(schema.alembic_config(), "5c1f7a0b3d21")
    fk.retry_jobs(status="completed", workspace=fk.bootstrap())


def deleted() -> None:
    with fk.SessionLocal() as session:
        session.execute(delete(Job))
        session.commit()
    fk.register_jobs("inputs", "p")


@pytest.mark.parametrize(
    "come_back", [downgraded_to_base, downgraded_to_the_first_revision, deleted]
)
def test_job_that_went_and_came_back_has_the_results_of_its_new_try_only(
    workspace: Workspace, come_back: Callable[[], None]
) -> None:
    fk.pipeline("p")(lambda path: [{"name": path.name}] * 2)
    fk.register_jobs(make_inputs(3), "p")
    fk.run_jobs("p", executor="inline", progress=False)
    come_back()
    fk.run_jobs("p", executor="inline", progress=False)
    assert len(fk.results_frame("p")) == 6
    assert query("SELECT count(*) FROM results.p") == [(6,)]
    assert query("SELECT attempt, count(*) FROM job_attempts GROUP BY ALL") == [(1, 3)]


def test_job_made_by_hand_with_the_id_of_a_deleted_one_has_its_own_results_only(
    workspace: Workspace,
) -> None:
    fk.pipeline("p")(lambda path: {"name": path.name})
    job_id = uuid.uuid4()
    for name in ("before", "after"):
        Path(name).touch()
        with fk.SessionLocal() as session:
            session.execute(delete(Job))
            session.add(Job(job_id=job_id, pipeline_id="p", input_path=name, position=1))
            session.commit()
        fk.run_jobs("p", executor="inline", progress=False)
    assert query("SELECT name FROM results.p") == [("after",)]
    assert len(fk.attempts_frame()) == 1


def test_job_that_is_deleted_and_registered_again_while_its_run_works_has_one_result(
    workspace: Workspace,
) -> None:
    # Both are in the run's second pass, so each pass has to look for what is left.
    @fk.pipeline("p")
    def again(path: Path) -> dict[str, str]:
        if path.name == "1.txt" and not Path("done").exists():
            Path("done").touch()
            with workspace.database.transaction() as connection:
                connection.execute("DELETE FROM jobs WHERE input_path = '0.txt'").fetchall()
            fk.register_jobs("inputs", "p")
        return {"name": path.name}

    fk.register_jobs(make_inputs(2), "p")
    fk.run_jobs("p", limit=1, executor="inline", progress=False)
    fk.run_jobs("p", executor="inline", progress=False)
    assert sorted(query("SELECT name FROM results.p")) == [("0.txt",), ("1.txt",)]


def test_failures_cost_their_job_alone_and_are_counted_by_kind(
    run: Callable[..., fk.Run], capsys: pytest.CaptureFixture[str]
) -> None:
    @fk.pipeline("p")
    def fails(path: Path) -> dict[str, Any] | list[int]:
        number = int(path.stem)
        print("before", number)
        if number in {1, 2}:
            raise ValueError(f"bad {number}\nsecond line")
        if number == 3:
            sys.exit("gone")
        if number == 4:
            return [1]
        return {"n": number}

    fk.register_jobs(make_inputs(), "p")
    made = run()
    assert (made.completed, made.failed) == (2, 4)
    assert {kind: count for kind, (count, _) in made.failures.items()} == {
        "ValueError": 2,
        "SystemExit": 1,
        "ResultError": 1,
    }
    lines = made.summary()
    assert lines[0].startswith("p: 2 completed, 4 failed in ")
    assert lines[1] == "  2 x ValueError, first: 1.txt: bad 1"
    assert "  1 x SystemExit: 3.txt: the pipeline called sys.exit(gone)" in lines
    assert any(line.startswith("  1 x ResultError: 4.txt: the pipeline returned") for line in lines)
    assert capsys.readouterr().out.count("x ValueError") == 1
    ((output, message, text),) = query(
        "SELECT output, a.error_message, traceback FROM job_attempts AS a JOIN jobs USING (job_id)"
        " WHERE input_path = '1.txt'"
    )
    assert output == "before 1\n"
    assert message == "bad 1\nsecond line"
    assert ", in fails" in text
    assert text.endswith("ValueError: bad 1\nsecond line\n")
    assert "foregsyte_kaggle" not in text
    assert sorted(fk.results_frame("p").n) == [0, 5]


def test_run_prints_short_and_says_how_it_ended(run: Callable[..., fk.Run]) -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(3), "p")
    made = run(limit=2)
    assert repr(made) == "<Run p: 2 completed, 0 failed, limit>"
    assert made.summary()[0].endswith("jobs/s); limit reached, 1 left pending")
    assert made.total == 2
    assert made.jobs_per_second > 0
    assert query("SELECT DISTINCT run_id::VARCHAR FROM jobs WHERE run_id IS NOT NULL") == [
        (str(made.run_id),)
    ]


def test_second_run_has_nothing_to_do_and_says_so(
    run: Callable[..., fk.Run], capsys: pytest.CaptureFixture[str]
) -> None:
    @fk.pipeline("p")
    def fails(path: Path) -> None:
        if path.stem == "1":
            raise ValueError

    fk.register_jobs(make_inputs(3), "p")
    run()
    again = run()
    assert (again.total, again.completed, again.failed, again.ended_by) == (0, 0, 0, "finished")
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == (
        "foregsyte: nothing is pending for p; 1 job failed before, retry_jobs() makes it pending again"
    )
    assert len(fk.attempts_frame()) == 3


def test_retried_job_replaces_its_rows_and_keeps_its_attempts(run: Callable[..., fk.Run]) -> None:
    @fk.pipeline("p")
    def reads(path: Path, job: JobContext) -> list[dict[str, Any]]:
        if path.stem == "1" and job.attempt == 1:
            raise ValueError("the first time")
        return [{"attempt": job.attempt, "row": row} for row in range(2)]

    fk.register_jobs(make_inputs(3), "p")
    assert run().failed == 1
    before = fk.attempts_frame().set_index("attempt_id").sort_index()
    assert fk.retry_jobs() == 1
    assert run().completed == 1
    assert fk.retry_jobs(status="completed") == 3
    assert fk.results_frame("p").empty
    assert run().completed == 3
    results = fk.results_frame("p")
    assert len(results) == 6
    assert results.job_id.value_counts().to_list() == [2, 2, 2]
    assert set(results.attempt) == {2, 3}
    after = fk.attempts_frame().set_index("attempt_id").sort_index()
    assert len(after) == 7
    pd.testing.assert_frame_equal(after.loc[before.index], before, check_categorical=False)


def test_only_jobs_of_the_source_named_run(run: Callable[..., fk.Run]) -> None:
    fk.pipeline("p")(lambda path: {"n": 1})
    fk.register_jobs(make_inputs(2, "a"), "p")
    fk.register_jobs(make_inputs(3, "b"), "p")
    assert run(source="b").completed == 3
    assert set(fk.jobs_frame(status="pending").source) == {"a"}
    assert run(source="a").completed == 2


def test_all_pipelines_run_when_none_is_named(
    run: Callable[..., fk.Run], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("p", "q", "gone"):
        fk.pipeline(name)(lambda path: {"n": 1})
        fk.register_jobs(make_inputs(2), name)
    from foregsyte_kaggle.registry import registered

    del registered._registered["gone"]
    made = run(None)
    assert made.completed == 4
    assert repr(made).startswith("<Run all pipelines: 4 completed")
    assert statuses() == {"completed": 4, "pending": 2}
    assert "jobs of gone are left pending: there is no pipeline 'gone'" in capsys.readouterr().out


def test_failing_job_is_tried_as_often_as_asked(
    run: Callable[..., fk.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foregsyte_kaggle.backlog.BACK_OFF_SECONDS", 0.01)

    @fk.pipeline("p")
    def fails(path: Path, job: JobContext) -> dict[str, Any]:
        if path.stem == "0" or (path.stem == "1" and job.attempt < 3):
            raise OSError(f"try {job.attempt}")
        return {"attempt": job.attempt}

    fk.register_jobs(make_inputs(3), "p")
    made = run(max_attempts=3)
    assert (made.completed, made.failed) == (2, 1)
    assert query(
        "SELECT input_path, attempt, outcome FROM job_attempts JOIN jobs USING (job_id) ORDER BY ALL"
    ) == [
        ("0.txt", 1, "failed"),
        ("0.txt", 2, "failed"),
        ("0.txt", 3, "failed"),
        ("1.txt", 1, "failed"),
        ("1.txt", 2, "failed"),
        ("1.txt", 3, "completed"),
        ("2.txt", 1, "completed"),
    ]
    assert sorted(fk.results_frame("p").attempt) == [1, 3]


def test_first_failure_is_raised_where_that_is_asked(run: Callable[..., fk.Run]) -> None:
    @fk.pipeline("p")
    def fails(path: Path) -> None:
        raise ValueError("the reason")

    fk.register_jobs(make_inputs(3), "p")
    with pytest.raises(
        RunError, match=r"job [0-9a-f-]{36} of p failed: ValueError: the reason\nTrace"
    ):
        run(on_error="raise")
    assert statuses().get("failed", 0) >= 1
    assert "running" not in statuses()


def test_class_is_built_where_its_jobs_run(run: Callable[..., fk.Run]) -> None:
    @fk.pipeline("p")
    class Model:
        def __init__(self, weights: str) -> None:
            self.weights = weights
            self.calls = 0

        def __call__(self, path: Path, scale: int) -> dict[str, Any]:
            self.calls += 1
            return {"weights": self.weights, "scale": scale, "calls": self.calls}

    fk.register_jobs(make_inputs(8), "p", params={"weights": "small", "scale": 2})
    run(workers=1)
    results = fk.results_frame("p")
    assert set(results.weights) == {"small"}
    assert set(results.scale) == {2}
    assert results.calls.max() > 1  # the same object, call after call


def test_files_that_jobs_write_are_whole_and_recorded(
    run: Callable[..., fk.Run], workspace: Workspace
) -> None:
    @fk.pipeline("p")
    def writes(path: Path, job: JobContext) -> None:
        job.output_path("sheet.txt").write_text(path.name)
        if path.stem == "1":
            raise ValueError

    fk.register_jobs(make_inputs(3), "p")
    run()
    for name, job_id, stored in query("SELECT input_path, job_id::VARCHAR, output_path FROM jobs"):
        if name == "1.txt":
            assert pd.isna(stored)
        else:
            assert stored == f"data/outputs/p/{job_id}-sheet.txt"
            assert (workspace.directory / stored).read_text() == name
    files = [path for path in workspace.outputs.rglob("*") if path.is_file()]
    assert len(files) == 2


@pytest.mark.parametrize("kind", ["lambda", "generator", "lock", "set"])
def test_result_that_cannot_travel_or_be_stored_fails_its_job_only(
    run: Callable[..., fk.Run], kind: str
) -> None:
    @fk.pipeline("p")
    def returns(path: Path) -> dict[str, Any]:
        odd: Any = {
            "lambda": lambda: None,
            "generator": (number for number in range(3)),
            "lock": threading.Lock(),
            "set": {1},
        }
        return {"n": odd[kind] if path.stem == "1" else 1}

    fk.register_jobs(make_inputs(5), "p")
    made = run()
    assert statuses() == {"completed": 4, "failed": 1}
    assert list(made.failures) == ["ResultError"]
    (message,) = fk.attempts_frame()["error_message"].dropna()
    assert message.startswith("the column 'n': ")
    assert "Convert it first" in message
    assert len(fk.results_frame("p")) == 4


def test_inputs_with_odd_names_reach_their_pipeline(run: Callable[..., fk.Run]) -> None:
    folder = Path("odd")
    folder.mkdir()
    names = ["a b", 'it\'s "quoted"', "two\nlines", "%41<b>", "試合", os.fsdecode(b"latin \xe9")]
    for name in names:
        (folder / name).write_text("x")
    fk.pipeline("p")(lambda path: {"size": len(path.read_text())})
    fk.register_jobs(folder, "p")
    assert run().completed == len(names)


def test_ids_and_hand_made_jobs_run_too(run: Callable[..., fk.Run], workspace: Workspace) -> None:
    @fk.pipeline("p")
    def show(path: Path | str) -> dict[str, Any]:
        return {"kind": type(path).__name__, "text": str(path)}

    fk.register_jobs(pd.DataFrame({"id": ["item/1"]}), "p", name="items")
    outside = str(make_inputs(1).resolve() / "0.txt")
    with fk.SessionLocal() as session:
        session.add_all(
            Job(pipeline_id="p", input_path=path)
            for path in ("inputs/0.txt", outside, "https://example.org/x")
        )
        session.commit()
    assert run().completed == 4
    kind = type(Path()).__name__
    found = fk.results_frame("p")
    assert set(zip(found.kind, found.text, strict=True)) == {
        ("str", "item/1"),
        ("str", "https://example.org/x"),
        (kind, outside),
        (kind, str(workspace.directory / "inputs/0.txt")),
    }


def test_nothing_is_left_open_after_many_runs(run: Callable[..., fk.Run]) -> None:
    fk.pipeline("p")(print)
    fk.register_jobs(make_inputs(2), "p")
    rounds = 12

    def once() -> None:
        run()
        fk.retry_jobs(status="completed")

    for _ in range(3):
        once()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    streams = sys.stdout, sys.stderr
    for _ in range(rounds):
        once()
    after = len(os.listdir("/proc/self/fd")), threading.active_count()
    assert after[0] <= before[0] + 2, "descriptors leak"
    assert after[1] <= before[1] + 1, "threads leak"
    assert (sys.stdout, sys.stderr) == streams


# What is refused before anything starts


@pytest.mark.usefixtures("workspace")
def test_unknown_pipeline_is_refused_with_the_nearest() -> None:
    fk.pipeline("yolo_ocr")(lambda path: None)
    with pytest.raises(PipelineError, match=r"no pipeline 'yolo_orc'. Did you mean 'yolo_ocr'\?"):
        fk.run_jobs("yolo_orc")


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limit": 0}, "limit=0; expected a whole number from 1"),
        ({"workers": 0}, "workers=0; expected"),
        ({"workers": 1.5}, "workers=1.5; expected"),
        ({"max_attempts": 0}, "max_attempts=0; expected"),
        ({"recycle_after": 0}, "recycle_after=0; expected a whole number from 1"),
        ({"devices": [-1]}, "devices holds -1; expected numbers from 0"),
        ({"executor": "threads", "devices": [0]}, "a thread cannot be given its own GPU; use"),
        ({"executor": "threads", "recycle_after": 5}, "recycle_after=5 needs executor='processes'"),
        ({"job_timeout": 0}, "job_timeout=0 is no length of time; expected seconds, or text"),
        ({"job_timeout": -1}, "job_timeout=-1 is no length of time; expected seconds"),
        ({"job_timeout": "soon"}, "job_timeout='soon' is no length of time; expected seconds"),
        (
            {"executor": "threads", "job_timeout": "1min"},
            "job_timeout=60 needs executor='processes'",
        ),
        ({"on_error": "stop"}, "on_error='stop'; expected 'continue' or 'raise'"),
        ({"executor": "dask"}, "executor='dask' is unknown; expected 'processes'"),
        ({"executor": "threads", "job_timeout": 5}, "job_timeout=5 needs executor='processes'"),
        ({"executor": "inline", "job_timeout": 5}, "job_timeout=5 needs executor='processes'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("pending", [0, 1])
def test_wrong_argument_is_refused_at_the_call(
    arguments: dict[str, Any], said: str, pending: int
) -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(1), "p")
    if not pending:
        fk.run_jobs("p", executor="inline", progress=False)
    with pytest.raises(InvalidArgumentError, match=said.replace("(", r"\(")):
        fk.run_jobs("p", progress=False, **arguments)
    assert statuses() == {"pending" if pending else "completed": 1}


@pytest.mark.usefixtures("workspace")
def test_executor_that_forks_is_refused_with_the_line_that_fixes_it() -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(1), "p")
    context = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(2, mp_context=context) as pool,
        pytest.raises(RunError, match=r"mp_context=multiprocessing.get_context\('spawn'\)"),
    ):
        fk.run_jobs("p", executor=pool)
    assert statuses() == {"pending": 1}


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_source_whose_folder_is_gone_is_refused_with_what_to_do(executor: str) -> None:
    fk.pipeline("p")(lambda path: None)
    inputs = make_inputs(1)
    fk.register_jobs(inputs, "p")
    inputs.rename("elsewhere")
    with pytest.raises(SourceError, match=r"the source 'inputs' was at .* name='inputs'\)"):
        fk.run_jobs("p", executor=executor)
    assert statuses() == {"pending": 1}


@pytest.mark.parametrize("kind", IN_OTHER_PROCESSES)
def test_closure_that_cannot_travel_is_refused_with_what_to_do(
    workspace: Workspace, kind: str
) -> None:
    lock = threading.Lock()

    @fk.pipeline("p")
    def holds(path: Path) -> None:
        with lock:
            pass

    fk.register_jobs(make_inputs(1), "p")
    executor: Any = kind
    if kind == "ProcessPoolExecutor":
        executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with pytest.raises(
        PipelineError, match=r"'p' cannot be sent to other processes.*executor='threads'"
    ):
        fk.run_jobs("p", executor=executor, progress=False)
    assert statuses() == {"pending": 1}
    assert not workspace.live_runs
    if isinstance(executor, Executor):
        executor.shutdown()


@pytest.mark.usefixtures("workspace")
def test_closure_over_what_cannot_travel_runs_in_somebody_s_threads() -> None:
    lock, seen = threading.Lock(), list[str]()

    @fk.pipeline("p")
    def holds(path: Path) -> None:
        with lock:
            seen.append(path.name)

    fk.register_jobs(make_inputs(3), "p")
    with ThreadPoolExecutor(2) as pool:
        assert fk.run_jobs("p", executor=pool, progress=False).completed == 3
    assert sorted(seen) == ["0.txt", "1.txt", "2.txt"]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("kind", IN_OTHER_PROCESSES)
def test_pipeline_whose_module_other_processes_lack_ends_the_run_with_everything_pending(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import importlib

    (tmp_path / "only_here.py").write_text("def pipeline(path):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("only_here")
    (tmp_path / "only_here.py").write_text("raise ImportError('no GPU here')\n")
    fk.pipeline("p")(module.pipeline)
    fk.register_jobs(make_inputs(4), "p")
    executor: Any = kind
    if kind == "ProcessPoolExecutor":
        executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        with pytest.raises(
            PipelineError, match="'p' cannot be loaded in a worker: ImportError: no GPU"
        ):
            fk.run_jobs("p", executor=executor, progress=False)
    finally:
        if isinstance(executor, Executor):
            executor.shutdown()
    assert statuses() == {"pending": 4}
    assert fk.attempts_frame().empty


@pytest.mark.usefixtures("workspace")
def test_executor_that_was_shut_down_ends_the_run_with_everything_pending() -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(4), "p")
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RunError, match=r"ThreadPoolExecutor takes no more work: .* Make a new one"):
        fk.run_jobs("p", executor=pool, progress=False)
    assert statuses() == {"pending": 4}


@pytest.mark.usefixtures("workspace")
def test_executor_whose_worker_dies_ends_the_run_with_a_clear_error_and_no_job_lost() -> None:
    @fk.pipeline("p")
    def dies(path: Path) -> dict[str, Any]:
        if path.stem == "3":
            os._exit(1)
        return {"n": 1}

    fk.register_jobs(make_inputs(6), "p")
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(RunError, match="executor='processes', which goes on when a worker dies"),
    ):
        fk.run_jobs("p", executor=pool, progress=False)
    left = statuses()
    assert "running" not in left
    assert "failed" not in left
    assert len(fk.results_frame("p")) == left.get("completed", 0)


# Where pipelines come from


SCRIPT = """
import sys
from pathlib import Path

with open("starts.txt", "a") as counter:
    counter.write("started\\n")

import foregsyte_kaggle as fk

SCALE = 10

class Helper:
    def size(self, path):
        return len(path.read_text()) * SCALE

@fk.pipeline("from_function")
def from_function(path):
    return {"size": Helper().size(path)}

@fk.pipeline("from_class")
class FromClass(Helper):
    def __call__(self, path):
        print("in the worker")
        return {"size": self.size(path)}

scale = 2
fk.pipeline("from_lambda")(lambda path: {"size": len(path.read_text()) * SCALE})

fk.bootstrap()
for name in ("from_function", "from_class", "from_lambda"):
    fk.register_jobs("inputs", name)
    fk.run_jobs(name, workers=2, progress=False)
    print(name, sorted(fk.results_frame(name)["size"].to_list()))
"""


IN_A_CELL = """
from IPython.core.interactiveshell import InteractiveShell

InteractiveShell.instance().run_cell(open("main.py").read()).raise_error()
"""


@pytest.mark.parametrize("way", ["script", "notebook cell", "standard input"])
def test_pipelines_of_the_main_file_run_in_processes_and_the_file_runs_once(
    begun: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.chdir(begun)
    make_inputs(4)
    Path("main.py").write_text(SCRIPT)
    command = {
        "script": [sys.executable, "main.py"],
        "notebook cell": [
            sys.executable,
            "-c",
            IN_A_CELL,
        ],
        "standard input": [sys.executable, "-"],
    }[way]
    ended = subprocess.run(
        command,
        input=SCRIPT if way == "standard input" else None,
        env={**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(begun / "ipython")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for name in ("from_function", "from_class", "from_lambda"):
        assert f"{name} [0, 10, 20, 30]" in ended.stdout
    assert "in the worker" not in ended.stdout
    assert Path("starts.txt").read_text() == "started\n"


RAISES = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import foregsyte_kaggle as fk

def helper(text):
    raise ValueError(text)  # in the helper

@fk.pipeline("from_function")
def from_function(path):
    helper(path.name)  # in the function

@fk.pipeline("from_class")
class FromClass:
    def __call__(self, path):
        helper(path.name)  # in the class

made = {}
exec("def without_source(path): helper(path.name)", globals(), made)
fk.pipeline("without_source")(made["without_source"])

if __name__ == "__main__":
    fk.bootstrap()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in ("from_function", "from_class", "without_source"):
            fk.register_jobs("inputs", name)
            for executor in ("threads", "processes", pool):
                fk.run_jobs(name, executor=executor, workers=1, progress=False)
                fk.retry_jobs()
    fk.attempts_frame().to_json("attempts.json", orient="records")
"""


@pytest.mark.parametrize(
    ("command", "file"),
    [
        pytest.param([sys.executable, "main.py"], "main.py", id="script"),
        pytest.param([sys.executable, "-c", IN_A_CELL], "<ipython-input-", id="notebook cell"),
    ],
)
def test_traceback_from_another_process_is_the_one_that_threads_give(
    begun: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], file: str
) -> None:
    monkeypatch.chdir(begun)
    make_inputs(1)
    Path("main.py").write_text(RAISES)
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(begun / "ipython")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    attempts = pd.read_json("attempts.json")
    assert attempts.pipeline_id.value_counts().to_list() == [3, 3, 3]
    for name, tracebacks in attempts.groupby("pipeline_id").traceback:
        (text,) = set(tracebacks)
        assert file in text
        assert "raise ValueError(text)  # in the helper" in text
        expected = {
            "from_function": "helper(path.name)  # in the function",
            "from_class": "helper(path.name)  # in the class",
            "without_source": 'File "<string>", line 1, in without_source',
        }
        assert expected[str(name)] in text


@pytest.mark.usefixtures("workspace")
def test_function_of_a_module_is_sent_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_pipelines.py").write_text(
        textwrap.dedent(
            """
            import os
            LOADED_BY = os.getpid()

            def pipeline(path):
                return {"loaded_by": LOADED_BY, "run_by": os.getpid()}
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_pipelines  # type: ignore[import-not-found]

    fk.pipeline("p")(my_pipelines.pipeline)
    fk.register_jobs(make_inputs(3), "p")
    fk.run_jobs("p", workers=1, progress=False)
    found = fk.results_frame("p")
    assert (found.loaded_by == found.run_by).all()
    assert os.getpid() not in set(found.run_by)
    del sys.modules["my_pipelines"]


# The bar, and runs beside others


@pytest.mark.usefixtures("workspace")
def test_bar_that_breaks_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        n = 0

        def __init__(self, **_: object) -> None:
            pass

        def __getattr__(self, name: str) -> object:
            raise BrokenPipeError("the front end is gone")

    monkeypatch.setattr("tqdm.auto.tqdm", Broken)
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(3), "p")
    assert fk.run_jobs("p", executor="threads").completed == 3


@pytest.mark.usefixtures("workspace")
def test_bar_shows_what_is_done_and_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    @fk.pipeline("p")
    def fails(path: Path) -> None:
        if path.stem == "1":
            raise ValueError

    fk.register_jobs(make_inputs(3), "p")
    fk.run_jobs("p", executor="threads")
    shown = capsys.readouterr().err
    assert "p: 100%" in shown
    assert "3/3" in shown
    assert "1 failed" in shown


def test_error_while_waiting_ends_the_run_before_it_is_raised(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fk.pipeline("p")(lambda path: time.sleep(0.05))
    fk.register_jobs(make_inputs(40), "p")

    def breaks(*_: object, **__: object) -> None:
        raise RecursionError("while drawing")

    monkeypatch.setattr("foregsyte_kaggle.attending._wait", breaks)
    with pytest.raises(RecursionError, match="while drawing"):
        fk.run_jobs("p", executor="threads", progress=False)
    assert not workspace.live_runs
    assert "running" not in statuses()
    assert not [thread for thread in threading.enumerate() if thread.name == "foregsyte-run"]


def test_jobs_registered_meanwhile_are_run_too(workspace: Workspace) -> None:
    began, go_on = threading.Event(), threading.Event()

    @fk.pipeline("p")
    def waits(path: Path) -> None:
        began.set()
        assert go_on.wait(60)

    fk.register_jobs(make_inputs(1, "a"), "p")
    ended: list[fk.Run] = []
    runner = threading.Thread(
        target=lambda: ended.append(fk.run_jobs("p", executor="threads", workers=1, progress=False))
    )
    runner.start()
    assert began.wait(60)
    assert len(workspace.live_runs) == 1
    fk.register_jobs(make_inputs(2, "b"), "p")
    go_on.set()
    runner.join(60)
    assert ended[0].completed == 3
    assert not workspace.live_runs


@pytest.mark.usefixtures("workspace")
def test_two_runs_at_once_never_take_the_same_job() -> None:
    both = threading.Barrier(2, timeout=60)

    for name in ("p", "q"):

        @fk.pipeline(name)
        def prints(path: Path, met: list[int] = []) -> dict[str, Any]:  # noqa: B006 - counts calls
            if not met:
                met.append(1)
                both.wait()
            print(path.name)
            return {"n": 1}

        fk.register_jobs(make_inputs(40), name)
    ended: list[fk.Run] = []
    runs = [
        threading.Thread(
            target=lambda name=name: ended.append(
                fk.run_jobs(name, executor="threads", workers=1, progress=False)
            )
        )
        for name in ("p", "q")
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(100)
    assert [one.completed for one in ended] == [40, 40]
    attempts = fk.attempts_frame()
    assert attempts.job_id.is_unique
    assert attempts.output.notna().all()
    assert statuses() == {JobStatus.completed.value: 80}


def test_unknown_source_is_an_error_that_names_the_nearest(run: Callable[..., fk.Run]) -> None:
    fk.register_jobs(make_inputs(), "file_info", name="clips")
    with pytest.raises(
        SourceError, match=r"no source is named 'clip'.*Did you mean 'clips', the only"
    ):
        fk.run_jobs("file_info", source="clip")


# Ends that hurt


@pytest.mark.parametrize("executor", ["processes", "threads", "inline"])
@pytest.mark.parametrize("failing", ["record", "record and end_run", "claim", "begin_run"])
def test_ledger_that_cannot_be_written_ends_the_run_and_the_next_one_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, executor: str, failing: str
) -> None:
    @fk.pipeline("p")
    def writes(path: Path) -> dict[str, Any]:
        print("x")
        return {"name": path.name}

    def full(*_: object, **__: object) -> None:
        raise LedgerError("the disk is full")

    fk.register_jobs(make_inputs(6), "p")
    streams = sys.stdout, sys.stderr
    with monkeypatch.context() as patched:
        for name in failing.split(" and "):
            patched.setattr(ledger, name, full)
        with pytest.raises(LedgerError, match="the disk is full"):
            fk.run_jobs("p", executor=executor, workers=2, progress=False)
    assert not workspace.live_runs
    assert (sys.stdout, sys.stderr) == streams
    assert not [thread for thread in threading.enumerate() if thread.name == "foregsyte-run"]
    assert ("running" in statuses()) == (failing == "record and end_run")
    made = fk.run_jobs("p", executor=executor, workers=2, progress=False)
    assert made.completed == 6
    assert query("SELECT count(*), count(DISTINCT name) FROM results.p") == [(6, 6)]
    assert query("SELECT max(attempts), max(interruptions) FROM jobs") == [(1, 0)]


@pytest.mark.parametrize("kind", ["threads", "ThreadPoolExecutor"])
def test_thread_that_is_left_behind_changes_nothing_any_more(
    workspace: Workspace, kind: str
) -> None:
    go_on, over = threading.Event(), threading.Event()

    @fk.pipeline("p")
    def waits(path: Path, job: JobContext) -> dict[str, Any]:
        written = job.output_path("a.txt")
        written.write_text("of the run that was stopped")
        if path.stem == "1":
            raise ValueError("ends the run")
        assert go_on.wait(60)
        over.set()
        return {"late": True}

    fk.register_jobs(make_inputs(2), "p")
    pool = ThreadPoolExecutor(2) if kind == "ThreadPoolExecutor" else None
    streams = sys.stdout, sys.stderr
    with pytest.raises(RunError, match="ends the run"):
        fk.run_jobs("p", executor=pool or "threads", workers=2, on_error="raise", progress=False)
    assert statuses() == {"failed": 1, "pending": 1}
    assert (sys.stdout, sys.stderr) == streams
    go_on.set()
    assert over.wait(60)
    if pool is not None:
        pool.shutdown()
    assert statuses() == {"failed": 1, "pending": 1}
    assert not list(workspace.outputs.glob("p/*.txt"))

    @fk.pipeline("p")
    def quick(path: Path, job: JobContext) -> dict[str, Any]:
        job.output_path("a.txt").write_text("of the next run")
        return {"late": False}

    fk.retry_jobs()
    assert fk.run_jobs("p", executor="threads", progress=False).completed == 2
    assert fk.results_frame("p").late.to_list() == [False, False]
    files = list(workspace.outputs.glob("p/*.txt"))
    assert [file.read_text() for file in files] == ["of the next run"] * 2


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("executor", ["processes", "threads", "inline"])
def test_jobs_behind_a_long_one_in_its_chunk_do_not_wait_for_it(executor: str) -> None:
    """It waits until all others are done, those that were in its chunk too."""

    @fk.pipeline("p")
    def uneven(path: Path) -> dict[str, Any]:
        (path.parent.parent / "done" / path.name).touch()
        until = time.monotonic() + 60
        while path.stem == "30" and len(list(path.parent.parent.glob("done/*"))) < others:
            assert time.monotonic() < until
            time.sleep(0.01)
        return {"name": path.name}

    Path("done").mkdir()
    # Inline there is only this thread: what came before is recorded meanwhile, the rest comes later.
    others = 100 if executor != "inline" else 0
    fk.register_jobs(make_inputs(100), "p")
    made = fk.run_jobs("p", executor=executor, workers=2, progress=False)
    assert made.completed == 100
    assert query("SELECT count(*), count(DISTINCT name) FROM results.p") == [(100, 100)]
    assert query("SELECT count(*), count(DISTINCT job_id) FROM job_attempts") == [(100, 100)]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("kind", ["threads", "inline", "ThreadPoolExecutor"])
def test_thread_that_fails_by_itself_ends_the_run_with_everything_pending(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room to note it")

    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(3), "p")
    monkeypatch.setattr("foregsyte_kaggle.executors.local.run_tasks", fail)
    pool = ThreadPoolExecutor(2) if kind == "ThreadPoolExecutor" else None
    with pytest.raises(
        RunError, match="a thread that runs jobs failed: MemoryError: no room to note it"
    ):
        fk.run_jobs("p", executor=pool or kind, progress=False)
    if pool is not None:
        pool.shutdown()
    assert statuses() == {"pending": 3}
