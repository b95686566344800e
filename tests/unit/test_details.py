"""What a row of the job table shows when it is opened: what is read of a job, and how it becomes HTML."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foregsyte_kaggle import jobs_frame, pipeline, register_jobs, retry_jobs, run_jobs
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.previews import Preview
from foregsyte_kaggle.widgets.details import OUTPUT_SIDE, TEXT_CHARACTERS, load_details
from foregsyte_kaggle.widgets.details_html import details_to_html
from foregsyte_kaggle.widgets.job_details import (
    AttemptDetails,
    Cut,
    FileDetails,
    JobDetails,
    ResultDetails,
)
from foregsyte_kaggle.workspace import Workspace
from tests.fixtures.make_tiny_mp4 import TINY_MP4

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, 50, 12, tzinfo=UTC)
ROW = {"value": 1}
EVIL = "<img src=x onerror=alert(1)>"
PIXEL = base64.b64encode(
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
).decode()
ATTEMPT = AttemptDetails(
    attempt=2,
    outcome="failed",
    started_at=NOW - timedelta(minutes=2, seconds=3.4),
    finished_at=NOW - timedelta(minutes=2),
    duration_seconds=3.4,
    error_type="ValueError",
    error=Cut("no such codec", 13),
    traceback=Cut("Traceback (most recent call last):\n  boom", 42),
    output=Cut("frame 1\nframe 2", 15),
    worker="4711",
    code_version="v1",
)
DETAILS = JobDetails(
    job_id="6f7b1a52-0000-0000-0000-000000000001",
    status=JobStatus.failed,
    pipeline_id="video_info",
    source="match-videos",
    root="in",
    input_path="day-1/clip.mp4",
    input_size=1_300_000,
    params=Cut('{"threshold": 0.25, "labels": ["goal"]}', 39),
    error_type="ValueError",
    error=Cut("no such codec", 13),
    progress=None,
    interruptions=0,
    created_at=NOW - timedelta(days=2),
    updated_at=NOW - timedelta(minutes=2),
    started_at=NOW - timedelta(minutes=2, seconds=3.4),
    finished_at=NOW - timedelta(minutes=2),
    run_id="0f7b1a52-0000-0000-0000-000000000002",
    code_version="v1",
    outdated=False,
    attempts=(ATTEMPT,),
    total_attempts=1,
    input=Preview(kind="text", text="first\nsecond", note="All of it, 12 bytes."),
)


def html_with(**changes: Any) -> str:
    return details_to_html(dataclasses.replace(DETAILS, **changes), NOW)


def only_job(**wanted: Any) -> str:
    (job_id,) = jobs_frame(**wanted).job_id
    return str(job_id)


def loaded(workspace: Workspace, **wanted: Any) -> JobDetails:
    details = load_details(workspace, only_job(**wanted))
    assert details is not None
    return details


@pytest.fixture
def run_one(memory_workspace: Workspace) -> Callable[..., JobDetails]:
    """Run a function over one file of text, and load the details of its job."""

    def run(function: Callable[..., Any], name: str = "a.txt", **params: Any) -> JobDetails:
        folder = memory_workspace.directory / "in"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("first\nsecond\n")
        pipeline("tried")(function)
        register_jobs(folder, "tried", params=params)
        run_jobs("tried", executor="inline", progress=False)
        return loaded(memory_workspace)

    return run


def change(workspace: Workspace, statement: str, **values: Any) -> None:
    with workspace.database.transaction() as connection:
        connection.execute(statement, values or None).fetchall()


# --- reading ---------------------------------------------------------------------------------------


def test_completed_job_has_its_result_and_what_its_input_looks_like(
    run_one: Callable[..., JobDetails],
) -> None:
    def tried(path: Path, threshold: float) -> list[dict[str, Any]]:
        print("looking at", path.name)
        return [{"frame": frame, "text": "x" * 500, "none": None} for frame in range(7)]

    details = run_one(tried, threshold=0.5)
    assert details.status is JobStatus.completed
    assert details.source == "in"
    assert json.loads(details.params.shown) == {"threshold": 0.5}
    assert details.input_size == 13
    assert details.input.text == "first\nsecond"
    (attempt,) = details.attempts
    assert (attempt.attempt, attempt.outcome, attempt.result_rows) == (1, "completed", 7)
    assert attempt.output.shown.strip() == "looking at a.txt"
    assert attempt.run_id == details.run_id
    assert attempt.worker
    assert details.created_at.tzinfo is UTC
    assert details.result == ResultDetails(
        columns=("frame", "text", "none"),
        rows=tuple((str(frame), "x" * 199 + "…", None) for frame in range(5)),
        total_columns=3,
        total_rows=7,
    )


def test_failed_job_has_its_traceback_and_no_result(run_one: Callable[..., JobDetails]) -> None:
    def tried(path: Path) -> None:
        raise ValueError("no frames")

    details = run_one(tried)
    assert details.error == Cut("no frames", 9)
    (attempt,) = details.attempts
    assert attempt.error_type == "ValueError"
    assert 'raise ValueError("no frames")' in attempt.traceback.shown
    assert details.result is None
    assert details.files == ()


def test_wide_result_is_cut_to_its_first_columns(run_one: Callable[..., JobDetails]) -> None:
    details = run_one(lambda path: {f"c{number}": number for number in range(20)})
    assert details.result is not None
    assert details.result.columns == tuple(f"c{number}" for number in range(12))
    assert details.result.total_columns == 20


def test_result_of_a_job_that_is_pending_again_is_not_shown(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails]
) -> None:
    def tried(path: Path, job: Any) -> dict[str, int]:
        job.output_path("a.png").write_bytes(b"")
        return ROW

    details = run_one(tried)
    assert details.result is not None
    assert details.files
    retry_jobs(status="completed")
    details = loaded(memory_workspace)
    assert (details.result, details.files, details.output) == (None, (), None)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE results.tried",
        "ALTER TABLE results.tried RENAME COLUMN job_id TO gone",
        "DROP TABLE results.tried; CREATE VIEW results.tried AS SELECT 1 AS job_id, 2 AS value",
    ],
    ids=["no table", "no job_id", "a view"],
)
def test_broken_result_table_leaves_the_rest(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails], statement: str
) -> None:
    assert run_one(lambda path: ROW).result is not None
    change(memory_workspace, statement)
    details = loaded(memory_workspace)
    assert details.result is None
    assert len(details.attempts) == 1
    assert details.input.kind == "text"


def test_last_attempts_are_shown_and_all_are_counted(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails]
) -> None:
    def tried(path: Path) -> None:
        raise ValueError

    run_one(tried)
    for _ in range(6):
        retry_jobs()
        run_jobs("tried", executor="inline", progress=False)
    details = loaded(memory_workspace)
    assert [attempt.attempt for attempt in details.attempts] == [7, 6, 5, 4, 3]
    assert details.total_attempts == 7


def test_attempt_under_way_comes_first(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails]
) -> None:
    run_one(lambda path: ROW)
    change(
        memory_workspace,
        "UPDATE jobs SET status = 'running', attempts = 2, progress = 0.5, finished_at = NULL",
    )
    details = loaded(memory_workspace)
    assert [attempt.outcome for attempt in details.attempts] == ["running", "completed"]
    assert details.total_attempts == 2
    assert details.attempts[0].started_at == details.started_at
    assert details.result is None


def test_long_texts_are_cut_in_the_ledger(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails]
) -> None:
    def tried(path: Path) -> None:
        raise ValueError

    run_one(tried)
    long = "'a' || repeat('<', 5000000) || 'z'"
    change(memory_workspace, f"UPDATE jobs SET error_message = {long}, error_type = {long}")
    change(
        memory_workspace,
        f"UPDATE job_attempts SET error_message = {long}, traceback = {long}, output = {long}",
    )
    details = loaded(memory_workspace)
    (attempt,) = details.attempts
    assert details.error == Cut("a" + "<" * (TEXT_CHARACTERS - 1), 5_000_002)
    assert attempt.traceback == Cut("<" * (TEXT_CHARACTERS - 1) + "z", 5_000_002)
    assert attempt.output == attempt.traceback
    html = details_to_html(details, datetime.now(UTC))
    assert "The first 20,000 of 5,000,002 characters." in html
    assert "The last 20,000 of 5,000,002 characters." in html
    assert len(html) < 500_000


def test_older_code_is_told(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails]
) -> None:
    assert not run_one(lambda path: ROW).outdated
    pipeline("tried")(lambda path: [ROW, ROW])
    details = loaded(memory_workspace)
    assert details.outdated
    assert "older than the code registered now" in details_to_html(details, NOW)


def test_files_that_a_job_wrote_are_listed_and_its_picture_shown(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails]
) -> None:
    def tried(path: Path, job: Any) -> None:
        job.output_path("notes.txt").write_text("four")
        job.output_path("sheet.gif").write_bytes(base64.b64decode(PIXEL))

    details = run_one(tried)
    assert details.total_files == 2
    assert {file.size for file in details.files} == {4, 43}
    assert all(file.path.startswith("data/outputs/tried/") for file in details.files)
    assert details.output is not None
    assert details.output.kind == "image"
    (memory_workspace.directory / details.files[0].path).unlink()
    assert loaded(memory_workspace).files[0].size is None


def decoded(preview: Preview | None) -> Any:
    """Return the picture of a preview."""
    from PIL import Image

    assert preview is not None
    assert preview.kind == "image", preview.note
    return Image.open(io.BytesIO(base64.b64decode(preview.data_uri.partition(",")[2])))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_picture_that_a_job_made_is_shown_large_enough_to_read(
    run_one: Callable[..., JobDetails], suffix: str
) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install pillow")

    def tried(path: Path, job: Any) -> None:
        pillow.new("RGB", (1920, 1000), "red").save(job.output_path(f"sheet.{suffix}"))

    details = run_one(tried)
    assert decoded(details.output).size == (OUTPUT_SIDE, OUTPUT_SIDE * 1000 // 1920)
    (picture,) = Page(details_to_html(details, NOW)).all("img")
    assert picture["alt"] == "Output of the job"
    assert details.output is not None
    assert picture["src"] == details.output.data_uri


def test_damaged_picture_is_passed_over_for_one_that_can_be_shown(
    run_one: Callable[..., JobDetails],
) -> None:
    def tried(path: Path, job: Any) -> None:
        job.output_path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        job.output_path("b.gif").write_bytes(base64.b64decode(PIXEL))

    output = run_one(tried).output
    assert output is not None
    assert output.kind == "image"


def test_damaged_picture_alone_says_why_it_is_not_shown(run_one: Callable[..., JobDetails]) -> None:
    def tried(path: Path, job: Any) -> None:
        job.output_path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    output = run_one(tried).output
    assert output is not None
    assert output.kind == "none"
    assert output.note.startswith("The image (8 bytes) ")


def test_thumbnail_of_a_video_is_shown_also_when_the_video_is_gone(
    memory_workspace: Workspace,
) -> None:
    for package in ("av", "PIL"):
        pytest.importorskip(package, reason=f"needs {package}: pip install av pillow")
    folder = memory_workspace.directory / "clips"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(TINY_MP4.read_bytes())
    register_jobs(folder, "video_info", params={"thumbnail": True})
    assert run_jobs("video_info", executor="inline", progress=False).completed == 1
    assert decoded(loaded(memory_workspace).input).size == (160, 120)
    shutil.rmtree(folder)
    details = loaded(memory_workspace)
    assert details.input.kind == "none"
    assert [file.path[-14:] for file in details.files] == ["-thumbnail.jpg"]
    assert decoded(details.output).size == (160, 120)
    (picture,) = Page(details_to_html(details, NOW)).all("img")
    assert picture["alt"] == "Output of the job"


@pytest.mark.parametrize("path", ["/etc/passwd.png", "../secret.png", "data/../../secret.png"])
def test_output_outside_the_workspace_is_not_opened(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails], path: str
) -> None:
    (memory_workspace.directory.parent / "secret.png").write_bytes(base64.b64decode(PIXEL))
    run_one(lambda path: ROW)
    change(memory_workspace, "UPDATE jobs SET output_path = $path", path=path)
    details = loaded(memory_workspace)
    assert details.files == (FileDetails(path, None),)
    assert details.output is None


def test_job_that_is_gone_has_no_details(memory_workspace: Workspace) -> None:
    assert load_details(memory_workspace, uuid.uuid4()) is None
    with pytest.raises(InvalidArgumentError, match="is not a job's id"):
        load_details(memory_workspace, "1 OR true")


def test_input_of_a_job_made_by_hand_counts_from_the_workspace(memory_workspace: Workspace) -> None:
    (memory_workspace.directory / "a.txt").write_text("by hand")
    change(
        memory_workspace,
        "INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at, attempts,"
        " interruptions) VALUES (uuid(), 'pending', 'none', 'a.txt', now()::TIMESTAMP,"
        " now()::TIMESTAMP, 0, 0)",
    )
    details = loaded(memory_workspace)
    assert details.input.text == "by hand"
    assert details.attempts == ()
    assert "Not tried yet." in details_to_html(details, NOW)


def test_missing_folder_of_a_source_is_told(
    memory_workspace: Workspace, run_one: Callable[..., JobDetails]
) -> None:
    run_one(lambda path: ROW)
    folder = memory_workspace.directory / "in"
    folder.rename(folder.with_name("elsewhere"))
    note = "The folder of its source is not there now; attach it again."
    assert loaded(memory_workspace).input == Preview(note=note)


def test_url_is_not_opened(memory_workspace: Workspace) -> None:
    pipeline("tried")(lambda path: ROW)
    register_jobs(["https://example.org/a.png"], "tried", name="urls")
    note = "The input is an id or a URL, which is not opened here."
    assert loaded(memory_workspace).input == Preview(note=note)


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.txt"), "new\nline.txt", f"{EVIL}.txt"])
def test_input_with_an_odd_name_is_found(run_one: Callable[..., JobDetails], name: str) -> None:
    details = run_one(lambda path: ROW, name)
    assert details.input.text == "first\nsecond"
    html = details_to_html(details, NOW)
    html.encode()
    assert "<img" not in html


# --- HTML ------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Gathers tags with their attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.tags]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def full_of(value: str) -> JobDetails:
    """Return details with a text in every place that a row can fill."""
    cell = f"m\n{value}."
    attempt = dataclasses.replace(
        ATTEMPT,
        outcome=f"o{value}",
        error_type=f"t{value}",
        error=Cut(cell, len(cell)),
        traceback=Cut(cell, len(cell)),
        output=Cut(cell, len(cell)),
        worker=f"w{value}",
        code_version=f"c{value}",
    )
    return dataclasses.replace(
        DETAILS,
        pipeline_id=f"p{value}",
        source=f"s{value}",
        input_path=f"i{value}",
        params=Cut(json.dumps({f"n{value}": value}), 1),
        error=Cut(cell + "own", len(cell) + 3),
        run_id=f"r{value}",
        code_version=f"v{value}",
        attempts=(attempt,),
        result=ResultDetails(columns=(value,), rows=((value,),), total_columns=1, total_rows=1),
        files=(FileDetails(value, 1),),
        total_files=1,
        input=Preview(kind="table", header=(value,), rows=((value,),), note=f"n{value}"),
        output=Preview(kind="text", text=value, note=f"n{value}"),
    )


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_no_value_becomes_markup(value: str) -> None:
    found = Page(details_to_html(full_of(value), NOW))
    assert found.shape() == Page(details_to_html(full_of("harmless"), NOW)).shape()


def test_markup_in_values_is_shown_as_it_is_written() -> None:
    html = details_to_html(full_of(EVIL), NOW)
    assert "<img" not in html
    assert Page(html).text.count(EVIL) > 20


def test_direction_marks_and_control_characters_are_shown() -> None:
    html = details_to_html(full_of("\x1b[31m\u202e\u2066"), NOW)
    assert r"\x1b[31m\u202e\u2066" in html
    assert not set("\u202e\u2066\x1b") & set(html)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a.png",
        "javascript:alert(1)",
        f"data:image/svg+xml;base64,{PIXEL}",
        f"data:text/html;base64,{PIXEL}",
        f'data:image/png;base64,{PIXEL}" onerror="alert(1)',
        f"data:image/png;base64,{PIXEL}\n",
    ],
)
def test_only_pictures_in_base_64_are_shown(address: str) -> None:
    html = html_with(input=Preview(kind="image", data_uri=address), output=None)
    assert "<img" not in html
    assert "onerror" not in html


@pytest.mark.parametrize("form", ["jpeg", "png", "gif", "webp"])
def test_picture_has_a_text_for_those_who_do_not_see_it(form: str) -> None:
    preview = Preview(kind="image", data_uri=f"data:image/{form};base64,{PIXEL}", note="1 by 1.")
    pictures = Page(html_with(input=preview, output=preview)).all("img")
    assert [picture["alt"] for picture in pictures] == ["Preview of the input", "Output of the job"]
    assert [picture["src"] for picture in pictures] == [preview.data_uri] * 2


def test_every_section_has_a_name_and_a_heading() -> None:
    page = Page(details_to_html(full_of("x"), NOW))
    names = ["Input", "Params", "Facts", "Error", "Result", "Output", "Attempts", "Files"]
    assert [section["aria-label"] for section in page.all("section")] == names
    headings = [one for _, one in page.tags if one.get("role") == "heading"]
    assert len(headings) == len(names)
    assert {one["aria-level"] for one in headings} == {"4"}
    assert all(head["scope"] == "col" for head in page.all("th"))
    assert page.tags[0][1]["aria-label"] == "Details of ix"


def test_params_are_listed_and_told_where_there_are_none() -> None:
    page = Page(html_with())
    assert 'threshold0.25labels["goal"]' in page.text
    for params in (Cut(), Cut("{}", 2)):
        assert "ParamsNone." in Page(html_with(params=params)).text


@pytest.mark.parametrize(
    "shown", ["[1]", "7", "{'a'}", "[" * 9_000], ids=["list", "number", "no JSON", "deep"]
)
def test_params_that_are_no_object_are_shown_as_they_are(shown: str) -> None:
    assert shown in Page(html_with(params=Cut(shown, len(shown)))).text


def test_params_that_are_cut_are_shown_as_they_are() -> None:
    html = html_with(params=Cut('{"a": "bbb', 90_000))
    assert ">\n{&quot;a&quot;: &quot;bbb</pre>" in html
    assert "The first 10 of 90,000 characters." in html


def test_traceback_of_the_attempt_that_failed_last_is_open() -> None:
    older = dataclasses.replace(ATTEMPT, attempt=1)
    folds = Page(html_with(attempts=(ATTEMPT, older), total_attempts=9))
    assert [("open" in one) for one in folds.all("details")] == [True, False, False, False]
    assert "The last 2 of 9; attempts_frame() has all of them." in folds.text
    assert "Attempt 2 failed 2 min ago · took 3.4 s · worker 4711" in folds.text


def test_attempt_says_its_code_where_it_was_another() -> None:
    assert (
        "code v0"
        in Page(html_with(attempts=(dataclasses.replace(ATTEMPT, code_version="v0"),))).text
    )
    assert "code v1" not in Page(html_with()).text


def test_running_attempt_tells_the_time_so_far() -> None:
    attempt = AttemptDetails(attempt=1, outcome="running", started_at=NOW - timedelta(seconds=90))
    page = Page(
        html_with(
            status=JobStatus.running,
            progress=0.456,
            attempts=(attempt,),
            error=Cut(),
            error_type=None,
        )
    )
    assert "Attempt 1 running 1 min ago · for 1 min 30 s" in page.text
    assert "Progress46%" in page.text


def test_own_error_of_a_job_is_shown_where_no_attempt_says_it() -> None:
    assert "Error" not in [one["aria-label"] for one in Page(html_with()).all("section")]
    html = html_with(attempts=(), total_attempts=0)
    assert "<b>ValueError</b>: <bdi>no such codec</bdi>" in html


def test_result_says_how_much_of_it_is_shown() -> None:
    result = ResultDetails(columns=("a",), rows=((None,),), total_columns=20, total_rows=1_000)
    page = Page(html_with(status=JobStatus.completed, result=result))
    assert (
        "The first 1 of 1,000 rows and 1 of 20 columns; results_frame() has all of them."
        in page.text
    )
    assert "NULL" in page.text
    empty = dataclasses.replace(result, rows=(), total_rows=0)
    assert "ResultNo rows." in Page(html_with(status=JobStatus.completed, result=empty)).text


def test_missing_file_is_marked() -> None:
    html = html_with(files=(FileDetails("a.txt"), FileDetails("b.txt", 2)), total_files=50)
    text = Page(html).text
    assert "a.txt not there now" in text
    assert "b.txt 2 bytes" in text
    assert "The first 2 of 50 files." in text


def test_times_say_utc_on_hover() -> None:
    assert 'title="2026-11-24 08:48:12 UTC">2 min ago</time>' in html_with()
