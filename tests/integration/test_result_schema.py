"""Pipelines that declare their results: the table, the frame and the jobs that misfit, over whole runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import PipelineError
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.integration

Persisted = Callable[[Path | None, str], list[tuple[Any, ...]]]
SCHEMA = {
    "name": str,
    "size": "UINTEGER",
    "score": float,
    "box": "FLOAT[]",
    "price": "DECIMAL(10,2)",
    "seen": dt.datetime,
    "meta": dict,
}
COLUMNS = "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'results' ORDER BY column_index"


@pytest.fixture(params=["inline", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(executor: str = "inline", pipeline_id: str | None = "p") -> fk.Run:
    return fk.run_jobs(pipeline_id, executor=executor, workers=2, progress=False)


def register(count: int = 6, pipeline_id: str = "p") -> None:
    folder = Path("inputs")
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text("x" * number)
    fk.register_jobs(folder, pipeline_id)


def test_only_jobs_that_misfit_fail_and_the_others_are_converted(
    workspace: Workspace, executor: str, persisted: Persisted, capsys: pytest.CaptureFixture[str]
) -> None:
    @fk.pipeline("p", schema=SCHEMA)
    def measure(path: Path) -> Any:
        number = int(path.stem)
        if number == 1:
            return [{"size": 1}, {"size": -1}]
        if number == 2:
            return {"size": 2, "colour": "red"}
        if number == 3:
            return pd.DataFrame({"size": [3.0], "score": [1]})
        if number == 4:
            return pa.table({"score": pa.array(["high"])})
        return {"name": path.name, "size": number, "score": number, "box": (0, 1), "price": 0.1}

    register()
    made = run(executor)
    assert (made.completed, made.failed) == (3, 3)
    assert "JSON from now on" not in capsys.readouterr().err
    failed = fk.jobs_frame(status="failed")
    assert set(failed.error_type) == {"ResultError"}
    assert dict(zip(failed.input_path, failed.error_message, strict=True)) == {
        "1.txt": "the column 'size' is UINTEGER by the pipeline's schema, and -1 of type int does not fit",
        "2.txt": (
            "the column 'colour' is not in the pipeline's schema, which has 'name', 'size', 'score', 'box', "
            "'price', 'seen', 'meta'; declare it there, or return the others only"
        ),
        "4.txt": "the column 'score' is DOUBLE by the pipeline's schema, and 'high' of type str does not fit",
    }
    assert persisted(workspace.ledger_path, COLUMNS) == [
        ("job_id", "UUID"),
        ("name", "VARCHAR"),
        ("size", "UINTEGER"),
        ("score", "DOUBLE"),
        ("box", "FLOAT[]"),
        ("price", "DECIMAL(10,2)"),
        ("seen", "TIMESTAMP"),
        ("meta", "JSON"),
    ]
    assert persisted(
        workspace.ledger_path,
        "SELECT size, score, price::VARCHAR, box FROM results.p ORDER BY size",
    ) == [
        (0, 0.0, "0.10", [0.0, 1.0]),
        (3, 1.0, None, None),
        (5, 5.0, "0.10", [0.0, 1.0]),
    ]
    assert fk.results_frame("p").input_path.tolist() == ["0.txt", "3.txt", "5.txt"]


def test_frame_has_its_columns_before_any_run_and_after_one_without_rows(
    workspace: Workspace,
) -> None:
    @fk.pipeline("p", schema=SCHEMA)
    def find(path: Path) -> list[dict[str, Any]]:
        return []

    before = fk.results_frame("p")
    assert list(before) == ["job_id", "input_path", *SCHEMA]
    assert before.empty
    run()  # nothing is registered
    register(2)
    pd.testing.assert_frame_equal(fk.results_frame("p"), before)
    made = run()
    assert made.completed == 2
    pd.testing.assert_frame_equal(fk.results_frame("p"), before)

    @fk.pipeline("p", schema=SCHEMA)
    def fill(path: Path) -> dict[str, Any]:
        row = {"name": "a", "size": 1, "score": 1, "box": [], "price": 1, "meta": {}}
        return {**row, "seen": dt.datetime(2024, 5, 1)}  # noqa: DTZ001 - one without a zone

    assert fk.retry_jobs(status="completed") == 2
    run()
    filled = fk.results_frame("p")
    assert len(filled) == 2
    assert filled.dtypes.astype(str).to_dict() == before.dtypes.astype(str).to_dict()


def test_frame_of_a_schema_with_an_input_path_has_it_once(workspace: Workspace) -> None:
    fk.pipeline("p", schema={"Input_Path": str})(len)
    assert list(fk.results_frame("p")) == ["job_id", "Input_Path"]


def test_frame_without_schema_or_rows_has_job_and_input(workspace: Workspace) -> None:
    fk.pipeline("p")(len)
    frame = fk.results_frame("p")
    assert (list(frame), len(frame)) == (["job_id", "input_path"], 0)


def test_unknown_type_stops_the_run_before_a_job_is_claimed(
    workspace: Workspace, persisted: Persisted
) -> None:
    fk.pipeline("p", schema={"size": int, "score": "DUBLE"})(len)
    register(2)
    with pytest.raises(PipelineError, match="gives the column 'score' the type 'DUBLE'"):
        run()
    with pytest.raises(PipelineError, match="gives the column 'score' the type 'DUBLE'"):
        fk.results_frame("p")
    state = "SELECT (SELECT count(*) FROM runs), (SELECT list(DISTINCT status::VARCHAR) FROM jobs)"
    assert persisted(workspace.ledger_path, state) == [(0, ["pending"])]
    assert persisted(workspace.ledger_path, COLUMNS) == []


def test_stored_results_take_a_schema_that_holds_them_and_refuse_another(
    workspace: Workspace, persisted: Persisted
) -> None:
    def measure(path: Path) -> dict[str, Any]:
        return {"size": len(path.read_text()), "name": path.name}

    fk.pipeline("p")(measure)
    register(3)
    run()
    table = "SELECT * FROM results.p ORDER BY size"
    stored = persisted(workspace.ledger_path, table)

    fk.pipeline("p", schema={"name": int, "size": float})(measure)
    fk.retry_jobs(status="completed")
    with pytest.raises(PipelineError) as caught:
        run()
    assert str(caught.value).startswith(
        "the stored results of 'p' have the column 'name' as VARCHAR, its schema as BIGINT, and what job "
    )
    assert "'0.txt' of type str does not fit" in str(caught.value)
    assert persisted(workspace.ledger_path, table) == stored
    assert fk.jobs_frame().status.tolist() == ["pending"] * 3

    fk.pipeline("p", schema={"size": float, "name": str, "more": "BIGINT[]"})(measure)
    assert run().completed == 3
    assert persisted(workspace.ledger_path, COLUMNS) == [
        ("job_id", "UUID"),
        ("size", "DOUBLE"),
        ("name", "VARCHAR"),
        ("more", "BIGINT[]"),
    ]
    workspace.close()
    with duckdb.connect(str(workspace.ledger_path)) as connection:
        found = connection.execute(table).fetchall()
    assert found == [(job, float(size), name, None) for job, size, name in stored]


def test_job_that_misfits_is_completed_by_a_retry_under_a_wider_schema(
    workspace: Workspace,
) -> None:
    def count(path: Path) -> dict[str, Any]:
        return {"n": 300 * int(path.stem)}

    fk.pipeline("p", schema={"n": "UTINYINT"})(count)
    register(3)
    made = run()
    assert (made.completed, made.failed) == (1, 2)
    fk.pipeline("p", schema={"n": "INTEGER"})(count)
    fk.retry_jobs()
    assert run().completed == 2
    assert fk.results_frame("p").n.tolist() == [0, 300, 600]


def test_rows_of_a_retried_job_that_misfits_are_gone(workspace: Workspace) -> None:
    fk.pipeline("p", schema={"n": int})(lambda path: {"n": int(path.stem)})
    register(2)
    run()
    fk.pipeline("p", schema={"n": int})(lambda path: {"n": int(path.stem) or "none"})
    fk.retry_jobs(status="completed")
    made = run()
    assert (made.completed, made.failed) == (1, 1)
    assert fk.sql("SELECT n FROM results.p").n.tolist() == [1]


def test_run_of_all_pipelines_keeps_each_one_s_schema(workspace: Workspace) -> None:
    fk.pipeline("p", schema={"n": float})(lambda path: {"n": int(path.stem)})
    fk.pipeline("q")(lambda path: {"n": int(path.stem)})
    register(2)
    register(2, "q")
    run(pipeline_id=None)
    assert (fk.results_frame("p").n.dtype, fk.results_frame("q").n.dtype) == ("float64", "int64")
