"""An argument of a wrong type is an error of ours that names it, whichever public function it goes to."""

from __future__ import annotations

import inspect
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk

pytestmark = pytest.mark.unit

#: What makes a call of each function a right one.
RIGHT: dict[str, dict[str, Any]] = {
    "attempts_frame": {},
    "bootstrap": {},
    "environment": {},
    "export_results": {"pipeline_id": "p", "path": "p.csv"},
    "job_table": {},
    "jobs_frame": {},
    "pack_outputs": {},
    "merge_ledgers": {"paths": []},
    "pipeline": {"pipeline_id": "p"},
    "pipelines": {},
    "plot_durations": {},
    "plot_progress": {},
    "register_jobs": {"source": pd.DataFrame({"id": ["a"]}), "pipeline_id": "p", "name": "ids"},
    "results_frame": {"pipeline_id": "p"},
    "retry_jobs": {},
    "run_panel": {},
    "run_jobs": {"executor": "inline", "progress": False},
    "serve": {},
    "snapshot": {"path": "copy.duckdb"},
    "sql": {"query": "SELECT 1"},
    "summary_frame": {},
}
WRONG = [5, 2.5, True, b"x", "\0", ["a", 3], {"a": 1}, float("nan"), print, object()]
#: Such values are taken: a version is any object as text, and a bar is shown where it is true.
TAKEN = {("pipeline", "version"), ("run_jobs", "progress")}
ARGUMENTS = [
    (name, parameter)
    for name in RIGHT
    for parameter in inspect.signature(getattr(fk, name)).parameters
    if (name, parameter) not in TAKEN
]


def test_every_public_function_is_tried() -> None:
    functions = {name for name in fk.__all__ if inspect.isfunction(getattr(fk, name))}
    assert functions - {"get_db"} == set(RIGHT)


@pytest.mark.usefixtures("memory_workspace")
@pytest.mark.parametrize(("name", "parameter"), ARGUMENTS)
def test_wrong_type_is_an_error_of_ours(name: str, parameter: str) -> None:
    fk.pipeline("p")(lambda _text, **_params: None)
    refused = 0
    for value in WRONG:
        try:
            getattr(fk, name)(**RIGHT[name] | {parameter: value})
        except fk.ForegsyteError:
            refused += 1
    assert refused >= 5, "most of these are no right value of any argument"


@pytest.mark.usefixtures("memory_workspace")
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("bootstrap", {"directory": 5}, "directory=5; expected a path, as text or a pathlib.Path"),
        ("snapshot", {"path": None}, "path=None; expected a path, as text or a pathlib.Path"),
        (
            "snapshot",
            {"path": "a\0b"},
            "path='a\\x00b'; expected a path, as text or a pathlib.Path",
        ),
        (
            "jobs_frame",
            {"workspace": "here"},
            "workspace='here'; expected what bootstrap() returned, or None for the active one",
        ),
        ("run_jobs", {"limit": True}, "limit=True; expected a whole number from 1"),
        ("run_jobs", {"on_error": ["raise"]}, "on_error=['raise']; expected 'continue' or 'raise'"),
    ],
    ids=str,
)
def test_wrong_type_says_what_was_expected(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(fk.InvalidArgumentError) as caught:
        getattr(fk, name)(**arguments)
    assert str(caught.value) == message
