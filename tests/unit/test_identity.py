"""A job's id is the same in every session, on every machine and DuckDB, and computed alike in SQL."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.identity import (
    ENCODED,
    IDENTITY_SQL,
    canonical_json,
    canonical_params,
    decode_path,
    decode_paths,
    encode_path,
    encode_paths,
    identity_prefix,
    job_identity,
)

pytestmark = pytest.mark.unit

NESTED = {"b": [1, 2.5, None, True], "a": {"z": "ü", "y": -0.0, "q": 1e300}}

# Written down once and never to be changed: ledgers out there hold these ids.
GOLDEN = {
    "plain": (("file_info", "clips", "a.mp4", None), "e83ecd9e-8ad4-1849-0bad-0195fb513180"),
    "no source": (("file_info", None, "a.mp4", None), "d6db948b-cacf-6070-a55d-b2766714ec26"),
    "unicode": (
        ("yolo_ocr", "матчи ⚽", "игра/試合 é.mp4", None),
        "a72ff668-d04e-0931-214f-cf1f6e29a699",
    ),
    "quotes and backslash": (
        ("yolo_ocr", "clips", 'it\'s "quoted"\\ back.mp4', None),
        "045d5fa9-e629-fa2d-f571-78132d009683",
    ),
    "percent": (
        ("yolo_ocr", "100% clips", "%d %20 100%.mp4", None),
        "cfbbb0fc-53b5-a213-9d2c-7e8a4a3324a3",
    ),
    "nested params": (
        ("yolo_ocr", "clips", "a.mp4", NESTED),
        "2da5b12f-809e-015b-4b23-93592a28af5a",
    ),
    "encoded line break": (
        ("yolo_ocr", "clips", "percent-encoded:two%0Alines.mp4", None),
        "cffa4c16-42ee-e4c3-d56e-0a643143da67",
    ),
    "encoded bytes, params": (
        ("yolo_ocr", "clips", "percent-encoded:latin %E9.mp4", {"k": "v"}),
        "07d81106-d0d8-38e7-24a8-50582a1c6e20",
    ),
    "source with slashes, markup": (
        ("yolo_ocr", "google/gemma/transformers", "<script>alert(1)</script>", {"threshold": 0.5}),
        "6950a434-ec72-d00b-40c0-0a12dd12eb35",
    ),
}

golden = pytest.mark.parametrize(("job", "job_id"), GOLDEN.values(), ids=GOLDEN.keys())


@pytest.fixture(scope="module")
def plain_duckdb() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def identities_in_sql(
    connection: duckdb.DuckDBPyConnection,
    pipeline_id: str,
    source: str | None,
    rows: list[tuple[str, str]],
) -> list[str]:
    columns = {
        "path": pa.array([path for path, _ in rows], pa.string()),
        "params": pa.array([params for _, params in rows], pa.string()),
    }
    connection.register("inputs", pa.table(columns))
    found = connection.execute(
        f"SELECT ({IDENTITY_SQL})::VARCHAR FROM inputs",
        {"prefix": identity_prefix(pipeline_id, source)},
    ).fetchall()
    connection.unregister("inputs")
    return [row[0] for row in found]


@golden
def test_job_identity_is_the_one_written_down(
    job: tuple[str, str | None, str, dict[str, Any] | None], job_id: str
) -> None:
    assert job_identity(*job) == uuid.UUID(job_id), "ids may never change: jobs would double"


@golden
def test_identity_in_sql_is_the_one_written_down(
    plain_duckdb: duckdb.DuckDBPyConnection,
    job: tuple[str, str | None, str, dict[str, Any] | None],
    job_id: str,
) -> None:
    pipeline_id, source, path, params = job
    rows = [(path, canonical_params(params))]
    assert identities_in_sql(plain_duckdb, pipeline_id, source, rows) == [job_id]


def test_encoded_names_of_the_golden_ids_are_what_encode_path_gives() -> None:
    assert encode_path("two\nlines.mp4") == "percent-encoded:two%0Alines.mp4"
    assert encode_path(os.fsdecode(b"latin \xe9.mp4")) == "percent-encoded:latin %E9.mp4"


def test_job_identity_is_the_md5_of_its_canonical_json() -> None:
    text = (
        '[1,"yolo_ocr","clips","a.mp4",{"a":{"q":1e+300,"y":-0.0,"z":"ü"},"b":[1,2.5,null,true]}]'
    )
    assert json.loads(text) == [1, "yolo_ocr", "clips", "a.mp4", NESTED]
    expected = uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())
    assert job_identity("yolo_ocr", "clips", "a.mp4", NESTED) == expected


def test_no_params_and_empty_params_are_the_same_job() -> None:
    assert job_identity("p", "s", "a", {}) == job_identity("p", "s", "a", None)


def test_every_part_of_the_identity_counts() -> None:
    jobs = [
        ("p", "s", "a", None),
        ("q", "s", "a", None),
        ("p", "t", "a", None),
        ("p", None, "a", None),
        ("p", "s", "b", None),
        ("p", "s", "a", {"x": 1}),
        ("p", "s", "a", {"x": 1.0}),
        ("p", "s", "a", {"x": "1"}),
        ("p", "s", "a", {"x": True}),
        ("p", "s", "a", {"x": None}),
    ]
    assert len({job_identity(*job) for job in jobs}) == len(jobs)


def test_order_of_params_does_not_count() -> None:
    one = job_identity("p", "s", "a", {"x": 1, "y": {"b": 1, "a": 2}})
    assert one == job_identity("p", "s", "a", {"y": {"a": 2, "b": 1}, "x": 1})


# Surrogates stand for undecodable bytes as os.fsdecode writes them; other halves name no file.
names = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Plain text only: hypothesis' text() without surrogates is what JSON can hold.
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
params_of_jobs = st.dictionaries(st.text(), json_values, max_size=3)
pipeline_ids = st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True)


@settings(deadline=None)
@given(
    pipeline_id=pipeline_ids,
    source=st.none() | st.text(),
    jobs=st.lists(st.tuples(names, params_of_jobs), min_size=1),
)
@example(
    pipeline_id="p",
    source="\x00\x1f\x7f\x85\u2028\ufeff",
    jobs=[("\x00\x01\x1f\x7f\x80\u2028\ufeff\\\"'/", {})],
)
@example(
    pipeline_id="p",
    source=None,
    jobs=[("".join(map(chr, range(0x250))), {"".join(map(chr, range(0x250))): "\x00"})],
)
@example(pipeline_id="p", source="s", jobs=[(os.fsdecode(bytes(range(1, 256))), {})])
def test_python_and_sql_agree_on_random_text(
    plain_duckdb: duckdb.DuckDBPyConnection,
    pipeline_id: str,
    source: str | None,
    jobs: list[tuple[str, dict[str, Any]]],
) -> None:
    rows = [(encode_path(name), canonical_params(params)) for name, params in jobs]
    expected = [
        str(job_identity(pipeline_id, source, encode_path(name), params)) for name, params in jobs
    ]
    assert identities_in_sql(plain_duckdb, pipeline_id, source, rows) == expected


@given(st.binary().map(os.fsdecode))
@example(ENCODED)
@example(f"{ENCODED}%41")
@example("100%")
@example("\x00")
def test_decode_path_undoes_encode_path(name: str) -> None:
    stored = encode_path(name)
    assert decode_path(stored) == name
    stored.encode()
    assert not any(character < " " for character in stored)
    assert encode_paths(["plain", name]) == ["plain", stored]
    assert list(decode_paths(["plain", stored])) == ["plain", name]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_ordinary_names_are_stored_as_they_are(name: str) -> None:
    assert encode_path(name) == (name if not name.startswith(ENCODED) else encode_path(name))


@given(st.lists(names, unique=True))
def test_no_two_names_are_stored_as_one(paths: list[str]) -> None:
    assert len(set(encode_paths(paths))) == len(paths)


def test_half_a_character_is_no_path() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        encode_path("a\ud800b")
    assert str(caught.value) == r"'a\ud800b' is not valid Unicode text"


@given(params_of_jobs)
def test_canonical_params_read_back_as_they_were(params: dict[str, Any]) -> None:
    text = canonical_params(params)
    assert json.loads(text) == params
    assert canonical_params(json.loads(text)) == text


EXPECTED = (
    "expected a JSON value (text, number, true/false, None, list, dict). "
    "Convert it first, for example with str(), int() or float()."
)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param(
            {"folder": Path("/tmp")},
            f"params['folder'] is PosixPath('/tmp') of type PosixPath; {EXPECTED}",
            id="path",
        ),
        pytest.param(
            {"boxes": [{"at": (1, 2 + 3j)}]},
            f"params['boxes'][0]['at'][1] is (2+3j) of type complex; {EXPECTED}",
            id="nested",
        ),
        pytest.param(
            {"kinds": {1: "goal"}},
            "params['kinds'] has the key 1 of type int; expected text, since params are stored as JSON",
            id="key",
        ),
        pytest.param(
            {"rate": float("nan")},
            "params['rate'] is nan, which JSON cannot hold; use None",
            id="nan",
        ),
        pytest.param(
            {"rate": [float("-inf")]},
            "params['rate'][0] is -inf, which JSON cannot hold; use None",
            id="infinity",
        ),
        pytest.param(
            {"name": "\udce9"},
            r"params['name'] is '\udce9', which is not valid Unicode text",
            id="surrogate",
        ),
        pytest.param(
            {"\ud800": 1},
            r"a key of params is '\ud800', which is not valid Unicode text",
            id="surrogate key",
        ),
        pytest.param(
            ["x"],
            "params is ['x'] of type list; expected a dict of JSON values",
            id="no dict",
        ),
        pytest.param("x", "params is 'x' of type str; expected a dict of JSON values", id="text"),
    ],
)
def test_params_that_are_no_json_are_refused_with_their_place(params: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        canonical_params(params)
    assert str(caught.value) == message


def test_params_that_hold_themselves_are_refused() -> None:
    params: dict[str, Any] = {}
    params["again"] = params
    with pytest.raises(InvalidArgumentError, match="nests too deep, or holds itself"):
        canonical_params(params)


def test_canonical_json_of_one_value_names_it_as_told() -> None:
    assert canonical_json(["ü", 1]) == '["ü",1]'
    with pytest.raises(
        InvalidArgumentError, match=r"^the threshold is \{1\} of type set; expected"
    ):
        canonical_json({1}, "the threshold")
