"""What a search found, as bits: they stand for the same jobs as the search itself, wherever their rows lie."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foregsyte_kaggle.database import Database
from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.page import PageQuery
from foregsyte_kaggle.widgets.paging import load_page
from foregsyte_kaggle.widgets.searching import find_jobs
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

#: DuckDB tests so many rows at a time.
VECTOR = 2_048


@pytest.fixture
def database(memory_workspace: Workspace) -> Database:
    return memory_workspace.database


def add(database: Database, paths: str, jobs: int) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at)"
            f" SELECT uuid(), 'pending', 'ocr', '{paths}-' || i, now(), now() FROM range({jobs}) AS t(i)"
        ).fetchall()


def found(database: Database, text: str, *statuses: JobStatus) -> set[str]:
    """Return the paths that the condition finds, which reads no text."""
    with database.reading() as cursor:
        jobs = find_jobs(cursor, JobFilter(search=text, statuses=statuses))
        assert "input_path" not in jobs.where
        rows = cursor.execute(
            f"SELECT input_path FROM jobs WHERE {jobs.where}", jobs.parameters
        ).fetchall()
    assert len(rows) == sum(jobs.counts[status] for status in statuses or JobStatus)
    return {path for (path,) in rows}


def test_bits_stand_for_the_jobs_that_the_search_finds(database: Database) -> None:
    add(database, "clip", 20)
    assert found(database, "P-1") == {f"clip-{i}" for i in (1, *range(10, 20))}
    assert found(database, "zzz") == set()


def test_bits_stand_for_the_same_jobs_where_others_were_deleted(database: Database) -> None:
    add(database, "clip", VECTOR + 10)
    with database.transaction() as connection:
        connection.execute(
            f"DELETE FROM jobs WHERE input_path NOT IN ('clip-7', 'clip-{VECTOR + 7}')"
        ).fetchall()
    assert found(database, "-7") == {"clip-7"}
    assert found(database, "-2") == {f"clip-{VECTOR + 7}"}


def test_a_search_among_jobs_of_one_status_finds_those_and_counts_all(database: Database) -> None:
    add(database, "clip", 12)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET status = 'failed' WHERE input_path IN ('clip-1', 'clip-2')"
        ).fetchall()
    assert found(database, "p-1", JobStatus.failed) == {"clip-1"}
    assert found(database, "p-1", JobStatus.pending) == {"clip-10", "clip-11"}
    assert found(database, "p-1", JobStatus.running) == set()
    with database.reading() as cursor:
        counts = find_jobs(cursor, JobFilter(search="p-1", statuses=(JobStatus.failed,))).counts
    assert (counts[JobStatus.failed], counts[JobStatus.pending]) == (1, 2)


def test_nothing_is_found_in_an_empty_ledger(database: Database) -> None:
    assert found(database, "clip") == set()


def test_search_finds_what_was_added_and_changed_since_it_was_last_asked(
    database: Database,
) -> None:
    add(database, "clip", 3)
    query = PageQuery(search="fresh")
    assert load_page(database, query).matching == 0
    add(database, "fresh", 2)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET error_message = 'not FRESH', status = 'failed' WHERE input_path = 'clip-1'"
        ).fetchall()
    page = load_page(database, query)
    assert {row.input_path for row in page.rows} == {"clip-1", "fresh-0", "fresh-1"}
    assert {status.value: count for status, count in page.counts.items() if count} == {
        "failed": 1,
        "pending": 2,
    }


TEXTS = st.text(st.sampled_from("aAéÉßẞİıſσς%_\\\0 \n"), max_size=5)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=20), TEXTS.filter(bool))
def test_a_search_finds_the_paths_that_hold_its_text_in_lower_case(
    texts: list[str], text: str
) -> None:
    where, parameters = JobFilter(search=text).where()
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE jobs AS SELECT unnest($texts) AS input_path, NULL::VARCHAR AS error_message",
            {"texts": texts},
        )
        found = connection.execute(
            f"SELECT input_path FROM jobs WHERE {where}", parameters
        ).fetchall()
        expected = connection.execute(
            "SELECT input_path FROM jobs WHERE contains(lower(input_path), lower($text))",
            {"text": text},
        ).fetchall()
    assert found == expected
