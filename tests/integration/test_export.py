"""One file of results: what a frame has, in a form that other programs read, whole or not at all."""

from __future__ import annotations

import csv
import datetime as dt
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import result_files, result_rows
from foregsyte_kaggle.errors import InvalidArgumentError, LedgerError, PipelineError
from foregsyte_kaggle.workspace import Workspace, active_workspace

pytestmark = pytest.mark.integration

IDS = pd.DataFrame({"id": ['b, "quoted"', "a\nline", "bad", "c"], "x": [1, 2, 3, 4]})
ENDINGS = ("parquet", "csv", "csv.gz")
every_ending = pytest.mark.parametrize("ending", ENDINGS)


@pytest.fixture
def results(workspace: Workspace) -> Workspace:
    """Three completed jobs, of two rows each, and one that failed."""

    @fk.pipeline("p", version="1")
    def score(text: str, x: int) -> list[dict[str, object]]:
        if text == "bad":
            raise ValueError
        noon = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
        return [
            {
                "score": x + part / 2,
                "label": f"{text}, {part}",
                "box": [x, part],
                "tags": ["a,b", None],
                "more": {"x": [x]},
                "lasted": dt.timedelta(hours=36, microseconds=part),
                "seen": noon,
                "flag": part == 1,
                "missing": part or None,
                "raw": b"\x00x",
            }
            for part in range(2)
        ]

    fk.register_jobs(IDS, "p", name="ids")
    fk.run_jobs("p", executor="inline", progress=False)
    return workspace


def read_back(file: Path) -> pd.DataFrame:
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)


@every_ending
@pytest.mark.usefixtures("results")
def test_file_has_the_rows_and_columns_of_the_frame_in_its_order(ending: str) -> None:
    file = fk.export_results("p", f"results.{ending}")
    assert file == Path.cwd() / f"results.{ending}"
    frame, found = fk.results_frame("p"), read_back(file)
    assert found.columns.tolist() == frame.columns.tolist()
    for name in ("job_id", "input_path", "score", "label", "flag"):
        assert found[name].tolist() == frame[name].tolist(), name
    assert found.missing.fillna(0).tolist() == frame.missing.fillna(0).tolist()
    assert found.more.tolist() == ['{"x": [1]}'] * 2 + ['{"x": [2]}'] * 2 + ['{"x": [4]}'] * 2
    assert pd.to_timedelta(found.lasted).tolist() == frame.lasted.tolist()
    assert pd.to_datetime(found.seen, utc=True).tolist() == frame.seen.tolist()


@pytest.mark.usefixtures("results")
def test_lists_are_lists_in_parquet_and_json_in_csv() -> None:
    whole = read_back(fk.export_results("p", "results.parquet"))
    assert [list(box) for box in whole.box[:2]] == [[1, 0], [1, 1]]
    assert list(whole.tags[0]) == ["a,b", None]
    assert whole.raw[0] == b"\x00x"
    text = read_back(fk.export_results("p", "results.csv"))
    assert text.box.tolist()[:2] == ["[1,0]", "[1,1]"]
    assert text.tags[0] == '["a,b",null]'


@pytest.mark.usefixtures("results")
def test_types_that_parquet_readers_do_not_know_are_text() -> None:
    with active_workspace().database.transaction() as connection:
        connection.execute("ALTER TABLE results.p ADD COLUMN huge HUGEINT")
        connection.execute("ALTER TABLE results.p ADD COLUMN kind ENUM('a', 'b')")
        connection.execute("ALTER TABLE results.p ADD COLUMN other UUID")
    with active_workspace().database.transaction() as connection:
        connection.execute(f"UPDATE results.p SET huge = {2**100}, kind = 'b', other = job_id")
    schema = pq.read_schema(fk.export_results("p", "results.parquet"))
    types = {field.name: str(field.type) for field in schema}
    assert {types[name] for name in ("job_id", "huge", "kind", "other", "more", "lasted")} == {
        "string"
    }
    found = read_back(Path("results.parquet"))
    assert (found.huge[0], found.kind[0]) == (str(2**100), "b")
    assert found.other.tolist() == found.job_id.tolist()


@pytest.mark.usefixtures("results")
def test_rows_of_jobs_that_are_not_completed_any_more_are_left_out() -> None:
    fk.retry_jobs("p", status="completed", job_ids=fk.results_frame("p").job_id[0])
    found = read_back(fk.export_results("p", "results.csv"))
    assert found["label"].str.startswith("b").sum() == 0
    assert len(found) == 4


@every_ending
@pytest.mark.usefixtures("workspace")
def test_export_before_there_are_results_is_a_file_of_columns(ending: str) -> None:
    fk.pipeline("p")(lambda _text, **_params: {"x": 1})
    found = read_back(fk.export_results("p", f"results.{ending}"))
    assert (len(found), found.columns.tolist()) == (0, ["job_id", "input_path"])


@every_ending
@pytest.mark.usefixtures("results")
def test_export_of_none_but_hidden_rows_keeps_all_columns(ending: str) -> None:
    fk.retry_jobs("p", status="completed")
    found = read_back(fk.export_results("p", f"results.{ending}"))
    assert (len(found), len(found.columns)) == (0, 12)


@pytest.mark.usefixtures("results")
def test_export_tells_how_many_rows_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    file = fk.export_results("p", "it's.csv")
    assert capsys.readouterr().out == f"foregsyte: 6 rows of p written to {file}\n"
    assert len(read_back(file)) == 6


@pytest.mark.usefixtures("results")
def test_export_replaces_a_file_and_leaves_nothing_beside_it() -> None:
    Path("out").mkdir()
    Path("out", "r.csv").write_text("older")
    fk.export_results("p", Path("out", "r.csv"))
    assert os.listdir("out") == ["r.csv"]
    assert Path("out", "r.csv").read_text().startswith("job_id,input_path,score")


@pytest.mark.usefixtures("results")
def test_export_that_fails_leaves_the_older_file_and_nothing_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    Path("out").mkdir()
    Path("out", "r.csv").write_text("older")
    monkeypatch.setattr(result_files.os, "replace", full)
    with pytest.raises(LedgerError, match=r"r\.csv cannot be written: No space left on device"):
        fk.export_results("p", "out/r.csv")
    assert os.listdir("out") == ["r.csv"]
    assert Path("out", "r.csv").read_text() == "older"


FULL = """
import resource, signal, sys
import foregsyte_kaggle as fk

fk.bootstrap(sys.argv[1])
with fk.workspace.active_workspace().database.transaction() as connection:
    connection.execute("INSERT INTO results.p (job_id, label) SELECT job_id, repeat('x', 9999) FROM results.p,"
                       " range(300)")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
try:
    fk.export_results("p", sys.argv[2])
except fk.LedgerError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_disk_without_room_is_an_error_of_ours_and_leaves_no_part(
    results: Workspace, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    results.close()
    Path("out").mkdir()
    done = run_python(FULL, ".", "out/r.csv")
    assert f"{Path.cwd() / 'out'} cannot be written to: IO Error" in done.stdout
    assert os.listdir("out") == []


@pytest.mark.usefixtures("results")
def test_folder_where_the_file_should_be_is_an_error_of_ours() -> None:
    Path("r.csv").mkdir()
    with pytest.raises(LedgerError, match=r"r\.csv cannot be written"):
        fk.export_results("p", "r.csv")
    assert not list(Path.cwd().glob(".r.csv*"))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("p", "r.xlsx"), InvalidArgumentError, r"ends in '\.xlsx'; expected one of \['\.parquet'"),
        (("p", "r"), InvalidArgumentError, r"ends in 'no suffix'; expected one of"),
        (("p", "nowhere/r.csv"), InvalidArgumentError, r"there is no folder .*nowhere; make it"),
        (("scroe", "r.csv"), PipelineError, r"no pipeline 'scroe', neither registered nor in this"),
        (("p", os.fsdecode(b"r\xff.csv")), InvalidArgumentError, r"bytes that are not Unicode"),
        ((None, "r.csv"), InvalidArgumentError, r"pipeline_id=None is no text"),
    ],
    ids=["suffix", "no suffix", "folder", "pipeline", "not Unicode", "no pipeline"],
)
@pytest.mark.usefixtures("results")
def test_wrong_argument_says_what_to_do(
    arguments: tuple[Any, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        fk.export_results(*arguments)
    assert not list(Path.cwd().glob("*r.*"))


@pytest.mark.usefixtures("results")
def test_frame_and_file_of_many_rows_have_them_all_though_they_are_not_sorted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = fk.results_frame("p")
    monkeypatch.setattr(result_rows, "MOST_SORTED_ROWS", 5)
    frame, file = fk.results_frame("p"), read_back(fk.export_results("p", "r.parquet"))
    for found in (frame, file):
        assert sorted(found["label"]) == sorted(expected["label"])
        together = dict(zip(found["label"], found.input_path, strict=True))
        assert together == dict(zip(expected["label"], expected.input_path, strict=True))


@pytest.mark.usefixtures("results")
def test_export_that_is_refused_memory_while_it_keeps_little_is_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy, tried = result_files._copy, []

    def refused_once(*arguments: Any) -> int:
        threads = {thread.name for thread in threading.enumerate()}
        tried.append("foregsyte-block-cache" in threads)
        if len(tried) == 1:
            raise duckdb.OutOfMemoryException("failed to pin block")
        return copy(*arguments)

    monkeypatch.setattr(result_rows, "MOST_SORTED_ROWS", 5)
    monkeypatch.setattr(result_files, "_copy", refused_once)
    file = fk.export_results("p", "results.parquet")
    assert tried == [True, False]
    assert len(pd.read_parquet(file)) == 6


@pytest.mark.usefixtures("results")
def test_plain_duckdb_reads_the_parquet_file() -> None:
    file = fk.export_results("p", "r.parquet")
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(DISTINCT job_id) FROM read_parquet(?)", [str(file)]
        )
        assert found.fetchall() == [(3,)]


# Formulas in a CSV file

DANGEROUS = ["=1+1", "+1", "-5", "@x", "\t=1", "\r=1", "-"]
HARMLESS = ["a=1", " =1", "'=1", "", "5", "\u2212 5", "A-1", "\n=1"]


def cells(file: Path) -> list[list[str]]:
    """Read a CSV file as texts, as a spreadsheet has them before it looks at them."""
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


@pytest.fixture
def formulas(workspace: Workspace) -> Workspace:
    """A job for each text, with results that begin with it, or are below zero."""

    @fk.pipeline(
        "p", schema={"number": int, "=name": str, "more": "JSON", "raw": "BLOB", "box": "DOUBLE[]"}
    )
    def score(text: str, value: str) -> dict[str, object]:
        return {"number": -1, "=name": value, "more": -2, "raw": value.encode(), "box": [-3.5]}

    texts = [*DANGEROUS, *HARMLESS]
    inputs = [f"-{number}.mp4" for number in range(len(texts))]
    fk.register_jobs(pd.DataFrame({"id": inputs, "value": texts}), "p", name="ids")
    assert fk.run_jobs("p", executor="inline", progress=False).failed == 0
    return workspace


@pytest.mark.usefixtures("formulas")
def test_text_that_begins_as_a_formula_gets_an_apostrophe_in_csv() -> None:
    header, *rows = cells(fk.export_results("p", "r.csv"))
    assert header == ["job_id", "input_path", "number", "'=name", "more", "raw", "box"]
    expected = [*(f"'{text}" for text in DANGEROUS), *HARMLESS]
    assert [row[3] for row in rows] == expected
    assert [row[1] for row in rows] == [f"'-{number}.mp4" for number in range(len(rows))]
    assert [row[5] for row in rows][: len(DANGEROUS)] == [
        "'=1+1", "'+1", "'-5", "'@x", "\\x09=1", "\\x0D=1", "'-",
    ]  # fmt: skip
    assert {(row[2], row[4], row[6]) for row in rows} == {("-1", "'-2", "[-3.5]")}


@pytest.mark.usefixtures("formulas")
def test_formulas_can_be_left_as_they_are() -> None:
    header, *rows = cells(fk.export_results("p", "r.csv", escape_formulas=False))
    assert header[3] == "=name"
    assert [row[3] for row in rows] == [*DANGEROUS, *HARMLESS]
    assert rows[0][1] == "-0.mp4"


@pytest.mark.usefixtures("formulas")
def test_parquet_has_no_apostrophes() -> None:
    found = read_back(fk.export_results("p", "r.parquet"))
    assert found["=name"].tolist() == [*DANGEROUS, *HARMLESS]
    assert found.input_path[0] == "-0.mp4"


@pytest.mark.usefixtures("results")
def test_missing_text_and_names_of_an_enum_are_escaped_where_they_are_text() -> None:
    with active_workspace().database.transaction() as connection:
        connection.execute("ALTER TABLE results.p ADD COLUMN kind ENUM('=a', 'b')")
        connection.execute("ALTER TABLE results.p ADD COLUMN huge HUGEINT")
    with active_workspace().database.transaction() as connection:
        connection.execute(
            f"UPDATE results.p SET kind = '=a', label = NULL, huge = {-(2**100)}, lasted = -lasted"
        )
    header, first, *_ = cells(fk.export_results("p", "r.csv"))
    row = dict(zip(header, first, strict=True))
    assert (row["kind"], row["label"], row["huge"]) == ("'=a", "", str(-(2**100)))
    assert row["lasted"].startswith("-")


@pytest.mark.usefixtures("results")
def test_escape_formulas_is_true_or_false() -> None:
    with pytest.raises(InvalidArgumentError, match="escape_formulas='no'; expected True or False"):
        fk.export_results("p", "r.csv", escape_formulas="no")  # type: ignore[arg-type]
