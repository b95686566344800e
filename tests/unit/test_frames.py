"""The ledger as DataFrames: the same columns and types whatever it holds, and read-only SQL."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from foregsyte_kaggle import (
    InvalidArgumentError,
    Job,
    JobStatus,
    PipelineError,
    SessionLocal,
    Workspace,
    attempts_frame,
    jobs_frame,
    pipeline,
    register_jobs,
    result_rows,
    results_frame,
    retry_jobs,
    run_jobs,
    sql,
    summary_frame,
)
from foregsyte_kaggle.frames import ATTEMPT_COLUMNS, JOB_COLUMNS
from foregsyte_kaggle.registry import registered
from foregsyte_kaggle.testing import memory_workspace as in_memory
from foregsyte_kaggle.workspace import activate

pytestmark = pytest.mark.unit

IDS = pd.DataFrame({"id": ["good 1", "bad 1", "good 2", "bad 2", "waits"], "x": [1, 2, 3, 4, 5]})


def run_some() -> None:
    """Make two jobs that completed, two that failed, and one that is pending."""

    @pipeline("score")
    def score(text: str, x: int) -> dict[str, object]:
        if text.startswith("bad"):
            raise ValueError(f"no score for {text}")
        return {"score": x / 2, "label": text, "box": [x], "n": x if x == 1 else None}

    pipeline("never_run")(lambda _text, **_params: None)
    register_jobs(IDS, "score", name="matches")
    run_jobs("score", executor="inline", limit=4, progress=False)


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with in_memory(tmp_path_factory.mktemp("read_only")) as made:
        run_some()
        yield made
    for pipeline_id in ("score", "never_run"):
        registered._registered.pop(pipeline_id, None)


@pytest.fixture
def jobs(read_only: Workspace) -> Iterator[Workspace]:
    """Some jobs, for tests that only look."""
    activate(read_only)
    yield read_only
    activate(None)


@pytest.fixture
def own_jobs(memory_workspace: Workspace) -> Workspace:
    """Some jobs, to change."""
    run_some()
    return memory_workspace


@pytest.fixture
def running(own_jobs: Workspace) -> Workspace:
    """Some jobs of which the pending one is running, as in a background run."""
    with SessionLocal() as session:
        job = session.query(Job).filter_by(status=JobStatus.pending).one()
        job.status, job.attempts = JobStatus.running, 1
        job.started_at = dt.datetime(2024, 5, 1)  # noqa: DTZ001 - as the ledger stores it
        session.commit()
    return own_jobs


def types(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.reset_index(names="index").dtypes.items()}


TEXT = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "string"
TIME = "datetime64[us, UTC]"

JOB_TYPES = {
    "index": "int64",
    "job_id": TEXT,
    "status": "category",
    "pipeline_id": "category",
    "source": "category",
    "input_path": TEXT,
    "params": TEXT,
    "attempts": "int32",
    "error_type": "category",
    "error_message": TEXT,
    "output_path": TEXT,
    "input_size": "Int64",
    "progress": "float64",
    "duration_seconds": "float64",
    "created_at": TIME,
    "updated_at": TIME,
    "started_at": TIME,
    "finished_at": TIME,
    "interruptions": "int32",
    "code_version": "category",
    "outdated": "bool",
    "run_id": TEXT,
}
ATTEMPT_TYPES = {
    "index": "int64",
    "job_id": TEXT,
    "attempt": "int32",
    "outcome": "category",
    "pipeline_id": "category",
    "input_path": TEXT,
    "started_at": TIME,
    "finished_at": TIME,
    "duration_seconds": "float64",
    "error_type": "category",
    "error_message": TEXT,
    "traceback": TEXT,
    "output": TEXT,
    "output_paths": TEXT,
    "result_rows": "Int64",
    "worker": TEXT,
    "code_version": "category",
    "run_id": TEXT,
    "attempt_id": TEXT,
}
SUMMARY_TYPES = {
    "index": TEXT,
    "pending": "int64",
    "running": "int64",
    "completed": "int64",
    "failed": "int64",
    "total": "int64",
    "outdated": "int64",
    "attempts": "int64",
    "mean_seconds": "float64",
}


# The same columns and types, empty or full

FRAMES: list[tuple[Callable[[], pd.DataFrame], dict[str, str]]] = [
    (jobs_frame, JOB_TYPES),
    (attempts_frame, ATTEMPT_TYPES),
    (summary_frame, SUMMARY_TYPES),
]
each_frame = pytest.mark.parametrize(
    ("frame", "expected"), FRAMES, ids=["jobs", "attempts", "summary"]
)


@each_frame
@pytest.mark.usefixtures("memory_workspace")
def test_empty_frame_has_all_columns_in_their_types(
    frame: Callable[[], pd.DataFrame], expected: dict[str, str]
) -> None:
    assert len(frame()) == 0
    assert types(frame()) == expected


@each_frame
@pytest.mark.usefixtures("jobs")
def test_full_frame_has_the_types_of_the_empty_one(
    frame: Callable[[], pd.DataFrame], expected: dict[str, str]
) -> None:
    assert len(frame()) > 0
    assert types(frame()) == expected


@each_frame
@pytest.mark.usefixtures("running")
def test_frame_has_the_same_types_while_a_job_runs(
    frame: Callable[[], pd.DataFrame], expected: dict[str, str]
) -> None:
    assert types(frame()) == expected


@pytest.mark.usefixtures("jobs")
def test_frame_whose_filter_leaves_nothing_has_the_same_types() -> None:
    assert types(jobs_frame("never_run")) == JOB_TYPES
    assert types(jobs_frame("file_info", source="matches")) == JOB_TYPES
    assert types(jobs_frame(limit=0)) == JOB_TYPES
    assert types(attempts_frame("never_run", source="matches")) == ATTEMPT_TYPES


def test_lists_of_columns_are_those_of_the_frames() -> None:
    assert ["index", *JOB_COLUMNS] == list(JOB_TYPES)
    assert ["index", *ATTEMPT_COLUMNS] == list(ATTEMPT_TYPES)


# Jobs


@pytest.mark.usefixtures("jobs")
def test_jobs_come_in_the_order_of_registering_with_what_is_known_of_them() -> None:
    frame = jobs_frame()
    assert frame.input_path.tolist() == IDS.id.tolist()
    assert frame.status.tolist() == ["completed", "failed", "completed", "failed", "pending"]
    assert frame.params.tolist() == [f'{{"x":{x}}}' for x in IDS.x]
    assert frame.attempts.tolist() == [1, 1, 1, 1, 0]
    assert frame.error_message.tolist()[1] == "no score for bad 1"
    assert frame.error_message.isna().tolist() == [True, False, True, False, True]
    assert frame.error_type.tolist()[1] == "ValueError"
    assert frame.input_size.isna().all()
    assert [uuid.UUID(job_id) for job_id in frame.job_id]
    assert (frame.duration_seconds[:4] >= 0).all()
    assert frame.finished_at[4] is pd.NaT
    now = pd.Timestamp.now("UTC")
    assert ((now - frame.created_at) < pd.Timedelta("5min")).all(), (
        "times are UTC, whatever TZ says"
    )
    assert ((now - frame.finished_at[:4]) < pd.Timedelta("5min")).all()


@pytest.mark.usefixtures("jobs")
def test_every_status_is_a_category_in_the_order_of_a_jobs_life() -> None:
    categories = ["pending", "running", "completed", "failed"]
    assert jobs_frame().status.cat.categories.tolist() == categories
    assert jobs_frame(status="failed").status.cat.categories.tolist() == categories
    assert jobs_frame().status.value_counts()["running"] == 0


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "failed"}, ["bad 1", "bad 2"]),
        ({"status": JobStatus.pending}, ["waits"]),
        ({"status": ["failed", JobStatus.pending]}, ["bad 1", "bad 2", "waits"]),
        ({"status": []}, []),
        ({"pipeline_id": "score", "limit": 2}, ["good 1", "bad 1"]),
        ({"pipeline_id": "never_run"}, []),
        ({"pipeline_id": "never_run", "source": "matches"}, []),
        ({"source": "matches", "status": "completed"}, ["good 1", "good 2"]),
    ],
    ids=str,
)
def test_filters_leave_the_jobs_that_match(filters: dict[str, Any], found: list[str]) -> None:
    assert jobs_frame(**filters).input_path.tolist() == found


@pytest.mark.usefixtures("memory_workspace")
def test_job_made_by_hand_comes_where_it_was_numbered() -> None:
    with SessionLocal() as session:
        session.add(Job(pipeline_id="score", input_path="by hand"))
        session.commit()
    register_jobs(IDS[["id"]], "file_info", name="matches")
    assert jobs_frame().input_path.tolist() == [*IDS.id, "by hand"]
    assert jobs_frame(limit=1).input_path.tolist() == ["good 1"]
    assert jobs_frame().input_size.isna().all()


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (
            {"status": "done"},
            "status='done' is unknown; expected one of ['pending', 'running', 'completed', 'failed']",
        ),
        ({"status": 3}, "status=3; expected one or several of"),
        ({"status": [3]}, "status=3 is unknown; expected one of"),
        ({"pipeline_id": 5}, "pipeline_id=5; expected text, or None for all"),
        ({"source": b"x"}, "source=b'x'; expected text, or None for all"),
        ({"limit": -1}, "limit=-1; expected a whole number from 0, or None"),
        ({"limit": "5"}, "limit='5'; expected a whole number from 0, or None"),
    ],
    ids=str,
)
def test_bad_filter_says_what_was_expected(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        jobs_frame(**filters)
    assert str(caught.value).startswith(message)


# Attempts


@pytest.mark.usefixtures("own_jobs")
def test_attempts_come_newest_first_with_what_they_left() -> None:
    retry_jobs("score")
    run_jobs("score", executor="inline", limit=1, progress=False)
    frame = attempts_frame()
    assert frame.input_path.tolist()[0] == "bad 1"
    assert frame.attempt.tolist()[0] == 2
    assert sorted(frame.outcome) == ["completed"] * 2 + ["failed"] * 3
    assert frame.started_at.is_monotonic_decreasing
    assert "ValueError: no score for bad 1" in frame.traceback[0]
    completed = frame[frame.outcome == "completed"]
    assert completed.result_rows.tolist() == [1, 1]
    assert len(attempts_frame(limit=2)) == 2


@pytest.mark.usefixtures("jobs")
def test_attempts_of_one_job_are_found_by_its_id() -> None:
    job_id = jobs_frame(status="failed").job_id[0]
    assert attempts_frame(job_id=job_id).input_path.tolist() == ["bad 1"]
    assert len(attempts_frame(job_id=str(uuid.uuid4()))) == 0
    with pytest.raises(InvalidArgumentError, match="'x' is not a job's id; expected a UUID"):
        attempts_frame(job_id="x")


@pytest.mark.usefixtures("running")
def test_try_under_way_is_shown_as_running() -> None:
    frame = attempts_frame(pipeline_id="score")
    shown = frame[frame.outcome == "running"].iloc[0]
    assert shown.input_path == "waits"
    assert shown.started_at == pd.Timestamp("2024-05-01", tz="UTC")
    assert pd.isna(shown.finished_at)
    assert pd.isna(shown.result_rows)


# Summary


@pytest.mark.usefixtures("own_jobs")
def test_summary_counts_each_pipeline() -> None:
    register_jobs(IDS, "never_run", name="matches", limit=2)
    frame = summary_frame()
    assert frame.index.tolist() == ["never_run", "score"]
    assert frame.drop(columns="mean_seconds").loc["score"].to_dict() == {
        "pending": 1,
        "running": 0,
        "completed": 2,
        "failed": 2,
        "total": 5,
        "outdated": 0,
        "attempts": 4,
    }
    assert frame.mean_seconds.isna().tolist() == [True, False]


# Results


@pytest.fixture(params=[1_000_000, 0], ids=["sorted", "as stored"])
def either_order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows, and the same as if they were too many to be sorted."""
    monkeypatch.setattr(result_rows, "MOST_SORTED_ROWS", request.param)


@pytest.mark.usefixtures("jobs", "either_order")
def test_results_are_rows_of_completed_jobs_with_their_input() -> None:
    frame = results_frame("score")
    assert frame.columns.tolist() == ["job_id", "input_path", "score", "label", "box", "n"]
    assert frame.input_path.tolist() == ["good 1", "good 2"]
    assert frame.score.tolist() == [0.5, 1.5]
    assert frame.label.tolist() == ["good 1", "good 2"]
    assert [list(box) for box in frame.box] == [[1], [3]]
    assert str(frame.n.dtype) == "Int64", "whole numbers stay whole where one is missing"
    assert frame.n.fillna(0).tolist() == [1, 0]
    assert frame.job_id.tolist() == jobs_frame(status="completed").job_id.tolist()
    assert len(results_frame("score", limit=1)) == 1


@pytest.mark.usefixtures("own_jobs", "either_order")
def test_results_of_jobs_that_are_not_completed_any_more_are_hidden() -> None:
    first = jobs_frame(status="completed").job_id[0]
    retry_jobs("score", status="completed", job_ids=[first])
    assert results_frame("score").input_path.tolist() == ["good 2"]
    retry_jobs("score", status="completed")
    frame = results_frame("score")
    assert len(frame) == 0
    assert frame.columns.tolist() == ["job_id", "input_path", "score", "label", "box", "n"]
    assert types(frame) == {
        "index": "int64",
        "job_id": "category",
        "input_path": "category",
        "score": "float64",
        "label": TEXT,
        "box": "object",
        "n": "int64",
    }
    with pytest.raises(InvalidArgumentError, match="limit='x'"):
        results_frame("score", limit="x")  # type: ignore[arg-type]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("pipeline_id", ["never_run", "file_info"])
def test_results_of_a_pipeline_without_any_are_an_empty_frame(pipeline_id: str) -> None:
    frame = results_frame(pipeline_id)
    assert types(frame) == {"index": "int64", "job_id": "category", "input_path": "category"}


@pytest.mark.usefixtures("jobs")
def test_results_of_a_pipeline_that_is_defined_no_more_are_shown() -> None:
    registered._registered.clear()
    assert len(results_frame("score")) == 2


@pytest.mark.usefixtures("memory_workspace")
def test_results_of_a_pipeline_that_never_was_are_an_error() -> None:
    with pytest.raises(
        PipelineError, match=r"no pipeline 'scroe', neither registered nor in this ledger\. "
    ):
        results_frame("scroe")


@pytest.mark.usefixtures("memory_workspace")
@pytest.mark.parametrize("name", ["input_path", "INPUT_PATH", "status", "rowid", 'a "b"'])
def test_result_may_have_a_column_named_as_one_of_ours(name: str) -> None:
    pipeline("named")(lambda text, **_params: [{name: text.upper()}])
    register_jobs(IDS, "named", name="matches", limit=2)
    run_jobs("named", executor="inline", progress=False)
    frame = results_frame("named")
    assert frame[name].tolist() == ["GOOD 1", "BAD 1"]
    assert ("input_path" in frame.columns) == (name != "INPUT_PATH")


def test_types_of_results_come_back(memory_workspace: Workspace) -> None:
    noon = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001 - one without a zone is the case

    @pipeline("typed")
    def typed(_text: str, **_params: object) -> dict[str, object]:
        return {
            "naive": noon,
            "aware": noon.replace(tzinfo=dt.timezone(dt.timedelta(hours=9))),
            "lasted": dt.timedelta(hours=36),
            "flag": True,
            "whole": 2**60,
            "huge": {"n": 2**70},
            "day": noon.date(),
        }

    register_jobs(IDS, "typed", name="matches", limit=1)
    run_jobs("typed", executor="inline", progress=False, workspace=memory_workspace)
    row = results_frame("typed").iloc[0]
    assert row.naive == pd.Timestamp("2024-05-01 12:00"), "no zone is added to a time that has none"
    assert row.aware == pd.Timestamp("2024-05-01 03:00", tz="UTC")
    assert row.lasted == pd.Timedelta("36h")
    assert (row.flag, row.whole, row.day) == (True, 2**60, noon.date())
    assert row.huge == f'{{"n": {2**70}}}'
    assert types(results_frame("typed"))["lasted"] == "timedelta64[us]"


@pytest.mark.usefixtures("memory_workspace", "either_order")
def test_jobs_of_one_path_share_a_category_and_unused_ones_are_left_out() -> None:
    pipeline("p")(lambda text, x: [{"x": x}] * x)
    frame = pd.DataFrame({"id": ["b", "a", "b", "none"], "x": [1, 2, 3, 0]})
    register_jobs(frame, "p", name="ids")
    run_jobs("p", executor="inline", progress=False)
    found = results_frame("p")
    assert found.input_path.tolist() == ["b", "a", "a", "b", "b", "b"]
    assert found.input_path.cat.categories.tolist() == ["b", "a"]
    assert found.job_id.cat.categories.tolist() == found.job_id.unique().tolist()
    assert found.job_id.nunique() == 3
    assert found.merge(jobs_frame(), on="job_id").x.tolist() == found.x.tolist()
    assert results_frame("p", limit=2).input_path.tolist() == ["b", "a"]


@pytest.mark.usefixtures("either_order")
def test_rows_that_belong_to_no_job_are_left_out(memory_workspace: Workspace) -> None:
    pipeline("p")(lambda text: {"x": text})
    register_jobs(pd.DataFrame({"id": ["a", "b"]}), "p", name="ids")
    run_jobs("p", executor="inline", progress=False)
    with memory_workspace.database.transaction() as connection:
        connection.execute("CREATE TEMP TABLE made AS SELECT * FROM results.p ORDER BY x")
        connection.execute("DELETE FROM results.p")
        connection.execute(
            "INSERT INTO results.p (job_id, x) VALUES (uuid(), 'nobody'), (uuid(), 'nobody')"
        )
        connection.execute("INSERT INTO results.p SELECT * FROM made")
    assert results_frame("p").x.tolist() == ["a", "b"]
    assert results_frame("p").input_path.tolist() == ["a", "b"]
    assert results_frame("p", limit=3).x.tolist() == ["a", "b"]
    assert results_frame("p", limit=1).x.tolist() == ["a"]


@pytest.fixture
def scattered(memory_workspace: Workspace) -> Workspace:
    """Three rows of each of three jobs, stored as c0, b0, c1, b1, c2, b2, a0, a1, a2."""
    pipeline("p")(lambda text: [{"x": text + str(number)} for number in range(3)])
    register_jobs(pd.DataFrame({"id": ["a", "b", "c"]}), "p", name="ids")
    run_jobs("p", executor="inline", progress=False)
    order = "left(x, 1) = 'a', right(x, 1), x DESC"
    with memory_workspace.database.transaction() as connection:
        connection.execute(f"CREATE TEMP TABLE made AS SELECT * FROM results.p ORDER BY {order}")
        connection.execute("DELETE FROM results.p")
        connection.execute("INSERT INTO results.p SELECT * FROM made")
    return memory_workspace


@pytest.mark.usefixtures("scattered")
def test_rows_come_in_the_order_of_registering_however_they_are_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = results_frame("p")
    assert found.x.tolist() == ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]
    assert found.input_path.tolist() == list("aaabbbccc")


@pytest.mark.parametrize("alike", [None, "completed jobs", "a job that waits again"])
def test_many_rows_have_their_jobs_as_they_are_stored_also_where_ids_have_one_hash(
    scattered: Workspace, monkeypatch: pytest.MonkeyPatch, alike: str | None
) -> None:
    asked, to_arrow = [], result_rows.to_arrow

    def note(cursor: Any, query: str, *parameters: Any) -> Any:
        asked.append(query)
        return to_arrow(cursor, query, *parameters)

    monkeypatch.setattr(result_rows, "to_arrow", note)
    monkeypatch.setattr(result_rows, "MOST_SORTED_ROWS", 0)
    ids = dict(jobs_frame()[["input_path", "job_id"]].itertuples(index=False))
    hashed = "7"
    if alike == "a job that waits again":
        retry_jobs("p", status="completed", job_ids=[ids["b"]])
        hashed = f"CASE WHEN _value = '{ids['b']}' THEN '{ids['a']}' ELSE _value END"
    if alike is not None:
        with scattered.database.transaction() as connection:
            connection.execute(
                f"CREATE MACRO hash(_value) AS md5_number(({hashed})::VARCHAR)::UHUGEINT % 2**63::UHUGEINT"
            )
    expected = ["c0", "b0", "c1", "b1", "c2", "b2", "a0", "a1", "a2"]
    if alike == "a job that waits again":
        expected = ["c0", "c1", "c2", "a0", "a1", "a2"]
    found = results_frame("p")
    assert found.x.tolist() == expected
    assert found.input_path.tolist() == [text[0] for text in expected]
    assert [ids[path] for path in found.input_path] == found.job_id.tolist()
    assert (" JOIN " in asked[-1]) == (alike is not None), "the sooner way, where it is exact"


def test_rows_are_in_the_order_that_they_are_stored_in_also_with_a_limit(
    memory_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB's join would put whole blocks of them in another one."""
    pipeline("p")(lambda text: {"x": text})
    jobs, each = 30_000, 10
    register_jobs(pd.DataFrame({"id": [f"{number:05}" for number in range(jobs)]}), "p", name="ids")
    run_jobs("p", limit=1, executor="inline", progress=False)
    with memory_workspace.database.transaction() as connection:
        connection.execute("UPDATE jobs SET status = 'completed'")
        connection.execute("DELETE FROM results.p")
        connection.execute(
            "INSERT INTO results.p (job_id, x) SELECT job_id, input_path || ' ' || nth"
            f" FROM jobs, range({each}) AS t(nth) ORDER BY position, nth"
        )
    monkeypatch.setattr(result_rows, "MOST_SORTED_ROWS", 0)
    expected = [f"{number:05} {nth}" for number in range(jobs) for nth in range(each)]
    assert results_frame("p").x.tolist() == expected
    assert results_frame("p", limit=150_000).x.tolist() == expected[:150_000]


@pytest.mark.usefixtures("memory_workspace", "either_order")
def test_results_may_have_the_names_that_a_query_would_give_its_own_columns() -> None:
    names = ["number", "job_number", "position", "rowid", "jobs", "found"]
    pipeline("p")(lambda text: [dict.fromkeys(names, f"{text}{row}") for row in range(2)])
    register_jobs(pd.DataFrame({"id": ["a", "b"]}), "p", name="ids")
    run_jobs("p", executor="inline", progress=False)
    for limit in (None, 4):
        frame = results_frame("p", limit=limit)
        assert frame.columns.tolist() == ["job_id", "input_path", *names]
        assert all(frame[name].tolist() == ["a0", "a1", "b0", "b1"] for name in names)


@pytest.mark.usefixtures("memory_workspace")
def test_results_without_columns_have_a_row_for_each() -> None:
    pipeline("p")(lambda text, **_params: [{}, {}] if text.startswith("good") else None)
    register_jobs(IDS, "p", name="ids")
    run_jobs("p", executor="inline", progress=False)
    frame = results_frame("p")
    assert frame.columns.tolist() == ["job_id", "input_path"]
    assert frame.input_path.tolist() == ["good 1"] * 2 + ["good 2"] * 2


# SQL


@pytest.mark.usefixtures("jobs")
def test_sql_reads_jobs_attempts_and_results() -> None:
    query = """
        SELECT jobs.job_id, status, max(finished_at) AS finished_at, count(*) AS tries,
               sum(attempt) AS s, any_value(score) AS score
        FROM jobs JOIN job_attempts USING (job_id, finished_at) LEFT JOIN results.score USING (job_id)
        GROUP BY ALL ORDER BY min(position)
    """
    frame = sql(query)
    assert types(frame) == {
        "index": "int64",
        "job_id": TEXT,
        "status": TEXT,
        "finished_at": TIME,
        "tries": "int64",
        "s": "int64",
        "score": "float64",
    }
    assert frame.status.tolist() == ["completed", "failed", "completed", "failed"]
    assert frame.score.tolist()[::2] == [0.5, 1.5]


@pytest.mark.usefixtures("jobs")
def test_sql_takes_values_by_name_and_by_place() -> None:
    by_name = sql("SELECT input_path FROM jobs WHERE status = $status", {"status": "pending"})
    assert by_name.input_path.tolist() == ["waits"]
    injection = "x' OR '1' = '1"
    assert len(sql("SELECT input_path FROM jobs WHERE input_path = ?", [injection])) == 0
    assert sql("SELECT ? + ? AS x", (1, 2)).x.tolist() == [3]
    assert sql("SELECT 1 AS x", {}).x.tolist() == [1]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    "query",
    [
        "FROM jobs",
        "DESCRIBE jobs",
        "SHOW TABLES",
        "VALUES (1)",
        "EXPLAIN SELECT 1",
        "SELECT 1;",
        "-- a\nSELECT 1",
    ],
)
def test_statement_that_reads_is_allowed(query: str) -> None:
    assert isinstance(sql(query), pd.DataFrame)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM jobs",
        "UPDATE jobs SET status = 'pending'",
        "INSERT INTO jobs SELECT * FROM jobs",
        "INSERT INTO jobs SELECT * FROM jobs RETURNING *",
        "COPY jobs TO 'jobs.csv'",
        "ATTACH 'other.duckdb'",
        "SET threads = 1",
        "CREATE TABLE x AS SELECT 1",
        "CREATE TEMP TABLE x AS SELECT 1",
        "DROP TABLE jobs",
        "BEGIN",
        "COMMIT",
        "CHECKPOINT",
        "VACUUM",
        "USE memory",
        "EXPORT DATABASE 'x'",
        "LOAD json",
        "PRAGMA enable_profiling",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM jobs",
        "",
        "-- nothing",
    ],
)
def test_statement_that_writes_or_is_not_one_is_refused(jobs: Workspace, query: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        sql(query)
    assert str(caught.value) == (
        "sql() takes one statement that reads, such as SELECT; jobs are changed by register_jobs, run_jobs "
        "and retry_jobs"
    )
    assert len(jobs_frame()) == 5
    assert not list(jobs.directory.glob("*.csv"))


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("query", "params", "message"),
    [
        ("SELCT 1", None, "the query cannot be run: Parser Error: syntax error at or near"),
        (
            "SELECT * FROM jbos",
            None,
            "the query cannot be run: Catalog Error: Table with name jbos does not",
        ),
        ("SELECT nope FROM jobs", None, "the query cannot be run: Binder Error: "),
        ("SELECT 'x'::INTEGER", None, "the query cannot be run: Conversion Error: "),
        ("SELECT $x", None, "the query cannot be run: "),
        ("SELECT $x", {"y": 1}, "the query cannot be run: "),
        ("SELECT ?, ?", [1], "the query cannot be run: "),
        ("EXPLAIN ANALYZE DELETE FROM jobs", None, "the query cannot be run: "),
        ("SELECT * FROM 'nope.csv'", None, "the query cannot be run: "),
        (
            "SELECT * FROM cursor",
            None,
            "the query cannot be run: Catalog Error: Table with name cursor",
        ),
    ],
    ids=str,
)
def test_query_that_cannot_be_run_says_why(query: str, params: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        sql(query, params)
    assert str(caught.value).startswith(message)
    assert caught.value.__cause__ is not None
    assert len(jobs_frame()) == 5, "the ledger can be read as before"
    assert retry_jobs("never_run") == 0, "and written"


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("wrong", [None, 5, b"SELECT 1", ["SELECT 1"]], ids=repr)
def test_query_that_is_no_text_says_what_was_expected(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        sql(wrong)
    assert str(caught.value) == (
        f"query={wrong!r}; expected SQL as text, such as 'SELECT * FROM jobs LIMIT 5'"
    )


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("ask", "name"),
    [
        pytest.param(lambda: sql("SELECT '\udcff'"), "query", id="query"),
        pytest.param(lambda: sql("SELECT ?", ["\udcff"]), "params[0]", id="listed param"),
        pytest.param(
            lambda: sql("SELECT $x", {"x": ["\udcff"]}), "params['x'][0]", id="nested param"
        ),
        pytest.param(lambda: jobs_frame("\udcff"), "pipeline_id", id="pipeline"),
        pytest.param(lambda: attempts_frame(source="\udcff"), "source", id="source"),
        pytest.param(lambda: retry_jobs(source="\udcff"), "source", id="retry"),
        pytest.param(lambda: run_jobs(source="\udcff"), "source", id="run"),
    ],
)
def test_text_that_is_not_valid_unicode_is_an_invalid_argument(
    ask: Callable[[], object], name: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ask()
    assert str(caught.value).startswith(f"{name}=")
    assert " is not valid Unicode text; expected " in str(caught.value)


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("wrong", [5, "x", b"x", {1, 2}], ids=repr)
def test_params_that_are_neither_named_nor_listed_say_what_was_expected(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        sql("SELECT ?", wrong)
    assert str(caught.value) == (
        f"params={wrong!r}; expected a dict for $name, a list for ?, or None"
    )


@pytest.mark.usefixtures("jobs")
def test_sql_may_select_two_columns_of_one_name() -> None:
    frame = sql("SELECT 1 AS a, 2 AS a, NULL::BIGINT AS b, NULL AS c")
    assert frame.columns.tolist() == ["a", "a", "b", "c"]
    assert frame.iloc[0].tolist()[:2] == [1, 2]


@pytest.mark.usefixtures("jobs")
def test_sql_shows_numbers_times_and_intervals_as_pandas_has_them() -> None:
    frame = sql(
        "SELECT 1::HUGEINT AS small, 170141183460469231731687303715884105727::HUGEINT AS large,"
        " now() AS aware, now()::TIMESTAMP AS other, INTERVAL 36 HOURS AS lasted,"
        " INTERVAL 1 MONTH AS month, uuid() AS id, 'a'::ENUM('a', 'b') AS kind, true AS flag"
        " FROM range(2)"
    )
    found = types(frame)
    assert (found["small"], found["aware"], found["lasted"]) == ("int64", TIME, "timedelta64[us]")
    assert (found["other"], found["id"], found["kind"]) == ("datetime64[us]", TEXT, TEXT)
    assert int(frame.large[0]) == 2**127 - 1


def test_frames_act_on_the_workspace_they_are_given(
    jobs: Workspace, memory_workspace: Workspace
) -> None:
    activate(jobs)
    query = "SELECT count(*) AS n FROM jobs"
    assert (len(jobs_frame()), sql(query).n[0]) == (5, 5)
    assert len(jobs_frame(workspace=memory_workspace)) == 0
    assert len(attempts_frame(workspace=memory_workspace)) == 0
    assert len(summary_frame(workspace=memory_workspace)) == 0
    assert len(results_frame("score", workspace=memory_workspace)) == 0
    assert sql(query, workspace=memory_workspace).n[0] == 0
