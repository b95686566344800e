"""Every method that writes, three ways: alone, inside a transaction, and inside one that fails.

The proof is what plain DuckDB finds on the disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from foregsyte_kaggle import ledger
from foregsyte_kaggle.ledger import Selection
from foregsyte_kaggle.recording import record_group
from foregsyte_kaggle.registration import register_jobs
from foregsyte_kaggle.registry import pipeline
from foregsyte_kaggle.tries import Ended
from foregsyte_kaggle.worker import Outcome
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.integration

Persisted = Callable[[Path | None, str], list[tuple[Any, ...]]]

RUN = uuid.UUID(int=1)
JOBS = """
    INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at, run_id, position,
                      attempts)
    VALUES (uuid(), 'pending', 'p', 'a', now()::TIMESTAMP, now()::TIMESTAMP, NULL, 1, 0),
           (uuid(), 'running', 'p', 'b', now()::TIMESTAMP, now()::TIMESTAMP, uuid_of_run(), 2, 1),
           (uuid(), 'failed', 'p', 'c', now()::TIMESTAMP, now()::TIMESTAMP, uuid_of_run(), 3, 1),
           (uuid(), 'pending', 'p', 'by hand', now()::TIMESTAMP, now()::TIMESTAMP, NULL, NULL, 0);
    INSERT INTO runs (run_id, executor, workers, started_at)
    VALUES (uuid_of_run(), 'inline', 1, now()::TIMESTAMP);
""".replace("uuid_of_run()", f"'{RUN}'::UUID")
STATE = """
    SELECT (SELECT list((status::VARCHAR, attempts, interruptions, progress, position)
                        ORDER BY input_path) FROM jobs),
           (SELECT list((run_id, ended_by) ORDER BY run_id) FROM runs),
           (SELECT count(*) FROM job_attempts), (SELECT count(*) FROM sources),
           (SELECT count(*) FROM ledger_info)
"""


def record_the_running_job(workspace: Workspace) -> None:
    outcome = Outcome(2, "completed", 1_000.0, 0.5, None)
    record_group(workspace.database, RUN, [Ended("p", NOBODY, 1, True, outcome)], pytest.fail)


NOBODY = str(uuid.UUID(int=0))
WRITES: dict[str, Callable[[Workspace], object]] = {
    "begin_session": lambda w: ledger.begin_session(w.database),
    "settle": lambda w: ledger.settle(w.database, alive=[]),
    "begin_run": lambda w: ledger.begin_run(w.database, uuid.uuid4(), "p", "inline", 1, alive=[]),
    "end_run": lambda w: ledger.end_run(w.database, RUN, "finished", 1, 0),
    "claim": lambda w: ledger.claim(
        w.database, RUN, Selection("p"), code_version=None, first=1, last=9, limit=9
    ),
    "set_progress": lambda w: ledger.set_progress(w.database, RUN, {2: 0.5}),
    "recover": lambda w: ledger.recover(w.database, alive=[]),
    "retry_jobs": lambda w: ledger.retry_jobs(workspace=w),
    "record_group": record_the_running_job,
    "register_jobs": lambda w: register_jobs(pa.table({"id": ["x"]}), "file_info", name="n"),
}


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    with workspace.database.transaction() as connection:
        connection.execute(JOBS)
    return workspace


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_method_is_durable_when_it_returns(
    filled: Workspace, persisted: Persisted, write: Callable[[Workspace], object]
) -> None:
    before = persisted(filled.ledger_path, STATE)
    write(filled)
    after = persisted(filled.ledger_path, STATE)
    assert after != before
    filled.close()
    with duckdb.connect(str(filled.ledger_path)) as connection:
        assert connection.execute(STATE).fetchall() == after


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_method_inside_a_transaction_waits_for_its_end(
    filled: Workspace, persisted: Persisted, write: Callable[[Workspace], object]
) -> None:
    before = persisted(filled.ledger_path, STATE)
    with filled.database.transaction():
        write(filled)
        assert persisted(filled.ledger_path, STATE) == before
    after = persisted(filled.ledger_path, STATE)
    assert after != before
    filled.close()
    with duckdb.connect(str(filled.ledger_path)) as connection:
        assert connection.execute(STATE).fetchall() == after


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_method_inside_a_transaction_that_fails_leaves_nothing(
    filled: Workspace, persisted: Persisted, write: Callable[[Workspace], object]
) -> None:
    before = persisted(filled.ledger_path, STATE)
    with pytest.raises(ZeroDivisionError), filled.database.transaction():
        write(filled)
        raise ZeroDivisionError
    filled.close()
    with duckdb.connect(str(filled.ledger_path)) as connection:
        assert connection.execute(STATE).fetchall() == before


def test_one_group_with_new_rows_replaced_rows_and_a_widening_is_on_disk(
    workspace: Workspace, persisted: Persisted
) -> None:
    """DuckDB 1.3 fails at the commit of a transaction that deletes, alters and inserts."""
    pipeline("p")(len)
    register_jobs(pa.table({"id": list("abcd")}), "p", name="n")
    first, second = uuid.uuid4(), uuid.uuid4()
    database, said = workspace.database, list[str]()

    def record(run_id: uuid.UUID, last: int, *returned: Any) -> None:
        jobs = ledger.claim(
            database, run_id, Selection("p"), code_version=None, first=1, last=last, limit=9
        )
        group = [
            Ended(
                "p",
                job_id,
                attempt,
                True,
                Outcome(position, "completed", 1_000.0, 0.5, result),
            )
            for position, job_id, attempt, result in zip(
                jobs.positions, jobs.job_ids, jobs.attempts, returned, strict=True
            )
        ]
        written = record_group(database, run_id, group, said.append)
        assert [ended.outcome.outcome for ended in written] == ["completed"] * len(returned)

    record(first, 2, [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}], [{"x": 3, "y": "c"}])
    ledger.retry_jobs(status="completed", workspace=workspace)
    record(
        second,
        4,
        [{"x": 0.5, "y": "d"}],
        [],
        [{"x": 7, "y": 8, "z": [9]}],
        pa.table({"x": pa.array([10, 11], pa.int8())}),
    )
    rows = "SELECT x, y::VARCHAR, z FROM results.p ORDER BY x"
    columns = (
        "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'results'"
        " ORDER BY column_index"
    )
    expected = [
        (0.5, '"d"', None),
        (7.0, "8", [9]),
        (10.0, None, None),
        (11.0, None, None),
    ]
    kinds = [("job_id", "UUID"), ("x", "DOUBLE"), ("y", "JSON"), ("z", "BIGINT[]")]
    assert persisted(workspace.ledger_path, rows) == expected
    workspace.close()
    with duckdb.connect(str(workspace.ledger_path)) as connection:
        assert connection.execute(rows).fetchall() == expected
        assert connection.execute(columns).fetchall() == kinds
        assert connection.execute(
            "SELECT status::VARCHAR, attempts FROM jobs ORDER BY position"
        ).fetchall() == [("completed", 2), ("completed", 2), ("completed", 1), ("completed", 1)]
        assert connection.execute("SELECT count(*) FROM job_attempts").fetchall() == [(6,)]
    assert len(said) == 1
