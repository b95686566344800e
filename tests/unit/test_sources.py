"""What a source holds: folders, globs, lists and tables, and a clear word where it holds nothing."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import parquet

from foregsyte_kaggle import path_lists
from foregsyte_kaggle.errors import InvalidArgumentError, SourceError
from foregsyte_kaggle.identity import canonical_params, decode_path
from foregsyte_kaggle.row_params import row_params
from foregsyte_kaggle.sources import Inputs, resolve_inputs

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with three clips in ``clips``."""
    folder = tmp_path / "here"
    for size, path in enumerate(("clips/a.mp4", "clips/b.mp4", "clips/sub/c.mp4"), start=1):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x" * size)
    monkeypatch.chdir(folder)
    return folder


def shown(inputs: Inputs) -> tuple[str, str, Path | None, list[str], list[int | None]]:
    found = inputs.paths.to_pylist()
    return inputs.name, inputs.kind, inputs.root, found, inputs.sizes.to_pylist()


def params_of(inputs: Inputs) -> list[dict[str, Any]]:
    assert inputs.params is not None
    return [json.loads(text) for text in inputs.params.to_pylist()]


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises((SourceError, InvalidArgumentError)) as caught:
        resolve_inputs(source, **options)
    return str(caught.value)


# Folders and globs

ALL = (["a.mp4", "b.mp4", "sub/c.mp4"], [1, 2, 3])


@pytest.mark.parametrize("source", ["clips", Path("clips"), b"clips", "./clips/", "clips/sub/.."])
def test_folder_holds_its_files(here: Path, source: Any) -> None:
    assert shown(resolve_inputs(source)) == ("clips", "folder", here / "clips", *ALL)


def test_folder_with_a_pattern_holds_what_matches(here: Path) -> None:
    found = shown(resolve_inputs("clips", pattern="*.mp4"))
    assert found == ("clips", "folder", here / "clips", ["a.mp4", "b.mp4"], [1, 2])


def test_folder_below_home_is_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert shown(resolve_inputs("~/clips"))[2] == here / "clips"


def test_current_folder_has_the_name_that_it_has(here: Path) -> None:
    assert shown(resolve_inputs("."))[:3] == ("here", "folder", here)


def test_folders_are_inputs_with_unit_folder(here: Path) -> None:
    found = shown(resolve_inputs("clips", unit="folder"))
    assert found == ("clips", "folder", here / "clips", [".", "sub"], [3, 3])


def test_glob_counts_from_its_fixed_part(here: Path) -> None:
    found = shown(resolve_inputs("clips/**/*.mp4"))
    assert found == ("clips", "glob", here / "clips", *ALL)
    assert shown(resolve_inputs(str(here / "cl*/a.mp4")))[:4] == (
        "here",
        "glob",
        here,
        ["clips/a.mp4"],
    )


def test_folder_whose_name_looks_like_a_glob_is_a_folder(here: Path) -> None:
    (here / "clips[1]").mkdir()
    (here / "clips[1]" / "x").touch()
    assert shown(resolve_inputs("clips[1]"))[:2] == ("clips[1]", "folder")


def test_name_overrides() -> None:
    assert resolve_inputs("clips", name="матчи 1/2").name == "матчи 1/2"


def test_folder_with_an_undecodable_name_is_named_in_text(here: Path) -> None:
    odd = here / os.fsdecode(b"odd\xff")
    odd.mkdir()
    (odd / "a").touch()
    found = resolve_inputs(odd)
    assert (found.name, found.root) == ("percent-encoded:odd%FF", odd)


# Lists


def test_single_file_is_a_list_of_one(here: Path) -> None:
    found = shown(resolve_inputs("clips/a.mp4"))
    assert found == ("clips", "list", here / "clips", ["a.mp4"], [1])


def test_list_counts_from_the_folder_that_holds_all_and_keeps_its_order(here: Path) -> None:
    paths = [Path("clips/sub/c.mp4"), "clips/a.mp4", str(here / "clips" / "b.mp4").encode()]
    found = shown(resolve_inputs(paths))
    assert found == ("clips", "list", here / "clips", ["sub/c.mp4", "a.mp4", "b.mp4"], [3, 1, 2])


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param((path for path in ["clips/a.mp4"]), id="generator"),
        pytest.param({"clips/a.mp4"}, id="set"),
        pytest.param(pd.Series(["clips/a.mp4"]), id="series"),
        pytest.param(pa.array(["clips/a.mp4"]).to_pylist(), id="from arrow"),
    ],
)
def test_anything_that_gives_paths_is_a_list(paths: Any) -> None:
    assert shown(resolve_inputs(paths))[3] == ["a.mp4"]


def test_list_of_folders_has_their_sizes(here: Path) -> None:
    found = shown(resolve_inputs(["clips", "clips/sub"], unit="folder"))
    assert found == ("here", "list", here, ["clips", "clips/sub"], [3, 3])


def test_urls_have_neither_root_nor_size() -> None:
    urls = ["https://example.org/b.mp4", "https://example.org/a.mp4?x=1"]
    assert shown(resolve_inputs(urls, name="web")) == ("web", "list", None, urls, [None, None])
    assert shown(resolve_inputs(urls[0], name="web"))[3] == urls[:1]


def test_list_with_an_undecodable_name_is_stored_encoded(here: Path) -> None:
    name = os.fsdecode(b"\xff.mp4")
    (here / name).touch()
    found = resolve_inputs([name, "clips/a.mp4"])
    assert [decode_path(path) for path in found.paths.to_pylist()] == [name, "clips/a.mp4"]


# Tables

TABLE = pd.DataFrame(
    {
        "path": ["clips/b.mp4", "clips/a.mp4"],
        "camera": ["007", "12"],
        "round": [1, 2],
        "speed": [0.5, 1e16],
        "home": [True, False],
    }
)
ROWS = [
    {"camera": "007", "round": 1, "speed": 0.5, "home": True},
    {"camera": "12", "round": 2, "speed": 1e16, "home": False},
]


def written(kind: str, folder: Path) -> Any:
    if kind == "DataFrame":
        return TABLE
    if kind == "Arrow":
        return pa.Table.from_pandas(TABLE)
    if kind == "record batch":
        return pa.Table.from_pandas(TABLE).to_batches()[0]
    file = folder / f"manifest.{kind}"
    if kind in ("parquet", "pq", "PARQUET"):
        TABLE.to_parquet(file)
    else:
        TABLE.to_csv(file, index=False, sep="\t" if kind == "tsv" else ",")
    return file


KINDS = ("DataFrame", "Arrow", "record batch", "csv", "tsv", "CSV", "parquet", "pq", "PARQUET")


@pytest.mark.parametrize("kind", KINDS)
def test_table_gives_paths_in_its_order_and_the_other_columns_as_params(
    here: Path, kind: str
) -> None:
    found = resolve_inputs(written(kind, here))
    assert shown(found) == ("here", "table", here, ["clips/b.mp4", "clips/a.mp4"], [2, 1])
    assert params_of(found) == ROWS


def test_paths_of_a_file_count_from_its_folder(here: Path) -> None:
    (here / "clips" / "list.csv").write_text("path\na.mp4\n./sub//c.mp4\n")
    found = shown(resolve_inputs("clips/list.csv"))
    assert found == ("clips", "table", here / "clips", ["a.mp4", "sub/c.mp4"], [1, 3])


def test_absolute_paths_of_a_table_count_from_the_folder_that_holds_all(here: Path) -> None:
    frame = pd.DataFrame(
        {"path": [str(here / "clips" / "sub" / "c.mp4"), here / "clips/x/../a.mp4"]}
    )
    found = shown(resolve_inputs(frame))
    assert found == ("clips", "table", here / "clips", ["sub/c.mp4", "a.mp4"], [3, 1])


def test_absolute_paths_among_relative_ones_must_be_below_their_folder(here: Path) -> None:
    frame = pd.DataFrame({"path": ["clips/a.mp4", str(here / "clips" / "b.mp4")]})
    assert shown(resolve_inputs(frame))[2:4] == (here, ["clips/a.mp4", "clips/b.mp4"])


def test_frame_may_hold_path_objects_and_undecodable_names(here: Path) -> None:
    name = os.fsdecode(b"\xff.mp4")
    (here / name).touch()
    frame = pd.DataFrame({"path": pd.Series([Path("clips/a.mp4"), Path(name)], dtype=object)})
    found = resolve_inputs(frame)
    assert [decode_path(path) for path in found.paths.to_pylist()] == ["clips/a.mp4", name]


def test_table_of_folders_has_their_sizes() -> None:
    frame = pd.DataFrame({"path": ["clips/sub", "clips"]})
    assert shown(resolve_inputs(frame, unit="folder"))[3:] == (["clips/sub", "clips"], [3, 3])


def test_table_of_urls_has_no_root() -> None:
    frame = pd.DataFrame({"path": ["https://example.org/a//b"], "x": [1]})
    found = resolve_inputs(frame, name="web")
    assert shown(found) == ("web", "table", None, ["https://example.org/a//b"], [None])
    assert params_of(found) == [{"x": 1}]


def test_ids_are_no_files(here: Path) -> None:
    (here / "matches.csv").write_text("id,team\n007,Ajax\n../x,\n")
    found = resolve_inputs("matches.csv")
    assert shown(found) == ("matches", "ids", None, ["007", "../x"], [None, None])
    assert params_of(found) == [{"team": "Ajax"}, {}]


def test_whole_numbers_are_ids_as_they_are_written() -> None:
    found = resolve_inputs(pd.DataFrame({"id": [7, 12345678901234567]}), name="ids")
    assert found.paths.to_pylist() == ["7", "12345678901234567"]


def test_path_comes_before_id_which_is_a_param_then() -> None:
    found = resolve_inputs(pd.DataFrame({"id": [1], "path": ["clips/a.mp4"]}))
    assert (found.kind, params_of(found)) == ("table", [{"id": 1}])


def test_column_may_be_called_input_path() -> None:
    assert resolve_inputs(pd.DataFrame({"input_path": ["clips/a.mp4"]})).kind == "table"


def test_index_that_pandas_keeps_in_parquet_is_no_param(here: Path) -> None:
    TABLE[["path"]].iloc[[1, 0]].to_parquet(here / "m.parquet")
    found = resolve_inputs("m.parquet")
    assert (found.paths.to_pylist(), found.params) == (["clips/a.mp4", "clips/b.mp4"], None)


# Params from columns


def test_csv_values_that_are_names_stay_text(here: Path) -> None:
    lines = [
        "id,a,b,c,d,e,f,g,h,i",
        "x,007,1,1.5,true,2024-01-01,12345678901234567890,NA,NA,1e3",
        "y,12,-2,,False,,1,nan,Ajax,2",
        "z,12,NA,null,None,,1,nan,,NaN",
    ]
    (here / "ids.csv").write_text("\n".join(lines))
    assert params_of(resolve_inputs("ids.csv")) == [
        {
            "a": "007",
            "b": 1,
            "c": 1.5,
            "d": True,
            "e": "2024-01-01",
            "f": "12345678901234567890",
            "g": "NA",
            "h": "NA",
            "i": 1000.0,
        },
        {"a": "12", "b": -2, "d": False, "f": "1", "g": "nan", "h": "Ajax", "i": 2.0},
        {"a": "12", "f": "1", "g": "nan"},
    ]


def test_csv_texts_may_hold_commas_quotes_and_line_breaks(here: Path) -> None:
    (here / "ids.csv").write_text('\ufeffid,note\nx,"a, ""b""\nc"\n', encoding="utf-8")
    assert params_of(resolve_inputs("ids.csv")) == [{"note": 'a, "b"\nc'}]


def test_id_called_na_is_an_id(here: Path) -> None:
    (here / "ids.csv").write_text("id\nNA\nnull\n")
    assert resolve_inputs("ids.csv").paths.to_pylist() == ["NA", "null"]


def test_missing_values_are_left_out_and_common_params_come_through() -> None:
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "x": [1.0, float("nan"), 2.0],
            "y": ["t", None, "u"],
            "z": pd.array([1, None, 3], dtype="Int64"),
            "k": pd.Categorical(["p", None, "q"]),
            "none": [None, None, None],
        }
    )
    found = resolve_inputs(frame, name="ids", params={"x": 9, "w": [1]})
    assert params_of(found) == [
        {"x": 1.0, "y": "t", "z": 1, "k": "p", "w": [1]},
        {"x": 9, "w": [1]},
        {"x": 2.0, "y": "u", "z": 3, "k": "q", "w": [1]},
    ]


def test_short_floats_are_params() -> None:
    table = pa.table({"id": ["a"], "x": pa.array(np.array([0.5], "float16"))})
    assert params_of(resolve_inputs(table, name="ids")) == [{"x": 0.5}]


def test_nested_values_are_params() -> None:
    table = pa.table({"id": ["a"], "box": [[1, 2]], "at": [{"x": 1, "y": None}]})
    assert params_of(resolve_inputs(table, name="ids")) == [
        {"box": [1, 2], "at": {"x": 1, "y": None}}
    ]


columns = st.one_of(
    st.lists(st.none() | st.text(), min_size=3, max_size=3).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3).map(
        lambda v: pa.array(v, pa.int64())
    ),
    st.lists(st.none() | st.floats(allow_infinity=False), min_size=3, max_size=3).map(
        lambda v: pa.array(v, pa.float64())
    ),
    st.lists(st.none() | st.booleans(), min_size=3, max_size=3).map(
        lambda v: pa.array(v, pa.bool_())
    ),
    st.lists(st.none() | st.text(max_size=2), min_size=3, max_size=3).map(
        lambda v: pa.array(v, pa.string()).dictionary_encode()
    ),
)


def told(column: pa.Array) -> list[Any]:
    """What a column says of each row: whole numbers that pandas made floats for a gap are whole."""
    values = [None if value != value else value for value in column.to_pylist()]
    given = [value for value in values if value is not None]
    has_gap = pa.types.is_floating(column.type) and 0 < len(given) < len(values)
    if has_gap and all(value.is_integer() and abs(value) <= 2**53 for value in given):
        return [None if value is None else int(value) for value in values]
    return values


@given(st.dictionaries(st.text(), columns, min_size=1, max_size=4))
@example({'\x00é"\\\u2028': pa.array(['\x00\x1f\x7f"\\', None, "ü"])})
@example({"x": pa.array([1.0, None, -0.0]), "y": pa.array([1.0, 2.0, 3.0])})
def test_params_of_columns_are_the_canonical_json_of_each_row(found: dict[str, pa.Array]) -> None:
    by_column = {name: told(column) for name, column in found.items()}
    rows = [
        {name: values[row] for name, values in by_column.items() if values[row] is not None}
        for row in range(3)
    ]
    made, names = row_params(pa.table(found), None, "the table")
    assert made is not None
    assert made.to_pylist() == [canonical_params(row) for row in rows]
    assert set(names) == {name for row in rows for name in row}


# Refusals, word by word


def test_nothing_at_the_path(here: Path) -> None:
    (here / "notes.txt").touch()
    assert refusal("clisp/x") == (
        f"there is nothing at clisp/x; the folder {here} holds 'clips', 'notes.txt'"
    )
    for number in range(10):
        (here / f"z{number}").touch()
    assert refusal("nope").endswith("'z0', 'z1', 'z2', 'z3', 'z4', 'z5' and 4 more")


def test_nothing_at_a_path_in_an_empty_folder(here: Path) -> None:
    (here / "empty").mkdir()
    assert (
        refusal("empty/x") == f"there is nothing at empty/x; the folder {here}/empty holds nothing"
    )


def test_path_that_no_system_takes() -> None:
    assert refusal("x" * 5000).startswith("there is nothing at xxx")
    assert refusal("a\0b").startswith("there is nothing at a\0b")
    assert refusal("") == "the source is empty text; expected a folder, a glob or a file"


def test_folder_without_files(here: Path) -> None:
    (here / "empty").mkdir()
    advice = "Check the folder and the pattern: '*.mp4' takes this folder only, '**/*.mp4' the ones below too."
    assert refusal("empty") == "empty is empty; expected a folder with files in it. Check its path."
    assert refusal("clips", pattern="*.avi") == f"clips has no file that matches '*.avi'. {advice}"
    assert refusal("clips", pattern="*.avi", unit="folder") == (
        "clips has no folder with files that match '*.avi'. Check the folder and the pattern: '*/*.dcm' "
        "takes folders right below this one, '**/*.dcm' all that hold such files."
    )


@pytest.mark.parametrize("pattern", [".*", "**/.cache/*.txt", "**/*"])
def test_folder_whose_names_begin_with_a_dot_says_how_to_register_them(
    here: Path, pattern: str
) -> None:
    (here / "hidden" / ".cache").mkdir(parents=True)
    files = [here / "hidden" / ".a.txt", here / "hidden" / ".cache" / "b.txt"]
    for file in files:
        file.write_text("x")
    advice = (
        " Names that begin with a dot are left out; to register such files, pass a list of their paths in "
        "place of "
    )
    assert refusal("hidden", pattern=pattern).endswith(f"{advice}the folder.")
    assert refusal(f"hidden/{pattern}").endswith(f"{advice}the glob.")
    assert "a dot" not in refusal("hidden", pattern="*.mp4")
    assert resolve_inputs(files).paths.to_pylist() == [".a.txt", ".cache/b.txt"]


def test_folder_of_which_nothing_can_be_read(here: Path) -> None:
    (here / "links").mkdir()
    (here / "links" / "a").symlink_to("nowhere")
    assert refusal("links").startswith(
        "links has no file that matches '**/*'; 1 could not be read, first 'a' (a broken link). Check"
    )


def test_glob_from_nowhere() -> None:
    assert refusal("nope/*.mp4") == "the glob 'nope/*.mp4' starts from nope, which is not a folder"


@pytest.mark.parametrize("source", [None, 5, {"path": ["a"]}, object()])
def test_source_of_another_type(source: Any) -> None:
    assert refusal(source) == (
        f"the source is of type {type(source).__name__}; expected a folder, a glob, a CSV or Parquet file, "
        "a DataFrame, or a list of paths"
    )


def test_empty_list() -> None:
    assert refusal([]) == "the list of paths is empty; expected at least one path"


@pytest.mark.parametrize("item", [None, 5, "", ["a"]])
def test_list_with_an_item_that_is_no_path(item: Any) -> None:
    assert refusal(["clips/a.mp4", item]) == (
        f"item 1 of the list is {item!r} of type {type(item).__name__}; expected a path"
    )


def test_list_with_missing_files(here: Path) -> None:
    paths = ["clips/a.mp4", "clips/x", "clips/y", "clips/z", "clips/w", "clips/sub"]
    assert refusal(paths) == (
        f"5 of 6 paths of the list are no files below {here}/clips, first ['clips/x', 'clips/y', "
        "'clips/z']. Correct them or leave them out."
    )
    assert refusal(["clips/a.mp4", "clips/sub"], unit="folder").startswith(
        "1 of 2 paths of the list are no folders below"
    )


def test_table_with_missing_files(here: Path) -> None:
    (here / "m.csv").write_text("path\nclips/a.mp4\nx\0y\n")
    assert refusal("m.csv") == (
        f"1 of 2 paths of {here}/m.csv are no files below {here}, first ['x\\x00y']. "
        "Correct them or leave them out."
    )


def test_long_table_is_looked_at_in_part_and_its_sizes_stay_unknown(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_lists, "LOOKED_AT", 100)
    monkeypatch.setattr(path_lists, "SAMPLE", 10)
    frame = pd.DataFrame({"path": ["clips/a.mp4"] * 101, "n": range(101)})
    assert resolve_inputs(frame).sizes.null_count == 101
    frame.loc[1, "path"] = "nope"
    assert resolve_inputs(frame).sizes.null_count == 101, "row 1 is not in the sample"
    frame.loc[10, "path"] = "none"
    assert refusal(frame).startswith(
        f"2 of 101 paths of the DataFrame are no files below {here}, first ['nope', 'none']"
    )


@pytest.mark.parametrize("path", ["../x.mp4", "clips/../../x.mp4", "..", "./.."])
def test_table_with_a_path_that_climbs_out(here: Path, path: str) -> None:
    (here.parent / "x.mp4").touch()
    assert refusal(pd.DataFrame({"path": ["clips/a.mp4", path]})) == (
        f"the DataFrame has the path {path!r}, which climbs out of its source {here}; expected paths "
        "below it, or absolute ones only"
    )


def test_name_that_begins_with_dots_does_not_climb(here: Path) -> None:
    (here / "..a").touch()
    assert resolve_inputs(pd.DataFrame({"path": ["..a"]})).paths.to_pylist() == ["..a"]


def test_table_without_a_column_of_inputs(here: Path) -> None:
    (here / "m.csv").write_text("file,x\na,1\n")
    assert refusal("m.csv") == (
        f"{here}/m.csv has the columns ['file', 'x']; expected one named 'path' (or 'id' for inputs that "
        "are no files)"
    )


@pytest.mark.parametrize(
    ("name", "separator"), [("m.csv", ";"), ("m.csv", "\t"), ("m.csv", "|"), ("m.tsv", ",")]
)
def test_table_with_another_separator_says_so(here: Path, name: str, separator: str) -> None:
    (here / name).write_text(f"path{separator}x\nclips/a.mp4{separator}1\n")
    assert refusal(name).endswith(
        f" files). Its columns seem to be separated by {separator!r}: pass pandas.read_csv(..., "
        f"sep={separator!r}), or save it as .csv with commas"
    )
    assert len(resolve_inputs(pd.read_csv(name, sep=separator)).paths) == 1


@pytest.mark.parametrize("kind", ["csv", "parquet", "DataFrame"])
def test_table_without_rows(here: Path, kind: str) -> None:
    source: Any = here / f"m.{kind}"
    frame = pd.DataFrame({"path": pd.Series([], dtype=object)})
    if kind == "DataFrame":
        source = frame
    elif kind == "csv":
        frame.to_csv(source, index=False)
    else:
        parquet.write_table(pa.table({"path": pa.array([], pa.string())}), source)
    label = "the DataFrame" if kind == "DataFrame" else source
    assert refusal(source) == f"{label} has no rows"


@pytest.mark.parametrize("value", [None, "", float("nan"), pd.NA], ids=repr)
def test_row_without_a_path(value: Any) -> None:
    frame = pd.DataFrame({"path": pd.Series(["clips/a.mp4", value], dtype=object)})
    assert refusal(frame) == "row 1 of the DataFrame has no 'path'"
    assert refusal(frame.rename(columns={"path": "id"}), name="x") == (
        "row 1 of the DataFrame has no 'id'"
    )


def test_csv_row_without_a_path(here: Path) -> None:
    (here / "m.csv").write_text("path,x\nclips/a.mp4,1\n,2\n")
    assert refusal("m.csv") == f"row 1 of {here}/m.csv has no 'path'"


def test_path_that_is_no_text() -> None:
    assert refusal(pd.DataFrame({"path": [1.5]})) == (
        "row 0 of the DataFrame has the 'path' 1.5 of type float; expected text"
    )
    assert refusal(pd.DataFrame({"id": [True]}), name="x").endswith("expected text")


def test_two_columns_of_one_name() -> None:
    table = pa.table(
        [pa.array(["clips/a.mp4"]), pa.array([1]), pa.array([2])], names=["path", "x", "x"]
    )
    assert refusal(table) == "the Arrow table has two columns named 'x'; rename one"


def test_column_value_that_is_no_json() -> None:
    when = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - one without a zone is the case
    table = pa.table({"id": ["a", "b"], "when": pa.array([None, when], pa.timestamp("us"))})
    assert refusal(table, name="x").startswith(
        "row 1 of the Arrow table: params['when'] is datetime.datetime(2024, 1, 1, 0, 0) of type datetime; "
        "expected a JSON value"
    )
    table = pa.table({"id": ["a", "b"], "x": [1.0, float("inf")]})
    assert refusal(table, name="x") == (
        "row 1 of the Arrow table: params['x'] is inf, which JSON cannot hold; use None"
    )


def test_frame_that_arrow_cannot_take() -> None:
    frame = pd.DataFrame({"path": ["clips/a.mp4", "clips/b.mp4"], "x": [1, "a"]})
    assert refusal(frame).startswith("the DataFrame cannot be read as a table of inputs: ")
    frame = pd.DataFrame({"path": ["clips/a.mp4"], "x": [object()]})
    found = refusal(frame)
    assert found.startswith(
        "the DataFrame cannot be read as a table of inputs: Conversion failed for column x with type "
        "object: Could not convert <object object at "
    )
    assert found.endswith(
        ". Expected values of one type in each column: text, numbers, true/false, or lists or dicts of "
        "them. Convert the column first, for example with .astype(str)."
    )


@pytest.mark.parametrize("name", ["broken.parquet", "broken.csv", "empty.csv"])
def test_file_that_is_no_table(here: Path, name: str) -> None:
    (here / name).write_bytes(
        {"broken.csv": b"path,x\na\n", "empty.csv": b""}.get(name, b"PAR1 no")
    )
    kind = "Parquet" if name.endswith("parquet") else "CSV"
    assert refusal(name).startswith(f"{here / name} cannot be read as a {kind} table: ")


def test_csv_that_is_not_utf8(here: Path) -> None:
    for content in ("id,name\n1,Müller\n", "id,größe\n1,2\n"):
        (here / "latin.csv").write_bytes(content.encode("latin-1"))
        (here / "wide.csv").write_bytes(content.encode("utf-16"))
        for name in ("latin.csv", "wide.csv"):
            found = refusal(name)
            assert found.startswith(f"{here / name} cannot be read as a CSV table: ")
            assert found.endswith(
                " It is not in UTF-8: save it so, or pass pandas.read_csv(..., encoding=...) with its "
                "encoding, such as 'cp1252' or 'utf-16'."
            )


def test_csv_row_with_too_many_values_says_what_was_expected(here: Path) -> None:
    (here / "m.csv").write_text("id,name\n1,a,b\n")
    assert refusal("m.csv").endswith(
        "Expected a line with the names of the columns, then lines with as many values; put quotes around "
        "values that hold the separator or a line break."
    )


@pytest.mark.parametrize(
    ("source", "start"),
    [
        pytest.param(["https://example.org/a"], "this list of URLs has", id="URLs"),
        pytest.param(
            pd.DataFrame({"path": ["s3://b/a"]}), "this table of URLs has", id="URL table"
        ),
        pytest.param(pd.DataFrame({"id": ["a"]}), "this table of ids has", id="ids"),
        pytest.param(["/bin", "/usr"], "this list below / has", id="no common folder"),
    ],
)
def test_source_without_a_folder_needs_a_name(source: Any, start: str) -> None:
    unit = "folder" if start.endswith("/ has") else "file"
    assert refusal(source, unit=unit) == (
        f"{start} no folder to take its name from; pass name='...', since the name is part of each job's "
        "identity"
    )


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\ud800", 5, ["x"]], ids=repr)
def test_name_that_cannot_name_a_source(name: Any) -> None:
    assert refusal("clips", name=name) == (
        f"name={name!r} cannot name a source; expected text on one line that can be printed"
    )


def test_half_a_character_in_a_list() -> None:
    assert refusal([f"clips/a{chr(0xD800)}"]).startswith("1 of 1 paths of the list are no files")
    assert refusal(["https://example.org/\ud800"], name="x").endswith("is not valid Unicode text")
