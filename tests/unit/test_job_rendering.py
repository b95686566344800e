"""A page of jobs as HTML and as text, and the words in both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.cells import row_to_html
from foregsyte_kaggle.widgets.html import caption_to_html, page_to_document, page_to_html
from foregsyte_kaggle.widgets.page import JobPage, JobRow, PageQuery
from foregsyte_kaggle.widgets.paging import ERROR_CHARACTERS
from foregsyte_kaggle.widgets.text import page_to_text
from foregsyte_kaggle.widgets.words import ago, cut, duration, visible

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, 50, 12, tzinfo=UTC)
EVIL = "<img src=x onerror=alert(1)>"
ROW = JobRow(
    job_id="6f7b1a52-0000-0000-0000-000000000001",
    status=JobStatus.failed,
    pipeline_id="video_info",
    source="match-videos",
    input_path="day-1/clip.mp4",
    attempts=2,
    progress=None,
    error_type="ValueError",
    error_message="no such codec",
    error_length=13,
    updated_at=NOW - timedelta(minutes=2),
    started_at=NOW - timedelta(minutes=2, seconds=3.4),
    finished_at=NOW - timedelta(minutes=2),
)


def page_of(*rows: JobRow, **wanted: Any) -> JobPage:
    counts = dict.fromkeys(JobStatus, 0)
    for row in rows:
        counts[row.status] += 1
    return JobPage(query=PageQuery(**wanted), counts=counts, rows=rows, asked_at=NOW)


def row_with(**changes: Any) -> JobRow:
    return dataclasses.replace(ROW, **changes)


# --- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.mp4", "plain.mp4"),
        ("日本語 é שלום 👩‍🚀.mp4", "日本語 é שלום 👩‍🚀.mp4"),
        ("a\x00b\x1b[31m\n\t\x7f\x9b", r"a\x00b\x1b[31m\n\t\x7f\x9b"),
        ("gpm\u202e4pm.exe\u2066\u200f", r"gpm\u202e4pm.exe\u2066\u200f"),
        ("zero\u200bwidth\ufeff\u2028\U000e0041", r"zero\u200bwidth\ufeff\u2028\U000e0041"),
    ],
    ids=["plain", "scripts and emoji", "control characters", "direction marks", "without a shape"],
)
def test_characters_that_act_or_hide_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_kept_characters_stay() -> None:
    assert visible("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (-1, "0.0 ms"),
        (0.0004, "0.4 ms"),
        (0.0832, "83 ms"),
        (0.9999, "1.0 s"),
        (3.44, "3.4 s"),
        (59.96, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3_599.6, "1 h 0 min"),
        (3_900, "1 h 5 min"),
        (86_400 * 2 + 3_600 * 3, "2 d 3 h"),
    ],
)
def test_duration_is_told_in_the_units_that_fit(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (7_300, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_time_is_told_from_now(seconds: float, shown: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == shown


def test_cut_gives_the_first_line_and_marks_what_is_missing() -> None:
    assert cut("\n\n  first\nsecond", 20) == "first"
    assert cut("a" * 20, 20) == "a" * 20
    assert cut("a" * 21, 20) == "a" * 19 + "…"
    assert cut(" \n ", 5) == ""


# --- HTML ------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Gathers tags, attribute names and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def live_rows(page: JobPage) -> str:
    """Return what the live table shows of a page: its caption, and a line a job."""
    mixed = len({row.source for row in page.rows}) > 1
    lines = [row_to_html(page, row, mixed=mixed) for row in page.rows]
    return "".join([caption_to_html(page), *lines])


@pytest.mark.parametrize("render", [page_to_html, live_rows], ids=["saved", "live"])
@settings(max_examples=150, deadline=None)
@given(value=st.text(min_size=1, max_size=60))
def test_no_value_becomes_markup(value: str, render: Callable[[JobPage], str]) -> None:

    def page_with(text: str) -> JobPage:
        names = {"source": text, "input_path": text, "error_type": text}
        message = f"m\n{text}."
        row = row_with(**names, error_message=message, error_length=len(message))
        return page_of(row, ROW, pipeline_id=text)

    found = Tags(render(page_with(value)))
    expected = Tags(render(page_with("harmless")))
    assert found.tags == expected.tags
    assert found.attributes == expected.attributes


def test_markup_in_values_is_shown_as_it_is_written() -> None:
    row = row_with(
        input_path=f"day/{EVIL}", pipeline_id=EVIL, error_type=EVIL, error_message=f"{EVIL}\n{EVIL}"
    )
    html = page_to_html(page_of(row))
    assert "<img" not in html
    assert (
        Tags(html).text.count(EVIL) == 6
    )  # path, pipeline, type, summary, and twice in the message


def test_direction_marks_and_control_characters_are_shown() -> None:
    row = row_with(input_path="gpm\u202e4pm.exe", error_message="\x1b[31mred\u2066\nmore")
    html = page_to_html(page_of(row))
    assert r"gpm\u202e4pm.exe" in html
    assert r"\x1b[31mred\u2066" in html
    assert not set("\u202e\u2066\x1b") & set(html)


def test_short_error_is_shown_whole_and_a_long_one_folded() -> None:
    assert "<details" not in page_to_html(page_of(ROW))
    html = page_to_html(page_of(row_with(error_message="first\nsecond", error_length=12)))
    assert "<summary><b>ValueError</b>: <bdi>first</bdi></summary>" in html
    assert ">\nfirst\nsecond</pre>" in html


def test_cut_error_says_how_long_it_was() -> None:
    row = row_with(error_message="e" * ERROR_CHARACTERS, error_length=5_000_000)
    html = page_to_html(page_of(row))
    assert "The first 2,000 of 5,000,000 characters; jobs_frame() has all of them." in html
    assert len(html) < 20_000


def test_table_can_be_read_by_a_screen_reader() -> None:
    html = page_to_html(page_of(ROW, statuses=(JobStatus.failed,), pipeline_id="video_info"))
    assert "<caption>Jobs 1 to 1 of 1: failed, pipeline video_info</caption>" in html
    assert html.count('<th scope="col">') == 6
    assert html.count('<th scope="row"') == 1
    assert 'aria-label="Jobs by status"' in html
    assert ">failed</span>" in html, "a status is a word, not only a colour"


def test_saved_table_tells_times_that_stay_true() -> None:
    saved = page_to_html(page_of(ROW))
    assert ">2026-11-24 08:48</time>" in saved
    assert (
        'As of <time datetime="2026-11-24T08:50:12Z" title="2026-11-24 08:50:12 UTC">2026-11-24 08:50:12</time> UTC'
        in saved
    )
    assert " ago<" not in saved


def test_live_table_tells_times_from_now_and_utc_on_hover() -> None:
    live = live_rows(page_of(ROW))
    assert 'title="2026-11-24 08:48:12 UTC">2 min ago</time>' in live
    assert "</span>3.4 s</div>" in live
    assert "as of <time datetime=" in live
    assert ">08:50:12</time> UTC" in live


def test_live_row_names_its_cells_for_those_who_do_not_see_the_headings() -> None:
    text = Tags(live_rows(page_of(ROW))).text
    for name in ("Status: failed", "Input: day-1/clip.mp4", "Attempts: 2", "Took: 3.4 s"):
        assert name in text


def test_job_of_older_code_has_a_mark_that_is_spoken_too() -> None:
    row = row_with(status=JobStatus.completed, error_type=None, error_message=None, outdated=True)
    for html in (live_rows(page_of(row)), page_to_html(page_of(row))):
        assert 'role="img" aria-label="older code"' in html
    assert "older code" not in live_rows(page_of(ROW))


def test_running_row_has_a_bar_inside() -> None:
    row = row_with(status=JobStatus.running, progress=0.456, error_type=None, error_message=None)
    assert 'style="--fk-done: 46%">running 46%</span>' in live_rows(page_of(row))
    still = row_with(status=JobStatus.running, progress=None, error_type=None, error_message=None)
    assert "--fk-done" not in live_rows(page_of(still))


def test_running_job_shows_its_progress_and_the_time_so_far() -> None:
    row = row_with(
        status=JobStatus.running,
        progress=0.456,
        finished_at=None,
        error_type=None,
        error_message=None,
    )
    html = page_to_html(page_of(row))
    assert ">running 46%</span>" in html
    assert ">2 min 3 s</td>" in html


def test_source_is_named_where_a_page_mixes_them() -> None:
    other = row_with(source="night")
    assert "match-videos" not in page_to_html(page_of(ROW, ROW))
    assert "in match-videos" in page_to_html(page_of(ROW, other))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, "No jobs yet: register_jobs(source, pipeline_id) adds one for each input."),
        ({"statuses": (JobStatus.failed,), "source": EVIL}, f"No jobs: failed, source {EVIL}."),
    ],
    ids=["empty ledger", "filter"],
)
def test_table_without_rows_says_why(wanted: dict[str, Any], said: str) -> None:
    html = page_to_html(page_of(**wanted))
    assert "<table" not in html
    assert said in Tags(html).text


def test_document_needs_no_network_and_runs_no_script() -> None:
    document = page_to_document(page_of(ROW, row_with(input_path=EVIL)))
    found = Tags(document)
    assert document.startswith("<!doctype html>")
    assert not {"script", "img", "link", "iframe"} & set(found.tags)
    assert not {"src", "href", "srcset", "onclick", "onerror"} & found.attributes
    assert "url(" not in document
    assert "//" not in document
    assert "default-src 'none'" in document


# --- text ------------------------------------------------------------------------------------------


def test_text_is_aligned_and_holds_nothing_that_differs_between_runs() -> None:
    rows = (
        row_with(input_path="日本.mp4", error_message="no such codec\nsecond"),
        row_with(status=JobStatus.completed, attempts=12, error_type=None, error_message=None),
    )
    assert page_to_text(page_of(*rows)).splitlines() == [
        "jobs: 1 completed, 1 failed",
        "",
        "status     input           pipeline    attempts  error",
        "failed     日本.mp4        video_info         2  ValueError: no such codec",
        "completed  day-1/clip.mp4  video_info        12",
    ]


def test_text_cuts_long_paths_at_their_beginning_and_errors_at_their_end() -> None:
    row = row_with(input_path="a/" * 40 + "clip.mp4", error_message="e" * 500)
    *_, line = page_to_text(page_of(row)).splitlines()
    assert "/a/a/clip.mp4  video_info" in line
    assert line.startswith("failed  …")
    assert line.endswith("eee…")
    assert len(line) < 160


def test_text_does_not_repeat_the_name_of_the_input_before_its_error() -> None:
    row = row_with(
        input_path="a/clip.mp4", error_type="Odd", error_message="clip.mp4: not a readable video"
    )
    *_, line = page_to_text(page_of(row)).splitlines()
    assert line.endswith("Odd: not a readable video")


def test_text_shows_control_characters() -> None:
    text = page_to_text(page_of(row_with(input_path="\x1b[2J\u202e.mp4", error_message="\x07!")))
    assert r"\x1b[2J\u202e.mp4" in text
    assert r"\x07!" in text
