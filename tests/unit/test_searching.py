"""What a search found, as bits: they stand for the same jobs as the search itself, wherever their rows lie."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foregsyte_kaggle.database import Database
from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets import fetching, sampling, searching
from foregsyte_kaggle.widgets.ordering import KEYS, Bounds, Order
from foregsyte_kaggle.widgets.page import PageQuery
from foregsyte_kaggle.widgets.paging import load_page
from foregsyte_kaggle.widgets.searching import Found, find_jobs
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

#: DuckDB tests so many rows at a time.
VECTOR = 2_048

BY_INPUT = Order(KEYS["input"])


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
        jobs = find_jobs(cursor, JobFilter(search=text, statuses=statuses), BY_INPUT, (0, 20))
        assert "input_path" not in jobs.where
        rows = cursor.execute(
            f"SELECT input_path FROM jobs WHERE {jobs.where}", jobs.parameters
        ).fetchall()
    assert len(rows) == jobs.jobs == sum(jobs.counts[status] for status in statuses or JobStatus)
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
        wanted = JobFilter(search="p-1", statuses=(JobStatus.failed,))
        counts = find_jobs(cursor, wanted, BY_INPUT, (0, 20)).counts
    assert (counts[JobStatus.failed], counts[JobStatus.pending]) == (1, 2)


# --- those among which a part lies ------------------------------------------------------------------


@pytest.fixture
def many(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Give a ledger of 4,000 jobs of a search in 5,000, in no order of paths, a tenth of them failed."""
    monkeypatch.setattr(fetching, "HEAPED_JOBS", 100)
    monkeypatch.setattr(sampling, "SAMPLED", 10)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO jobs (job_id, status, pipeline_id, input_path, position, created_at, updated_at)"
            " SELECT uuid(), if(i % 10 = 7, 'failed', 'pending'), 'ocr',"
            " if(i < 4000, 'clip-', 'other-') || lpad((i * 7919 % 5003)::VARCHAR, 4, '0'), i, now(), now()"
            " FROM range(5000) AS t(i)"
        ).fetchall()
    return database


def found_by_input(
    database: Database, ends: tuple[int, int], order: Order = BY_INPUT, *statuses: JobStatus
) -> tuple[Found, list[str], list[str]]:
    """Return what is found for a part, the paths of these jobs, and those of all that pass, in order."""
    chosen = [status.value for status in statuses or JobStatus]
    with database.reading() as cursor:
        jobs = find_jobs(cursor, JobFilter(search="CLIP", statuses=statuses), order, ends)
        near, passing = (
            cursor.execute(
                f"SELECT input_path FROM jobs WHERE {where} ORDER BY {order.clause()}", values
            ).fetchall()
            for where, values in (
                (jobs.where, jobs.parameters),
                (
                    "input_path LIKE 'clip-%' AND list_contains($chosen, status::VARCHAR)",
                    {"chosen": chosen},
                ),
            )
        )
    assert len(near) == jobs.jobs
    return jobs, [path for (path,) in near], [path for (path,) in passing]


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("statuses", [(), (JobStatus.pending,)], ids=["all", "pending"])
@pytest.mark.parametrize("first", [1_800, 3_580])
def test_a_part_deep_inside_a_search_by_paths_is_found_among_few_jobs(
    many: Database, descending: bool, statuses: tuple[JobStatus, ...], first: int
) -> None:
    order = Order(KEYS["input"], descending)
    jobs, near, passing = found_by_input(many, (first, first + 30), order, *statuses)
    assert 20 <= jobs.jobs < 2_000
    assert near == passing[jobs.ahead : jobs.ahead + jobs.jobs]
    assert jobs.ahead <= first
    assert min(first + 30, len(passing)) <= jobs.ahead + jobs.jobs
    assert {status.value: count for status, count in jobs.counts.items() if count} == {
        "pending": 3_600,
        "failed": 400,
    }


@pytest.mark.parametrize(
    ("ends", "order"),
    [
        ((100, 120), BY_INPUT),
        ((4_500, 4_520), BY_INPUT),
        ((10**30, 10**30 + 20), BY_INPUT),
        ((1_800, 1_820), Order(KEYS["attempts"])),
    ],
    ids=["near the beginning", "behind the end", "far behind it", "in another order"],
)
def test_other_parts_are_found_among_all_jobs(
    many: Database, ends: tuple[int, int], order: Order
) -> None:
    jobs, near, passing = found_by_input(many, ends, order)
    assert (jobs.jobs, jobs.ahead) == (4_000, 0)
    assert near == passing


@pytest.mark.parametrize("number", [200, 201, 225, 10**30])
def test_page_behind_the_end_of_a_search_by_paths_is_the_last(many: Database, number: int) -> None:
    page = load_page(many, PageQuery(search="clip", sort="input", number=number))
    _, _, passing = found_by_input(many, (0, 20))
    assert page.query.number == 200
    assert [row.input_path for row in page.rows] == passing[3_980:]


@pytest.mark.parametrize(
    ("low", "high"),
    [(1_810, 2_000), (1_700, 1_810), (1_900, 2_000), (1_600, 1_700)],
    ids=["its beginning", "its end", "it, being behind", "it, being before"],
)
def test_where_bounds_miss_a_part_it_is_found_among_all_jobs(
    many: Database, monkeypatch: pytest.MonkeyPatch, low: int, high: int
) -> None:
    _, _, passing = found_by_input(many, (0, 20))
    wrong = Bounds(BY_INPUT, (passing[low], 0), (passing[high], 0))
    monkeypatch.setattr(searching, "guess_ahead", lambda *_: wrong)
    jobs, near, _ = found_by_input(many, (1_800, 1_820))
    assert (jobs.jobs, jobs.ahead) == (4_000, 0)
    assert near == passing
    page = load_page(many, PageQuery(search="clip", sort="input", number=91))
    assert [row.input_path for row in page.rows] == passing[1_800:1_820]


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
