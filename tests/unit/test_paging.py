"""Pages of the job table: the rows and numbers of each filter and sort are those of plain SQL on the same ledger."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foregsyte_kaggle import Job, JobStatus, SessionLocal
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.widgets import fetching, ordering, sampling
from foregsyte_kaggle.widgets.choices import Choices, load_choices
from foregsyte_kaggle.widgets.page import SORTS, JobPage, PageQuery
from foregsyte_kaggle.widgets.paging import ERROR_CHARACTERS, load_page
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

LONG_AGO = datetime(2026, 1, 1)  # noqa: DTZ001 - the ledger's times are UTC without a zone

FILTERS = [
    pytest.param({}, id="all"),
    *(pytest.param({"statuses": (one,)}, id=one.value) for one in JobStatus),
    pytest.param({"statuses": (JobStatus.pending, JobStatus.failed)}, id="two statuses"),
    pytest.param({"pipeline_id": "ocr"}, id="pipeline"),
    pytest.param({"source": "night"}, id="source"),
    pytest.param({"search": "CLIP-02"}, id="search in paths"),
    pytest.param({"search": "Frame 4"}, id="search in errors"),
    pytest.param(
        {
            "statuses": (JobStatus.failed,),
            "pipeline_id": "ocr",
            "source": "night",
            "search": "bad",
        },
        id="everything",
    ),
    pytest.param({"pipeline_id": "' OR true --"}, id="quotes"),
]

#: Each sort once more, in plain SQL.
PLAIN_KEYS = {
    "registered": "position",
    "status": "list_position(['pending', 'running', 'completed', 'failed'], status::VARCHAR)",
    "input": "input_path",
    "pipeline": "pipeline_id",
    "attempts": "attempts",
    "took": "CASE WHEN status = 'running' THEN $now - started_at ELSE finished_at - started_at END",
    "changed": "updated_at",
}


@pytest.fixture
def database(memory_workspace: Workspace) -> Database:
    return memory_workspace.database


@pytest.fixture(
    params=[
        "sorted as a whole",
        "between bounds",
        pytest.param("between wrong bounds", marks=pytest.mark.slow),
    ]
)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Find pages of a few jobs in each of the ways that those of a million are found."""
    if request.param != "sorted as a whole":
        monkeypatch.setattr(fetching, "SORTED_JOBS", 0)
        monkeypatch.setattr(fetching, "HEAPED_JOBS", 0)
        monkeypatch.setattr(sampling, "SAMPLED", 2)
    if request.param == "between wrong bounds":
        monkeypatch.setattr(fetching, "SPREADS", (-2.0, 0.0, math.inf))
    return str(request.param)


def seed(database: Database, jobs: int = 57) -> None:
    """Add jobs of all statuses, of two pipelines and sources; the last 5 made by hand, so without a position."""
    with database.transaction() as connection:
        connection.execute(
            """
            INSERT INTO jobs (job_id, status, pipeline_id, source, input_path, attempts, position, created_at,
                              updated_at, started_at, finished_at, error_type, error_message)
            SELECT md5(i::VARCHAR)::UUID,
                   (['completed', 'failed', 'completed', 'pending', 'running'])[i % 5 + 1]::job_status_enum,
                   if(i % 3 = 0, 'ocr', 'video_info'), (['night', 'day', NULL])[i % 4 + 1],
                   'clip-' || lpad((i * 31 % 64)::VARCHAR, 3, '0') || '.mp4', i % 4,
                   if(i > $jobs - 5, NULL, (i * 37 % 7919) * 3),
                   TIMESTAMP '2026-01-01' + to_seconds(i // 2), TIMESTAMP '2026-01-02' + to_seconds(i * 7 % 13),
                   if(i % 5 = 3, NULL, TIMESTAMP '2026-01-01' + to_seconds(i)),
                   if(i % 5 > 2, NULL, TIMESTAMP '2026-01-01' + to_milliseconds(i * 1000 + 1500 * (i % 6))),
                   if(i % 5 = 1, 'ValueError', NULL), if(i % 5 = 1, 'bad frame ' || i, NULL)
            FROM generate_series(1, $jobs) AS numbers(i)
            """,
            {"jobs": jobs},
        ).fetchall()


def plain_ids(
    database: Database,
    *,
    statuses: tuple[JobStatus, ...] = (),
    pipeline_id: str | None = None,
    source: str | None = None,
    search: str = "",
    sort: str = "registered",
    descending: bool = False,
) -> list[str]:
    """Return the ids that plain SQL gives for a filter and a sort, in order."""
    key = f"{PLAIN_KEYS[sort]} {'DESC' if descending else 'ASC'}"
    values = {
        "statuses": [one.value for one in statuses or JobStatus],
        "pipeline_id": pipeline_id,
        "source": source,
        "search": f"%{search}%",
        **({"now": datetime.now(UTC).replace(tzinfo=None)} if "$now" in key else {}),
    }
    with database.reading() as cursor:
        rows = cursor.execute(
            "SELECT job_id::VARCHAR FROM jobs WHERE status::VARCHAR IN (SELECT unnest($statuses))"
            " AND ($pipeline_id IS NULL OR pipeline_id = $pipeline_id)"
            " AND ($source IS NULL OR source = $source)"
            " AND (input_path ILIKE $search OR coalesce(error_message, '') ILIKE $search)"
            f" ORDER BY {key} NULLS LAST, position NULLS LAST, created_at, job_id",
            values,
        ).fetchall()
    return [job_id for (job_id,) in rows]


def all_pages(database: Database, **asked: Any) -> Iterator[JobPage]:
    page = load_page(database, PageQuery(**asked))
    yield page
    for number in range(2, page.pages + 1):
        yield load_page(database, PageQuery(number=number, **asked))


def shown(page: JobPage) -> list[str]:
    return [row.job_id for row in page.rows]


# --- rows and numbers ------------------------------------------------------------------------------


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("wanted", FILTERS)
def test_pages_hold_what_plain_sql_finds(database: Database, wanted: dict[str, Any]) -> None:
    seed(database)
    expected = plain_ids(database, **wanted)
    for size in (4, 100):
        found: list[str] = []
        for page in all_pages(database, page_size=size, **wanted):
            assert page.matching == len(expected)
            assert page.first == (len(found) + 1 if expected else 0)
            found += shown(page)
            assert page.last == len(found)
        assert found == expected


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("sort", SORTS)
def test_pages_are_in_the_order_of_plain_sql(
    database: Database, sort: str, descending: bool
) -> None:
    seed(database)
    asked: list[dict[str, Any]] = [
        {},
        {"search": "bad"},
        {"search": "clip", "statuses": (JobStatus.completed, JobStatus.failed)},
        {"statuses": (JobStatus.running, JobStatus.completed), "source": "day"},
    ]
    for wanted in asked:
        ordered = {"sort": sort, "descending": descending, **wanted}
        expected = plain_ids(database, **ordered)
        assert len(expected) > 5, "else there is nothing to see"
        pages = all_pages(database, page_size=5, **ordered)
        assert [job_id for page in pages for job_id in shown(page)] == expected


@pytest.mark.parametrize("wanted", FILTERS)
def test_counts_are_of_all_statuses_under_the_other_filters(
    database: Database, wanted: dict[str, Any]
) -> None:
    seed(database)
    page = load_page(database, PageQuery(**wanted))
    others = {name: value for name, value in wanted.items() if name != "statuses"}
    assert page.counts == {
        status: len(plain_ids(database, **others, statuses=(status,))) for status in JobStatus
    }
    assert page.total == len(plain_ids(database, **others))


def made_up_jobs(count: int, chance: Random) -> list[list[Any]]:
    """Return jobs of which many are equal in a column, or have nothing there."""
    seconds = [LONG_AGO + timedelta(seconds=number) for number in range(4)]
    return [
        [
            chance.choice(list(JobStatus)).value,
            chance.choice(["a", "b", "ab\0", ""]),
            chance.choice(["a", "B", "é", "😀"]),
            chance.randrange(3),
            chance.choice([None, chance.randrange(40)]),
            *chance.choices(seconds, k=2),
            *chance.choices([None, *seconds], k=2),
        ]
        for _ in range(count)
    ]


@pytest.mark.slow
@given(
    count=st.integers(0, 40),
    chance=st.randoms(use_true_random=True),
    sort=st.sampled_from([*SORTS, "input", "input"]),
    descending=st.booleans(),
    size=st.integers(1, 9),
    statuses=st.sampled_from([(), (), (JobStatus.running, JobStatus.failed)]),
    search=st.sampled_from(["", "", "a"]),
    pipeline_id=st.sampled_from([None, None, "a"]),
    sorted_jobs=st.sampled_from([0, 0, 10]),
    heaped_jobs=st.sampled_from([0, 0, 10]),
    sampled=st.integers(1, 4),
    spreads=st.lists(st.floats(-3, 3), min_size=1, max_size=3),
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pages_are_those_of_plain_sql_whatever_the_sample_says(
    database: Database,
    count: int,
    chance: Random,
    sort: str,
    descending: bool,
    size: int,
    statuses: tuple[JobStatus, ...],
    search: str,
    pipeline_id: str | None,
    sorted_jobs: int,
    heaped_jobs: int,
    sampled: int,
    spreads: list[float],
) -> None:
    wanted = {
        "sort": sort,
        "descending": descending,
        "statuses": statuses,
        "search": search,
        "pipeline_id": pipeline_id,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "SORTED_JOBS", sorted_jobs)
        patch.setattr(fetching, "HEAPED_JOBS", heaped_jobs)
        patch.setattr(sampling, "SAMPLED", sampled)
        patch.setattr(fetching, "SPREADS", (*spreads, math.inf))
        with database.transaction() as connection:
            connection.execute("DELETE FROM jobs").fetchall()
            for job in made_up_jobs(count, chance):
                connection.execute(
                    "INSERT INTO jobs (job_id, status, input_path, pipeline_id, attempts, position,"
                    " created_at, updated_at, started_at, finished_at)"
                    " VALUES (uuid(), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    job,
                ).fetchall()
        pages = list(all_pages(database, page_size=size, **wanted))
    assert [job_id for page in pages for job_id in shown(page)] == plain_ids(database, **wanted)


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("sort", SORTS)
def test_bounds_around_a_part_deep_inside_leave_few_jobs_to_sort(
    database: Database, monkeypatch: pytest.MonkeyPatch, sort: str, backwards: bool
) -> None:
    seed(database, 6_000)
    monkeypatch.setattr(sampling, "SAMPLED", 10)
    now = {"now": LONG_AGO + timedelta(days=9)} if sort == "took" else {}
    order = ordering.Order(ordering.KEYS[sort], backwards=backwards, parameters=now)
    part = fetching.Part(where="true", parameters={}, jobs=6_000, offset=2_000, size=20)
    with database.reading() as cursor:
        bounds = fetching._guess(cursor, order, part, (2_000, 2_020), 3.0)
        assert bounds.low is not None
        assert bounds.high is not None
        ahead = fetching._count_before(cursor, part, bounds)
        ((between,),) = cursor.execute(
            f"SELECT count(*) FROM jobs WHERE {bounds.between()}", bounds.parameters
        ).fetchall()
        sides = cursor.execute(
            f"SELECT {bounds.side()} AS side, count(*) FROM jobs GROUP BY side", bounds.parameters
        ).fetchall()
    assert dict(sides) == {-1: ahead, 0: between, 1: 6_000 - ahead - between}
    assert between < 2_000
    assert ahead <= 2_000
    assert ahead + between >= 2_020


@pytest.mark.parametrize(
    ("sorted_jobs", "heaped_jobs", "spread"),
    [(57, 0, math.inf), (0, 26, math.inf), (56, 25, 3.0)],
    ids=["few jobs", "few before the page", "many of both"],
)
def test_bounds_are_guessed_only_for_a_page_deep_inside_many_jobs(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    sorted_jobs: int,
    heaped_jobs: int,
    spread: float,
) -> None:
    seed(database)
    tried: list[float] = []
    guess = fetching._guess

    def noted(*arguments: Any) -> Any:
        tried.append(arguments[-1])
        return guess(*arguments)

    monkeypatch.setattr(fetching, "_guess", noted)
    monkeypatch.setattr(fetching, "SORTED_JOBS", sorted_jobs)
    monkeypatch.setattr(fetching, "HEAPED_JOBS", heaped_jobs)
    page = load_page(database, PageQuery(sort="input", page_size=2, number=14))
    assert shown(page) == plain_ids(database, sort="input")[26:28]
    assert tried[0] == spread


def test_page_after_the_last_is_the_last(database: Database) -> None:
    seed(database)
    page = load_page(database, PageQuery(page_size=10, number=1_000))
    assert page.query.number == page.pages == 6
    assert shown(page) == plain_ids(database)[50:]


def test_page_of_an_empty_ledger_has_no_rows(database: Database) -> None:
    page = load_page(database, PageQuery(number=3, search="x", sort="took"))
    assert (page.rows, page.total, page.matching) == ((), 0, 0)
    assert (page.query.number, page.pages, page.first, page.last) == (1, 1, 0, 0)


def test_running_job_has_taken_until_now(database: Database) -> None:
    hour = timedelta(hours=1)
    begun = datetime.now(UTC).replace(tzinfo=None) - hour
    times = {"short": (LONG_AGO, LONG_AGO + hour / 2), "running": (begun, None)}
    times |= {"long": (LONG_AGO, LONG_AGO + 2 * hour), "retried": (LONG_AGO, None)}
    with SessionLocal() as session:
        session.add_all(
            Job(
                pipeline_id="p",
                input_path=name,
                started_at=started,
                finished_at=finished,
                status=JobStatus.running if name == "running" else JobStatus.pending,
            )
            for name, (started, finished) in times.items()
        )
        session.commit()
    page = load_page(database, PageQuery(sort="took"))
    assert [row.input_path for row in page.rows] == ["short", "running", "long", "retried"]


# --- search ----------------------------------------------------------------------------------------

NAMES = (
    *("100%.mp4", "100x.mp4", "a_b", "axb", "it's", 'say "hi"', "back\\slash", "nul\0x"),
    *("😀.mp4", "STRAẞE", "Straße", "É", "$search", "é/x"),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%", {"100%.mp4"}),
        ("_", {"a_b"}),
        ("A_B", {"a_b"}),
        ("'", {"it's"}),
        ('"', {'say "hi"'}),
        ("\\", {"back\\slash"}),
        ("\0", {"nul\0x"}),
        ("😀", {"😀.mp4"}),
        ("straße", {"STRAẞE", "Straße"}),
        ("ẞ", {"STRAẞE", "Straße"}),
        ("é", {"É", "é/x"}),
        ("$search", {"$search"}),
        (".MP4", {"100%.mp4", "100x.mp4", "😀.mp4"}),
        ("100%.mp4 ", set()),
        ("' OR true --", set()),
    ],
)
@pytest.mark.parametrize("column", ["input_path", "error_message"])
def test_search_takes_each_character_for_itself_and_no_case(
    database: Database, column: str, text: str, found: set[str]
) -> None:
    with SessionLocal() as session:
        session.add_all(
            Job(**{"pipeline_id": "p", "input_path": "", "error_type": name, column: name})
            for name in NAMES
        )
        session.commit()
    page = load_page(database, PageQuery(search=text))
    assert {row.error_type for row in page.rows} == found
    assert page.matching == len(found)


@pytest.mark.parametrize("name", ["search", "pipeline_id", "source"])
def test_text_that_no_ledger_can_hold_is_refused(name: str) -> None:
    expected = (
        "text to look for, or '' for all jobs" if name == "search" else "text, or None for all"
    )
    for kind in (JobFilter, PageQuery):
        with pytest.raises(InvalidArgumentError) as raised:
            kind(**{name: "a\ud800"})
        assert str(raised.value) == (
            f"{name}='a\\ud800' is not valid Unicode text; expected {expected}"
        )


# --- what a row says -------------------------------------------------------------------------------


def test_job_made_by_hand_is_shown(database: Database) -> None:
    with SessionLocal() as session:
        session.add(Job(pipeline_id="ocr", input_path="by hand.mp4"))
        session.commit()
    (row,) = load_page(database, PageQuery()).rows
    assert (row.input_path, row.status, row.source) == ("by hand.mp4", JobStatus.pending, None)
    assert row.duration_seconds is None


def test_long_values_are_cut_before_they_leave_the_ledger(database: Database) -> None:
    with SessionLocal() as session:
        session.add(Job(pipeline_id="ocr", input_path="p" * 10_000, error_message="e" * 5_000_000))
        session.commit()
    (row,) = load_page(database, PageQuery()).rows
    assert row.error_message == "e" * ERROR_CHARACTERS
    assert row.error_length == 5_000_000
    assert row.input_path == "p" * 500 + "…"


def test_times_of_a_row_know_that_they_are_utc(database: Database) -> None:
    seed(database, 6)
    row = load_page(database, PageQuery(sort="input", page_size=1)).rows[0]
    assert row.updated_at.tzinfo is row.started_at.tzinfo is UTC
    with database.reading() as cursor:
        found = cursor.execute(
            "SELECT updated_at, started_at, finished_at FROM jobs ORDER BY input_path LIMIT 1"
        ).fetchall()
    assert found == [
        tuple(
            moment and moment.replace(tzinfo=None)
            for moment in (row.updated_at, row.started_at, row.finished_at)
        )
    ]


# --- what there is to choose from ------------------------------------------------------------------


def test_choices_are_the_names_that_jobs_have_sorted(database: Database) -> None:
    assert load_choices(database) == Choices((), ())
    seed(database)
    assert load_choices(database) == Choices(("ocr", "video_info"), ("day", "night"))
