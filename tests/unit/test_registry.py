"""The registry: ids, what is found under them, and fingerprints that change with the code only."""

from __future__ import annotations

import functools
import linecache
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foregsyte_kaggle import InvalidArgumentError, PipelineError
from foregsyte_kaggle.registry import find_pipeline, known_pipelines, pipeline, pipelines
from foregsyte_kaggle.registry.builtin import file_info
from foregsyte_kaggle.registry.fingerprints import fingerprint

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


def count_lines(path: Path) -> dict[str, int]:
    """Count the lines.

    Of a text file.
    """
    return {"lines": len(path.read_text().splitlines())}


class Model:
    """Answer 42."""

    def __init__(self, weights: str) -> None:
        self.weights = weights

    def __call__(self, _path: Path) -> dict[str, int]:
        return {"answer": 42}


# Ids


@pytest.mark.parametrize("pipeline_id", ["a", "yolo_ocr", "a1_", "x" * 63])
def test_id_that_can_name_a_table_is_taken(pipeline_id: str) -> None:
    assert pipeline(pipeline_id)(count_lines) is count_lines
    found = find_pipeline(pipeline_id)
    assert (found.target, found.origin, found.is_class) == (count_lines, __name__, False)
    assert pipeline_id in known_pipelines()


@pytest.mark.parametrize(
    "pipeline_id",
    [
        "",
        "A",
        "1a",
        "_a",
        "a-b",
        "a b",
        "ü",
        "a\n",
        "x" * 64,
        'a"',
        "results.a",
        None,
        5,
    ],
    ids=lambda value: f"{value!r:.20}",
)
def test_id_that_cannot_name_a_table_is_refused(pipeline_id: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        pipeline(pipeline_id)
    assert str(caught.value) == (
        f"pipeline_id={pipeline_id!r} cannot name a table; expected a small letter, then up to 62 small "
        "letters, digits and underscores, such as 'yolo_ocr'"
    )


def test_pipeline_without_parentheses_is_refused_with_what_to_write() -> None:
    with pytest.raises(InvalidArgumentError, match=r"write @pipeline\('count_lines'\)"):
        pipeline(count_lines)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [None, "count_lines", 5])
def test_what_cannot_be_called_is_no_pipeline(target: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        pipeline("a")(target)
    assert str(caught.value) == f"the pipeline 'a' is {target!r}; expected a function or a class"


def test_decorating_again_replaces_also_what_is_built_in() -> None:
    pipeline("a")(count_lines)
    pipeline("a")(Model)
    assert find_pipeline("a").target is Model
    assert find_pipeline("file_info").target is file_info
    assert find_pipeline("file_info").origin == "built-in"
    pipeline("file_info")(count_lines)
    assert find_pipeline("file_info").target is count_lines


def test_batch_size_is_kept_and_none_by_default() -> None:
    pipeline("batches", batch_size=32)(count_lines)
    pipeline("singles")(count_lines)
    assert find_pipeline("batches").batch_size == 32
    assert find_pipeline("singles").batch_size is None
    assert find_pipeline("file_info").batch_size is None


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.0, "8"])
def test_batch_size_is_a_whole_number_from_1(batch_size: Any) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"batch_size=.*; expected a whole number from 1"
    ):
        pipeline("batches", batch_size=batch_size)


def test_class_is_told_from_a_function() -> None:
    pipeline("a")(Model)
    pipeline("b")(Model("w"))
    assert find_pipeline("a").is_class
    assert not find_pipeline("b").is_class


def test_unknown_id_says_what_is_known_and_the_nearest() -> None:
    with pytest.raises(PipelineError) as caught:
        find_pipeline("yolo_orc")
    assert str(caught.value) == (
        "there is no pipeline 'yolo_orc'. Did you mean 'yolo_ocr'? Known are file_info, video_info, "
        "yolo_ocr. Define it first: @foregsyte_kaggle.pipeline('yolo_orc') above a function of a path."
    )
    with pytest.raises(PipelineError, match=r"^there is no pipeline '\?'\. Known are file_info, "):
        find_pipeline("?")


@pytest.mark.parametrize("pipeline_id", [None, 5, ["a"], count_lines], ids=lambda v: f"{v!r:.20}")
def test_id_that_is_no_text_is_an_error_of_ours(pipeline_id: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        find_pipeline(pipeline_id)
    assert str(caught.value) == (
        f"pipeline_id={pipeline_id!r:.80} is no text; expected the id that a pipeline is registered under, "
        "such as 'file_info'"
    )


def test_pipelines_are_listed_with_what_they_are() -> None:
    pipeline("count_lines")(count_lines)
    pipeline("model", version="7")(Model)
    pipeline("nameless")(lambda path: None)
    frame = pipelines()
    frame = frame.set_index("pipeline_id")
    ours = ["count_lines", "file_info", "model", "nameless", "video_info", "yolo_ocr"]
    assert frame.index.tolist() == ours
    assert frame.loc["count_lines"].to_dict() == {
        "origin": __name__,
        "kind": "function",
        "params": "",
        "extra": None,
        "installed": True,
        "problem": None,
        "code_version": fingerprint(count_lines),
        "description": "Count the lines.",
    }
    told = ["kind", "params", "code_version", "description"]
    assert frame.loc["model", told].tolist() == ["class", "weights", "7", "Answer 42."]
    assert frame.loc["nameless", "description"] == ""
    assert frame.loc["file_info", ["origin", "extra"]].tolist() == ["built-in", None]
    params = (
        "detector=None, every_seconds=1.0, frames=None, confidence=0.25, iou=0.45, classes=None, "
        "annotate=False"
    )
    assert frame.loc["yolo_ocr", ["origin", "kind", "extra", "params"]].tolist() == [
        "built-in",
        "class",
        "vision",
        params,
    ]


def test_what_a_notebook_registers_is_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_lines, "__module__", "__main__")
    pipeline("count_lines")(count_lines)
    assert find_pipeline("count_lines").origin == "notebook"


# Versions of code


def test_version_stands_for_the_code() -> None:
    pipeline("a", version="2.1")(count_lines)
    assert find_pipeline("a").code_version == "2.1"
    pipeline("a", version=3)(count_lines)  # type: ignore[arg-type]
    assert find_pipeline("a").code_version == "3"
    pipeline("a", version="")(count_lines)
    assert find_pipeline("a").code_version == ""
    pipeline("a")(count_lines)
    assert find_pipeline("a").code_version == fingerprint(count_lines)


def cell(text: str, name: str = "<ipython-input-1>", *, with_source: bool = True) -> Any:
    """Run text as a notebook does, and return what it names ``target``."""
    names: dict[str, Any] = {"__name__": "__main__", "functools": functools}
    linecache.cache.pop(name, None)  # another test may have left its lines there
    if with_source:
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), names)
    return names["target"]


FUNCTION = """
def target(path, limit=3):
    found = {word for word in path.split() if word in {"a", "b", "c"}}
    return {"n": sum(map(lambda x: x * 2, range(limit))), "found": sorted(found)}
"""
CLASS = """
class target:
    size = 3

    def __init__(self, weights):
        self.weights = weights

    @staticmethod
    def double(x):
        return 2 * x

    @property
    def name(self):
        return "m"

    def __call__(self, path):
        return {"n": self.double(self.size)}
"""
PARTIAL = """
def inner(path, limit):
    return {"n": limit}

target = functools.partial(inner, limit=object())
"""
INSTANCE = """
class Model:
    def __call__(self, path):
        return {"n": 1}

target = Model()
"""
SUBCLASS = """
class Base:
    def run(self):
        return 1

class target(Base):
    def __call__(self, path):
        return {"n": self.run()}
"""
CLOSURE = """
def make(scale, names):
    def helper(x):
        return x * scale

    def target(path):
        return {"n": helper(len(path)), "known": path in names}

    return target

target = make(2, {"sizes": [1, 2], "self": {"a", "b"}})
"""
RECURSIVE = """
def make():
    def odd(n):
        return n != 0 and target(n - 1)

    def target(n):
        return n == 0 or odd(n - 1)

    return target

target = make()
"""
CELLS = {
    "function": FUNCTION,
    "class": CLASS,
    "partial": PARTIAL,
    "instance": INSTANCE,
    "closure": CLOSURE,
    "recursive": RECURSIVE,
}
each_cell = pytest.mark.parametrize("text", CELLS.values(), ids=CELLS.keys())
each_source = pytest.mark.parametrize("with_source", [True, False], ids=["source", "no source"])


@each_cell
@each_source
def test_cell_run_again_has_the_same_fingerprint(text: str, with_source: bool) -> None:
    first = fingerprint(cell(text, "<ipython-input-1>", with_source=with_source))
    again = fingerprint(cell(text, "<ipython-input-2>", with_source=with_source))
    assert first == again
    assert len(first) == 16


CHANGES: dict[str, tuple[str, str, str]] = {
    "constant": (FUNCTION, "x * 2", "x * 3"),
    "function that is called": (FUNCTION, "sorted(found)", "list(found)"),
    "constant of a set": (FUNCTION, '"c"}', '"d"}'),
    "method": (CLASS, "2 * x", "3 * x"),
    "property": (CLASS, '"m"', '"n"'),
    "call": (CLASS, '{"n"', '{"m"'),
    "attribute of a class": (CLASS, "size = 3", "size = 4"),
    "class above a class": (SUBCLASS, "return 1", "return 2"),
    "function of a partial": (PARTIAL, '{"n"', '{"m"'),
    "param of a partial": (PARTIAL, "limit=object", "path=object"),
    "value of a param of a partial": (PARTIAL, "limit=object()", "limit=3"),
    "class of an instance": (INSTANCE, '{"n"', '{"m"'),
    "value in the closure of a function in the closure": (CLOSURE, "make(2", "make(3"),
    "function in a closure": (CLOSURE, "x * scale", "x + scale"),
    "value in a container in a closure": (CLOSURE, "[1, 2]", "[1, 3]"),
    "key in a closure": (CLOSURE, '"sizes"', '"shapes"'),
    "type in a closure": (CLOSURE, "make(2", "make(object()"),
    "function of two that call each other": (RECURSIVE, "!= 0", "> 0"),
}


@pytest.mark.parametrize(("text", "old", "new"), CHANGES.values(), ids=CHANGES.keys())
@each_source
def test_change_of_the_code_changes_the_fingerprint(
    text: str, old: str, new: str, with_source: bool
) -> None:
    assert old in text
    before = fingerprint(cell(text, "<ipython-input-1>", with_source=with_source))
    after = fingerprint(cell(text.replace(old, new), "<ipython-input-2>", with_source=with_source))
    assert before != after


DECORATED = """
@fk.pipeline("p", batch_size=4)
@functools.cache
def target(paths):
    return [{"n": 1}] * len(paths)
"""


def decorated(old: str, new: str, name: str) -> str:
    assert old in DECORATED
    text = f"import foregsyte_kaggle as fk\nfrom foregsyte_kaggle import pipeline\n{DECORATED}"
    return fingerprint(cell(text.replace(old, new), name))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("=4", "=8"),
        ("fk.pipeline", "pipeline"),
        ('("p", batch_size=4)', '(\n    "p",  # (\n    batch_size=8,\n)'),
        ('@fk.pipeline("p", batch_size=4)\n', ""),
    ],
    ids=["batch size", "imported name", "several lines", "registered otherwise"],
)
def test_decorator_that_registers_a_function_does_not_count(old: str, new: str) -> None:
    assert decorated("", "", "<ipython-input-5>") == decorated(old, new, "<ipython-input-6>")


def test_other_decorators_and_comments_count() -> None:
    before = decorated("", "", "<ipython-input-5>")
    assert before != decorated("@functools.cache\n", "", "<ipython-input-6>")
    assert before != decorated("(paths):", "(paths):  # all", "<ipython-input-7>")


def test_list_that_holds_itself_is_read_once() -> None:
    def make(found: list[Any]) -> Callable[..., Any]:
        return lambda path: found

    rows: list[Any] = [1]
    rows.append(rows)
    assert fingerprint(make(rows)) == fingerprint(make(rows)) != fingerprint(make([1]))


def test_text_in_front_of_a_function_does_not_count() -> None:
    text = "x = 1\n\n" + FUNCTION
    assert fingerprint(cell(text, "<ipython-input-3>")) == fingerprint(cell(FUNCTION))


def test_indentation_does_not_count() -> None:
    indented = (
        "if True:\n" + "\n".join(f"    {line}" for line in FUNCTION.strip().splitlines()) + "\n"
    )
    assert fingerprint(cell(indented, "<ipython-input-4>")) == fingerprint(cell(FUNCTION))


def test_wrapped_function_has_the_fingerprint_of_the_one_inside() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*arguments: Any) -> Any:
            return function(*arguments)

        return wrapper

    assert fingerprint(logged(count_lines)) == fingerprint(count_lines)


def test_functions_written_in_c_have_a_fingerprint() -> None:
    assert fingerprint(len) == fingerprint(len) != fingerprint(abs)


IN_A_SESSION = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.unit.test_registry import CELLS, Model, cell, count_lines, fingerprint
targets = [count_lines, Model, Model("w"), len]
targets += [cell(text, with_source=way) for text in CELLS.values() for way in (True, False)]
print(*map(fingerprint, targets))
"""


def test_fingerprints_are_the_same_in_every_session() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", IN_A_SESSION, str(ROOT)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert len(found.pop().split()) == 4 + 2 * len(CELLS)
