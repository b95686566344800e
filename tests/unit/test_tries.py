"""A group of tries by column."""

from __future__ import annotations

from typing import Any

import pytest

from foregsyte_kaggle.arrays import FEW
from foregsyte_kaggle.tries import Ended, Tries
from foregsyte_kaggle.worker import Outcome

pytestmark = pytest.mark.unit


def ended(number: int, kind: str = "completed", pipeline_id: str = "p", **more: Any) -> Ended:
    outcome = Outcome(number, kind, 1.5, 0.25, [{"n": number}], worker="w", **more)
    return Ended(pipeline_id, f"job-{number}", 1, True, outcome)


def test_results_of_completed_jobs_are_told_by_pipeline() -> None:
    group = [
        ended(1),
        ended(2, pipeline_id="q"),
        ended(3, "failed"),
        ended(4, "failed", "r"),
        ended(5),
    ]
    assert Tries.of(group).returned() == {
        "p": [("job-1", [{"n": 1}]), ("job-5", [{"n": 5}])],
        "q": [("job-2", [{"n": 2}])],
        "r": [],
    }


def test_output_files_are_those_of_completed_jobs_only() -> None:
    group = [
        ended(1, output_paths=["p/a.jpg"]),
        ended(2, "failed", output_paths=["p/b.jpg"]),
        ended(3),
    ]
    table = Tries.of(group).table({})
    assert table["output_paths"].to_pylist() == ['["data/outputs/p/a.jpg"]', None, None]


def test_a_large_group_that_is_all_alike_makes_the_table_of_its_small_parts() -> None:
    group = [ended(number) for number in range(FEW + 1)]
    rows = {one.job_id: 1 for one in group}
    whole = Tries.of(group).table(rows)
    assert whole.num_rows == FEW + 1
    for part in (slice(0, 2), slice(FEW - 1, FEW + 1)):
        made = Tries.of(group[part]).table(rows)
        assert made.schema == whole.schema
        assert made.to_pylist() == whole.slice(part.start, 2).to_pylist()


def test_one_that_differs_in_a_large_group_keeps_what_is_its_own() -> None:
    group = [ended(number) for number in range(FEW + 1)]
    group[-1] = ended(FEW, "failed", error_type="ValueError", output="said")._replace(final=False)
    last = Tries.of(group).table({}).slice(FEW).to_pylist()[0]
    assert (last["final"], last["outcome"], last["error_type"], last["output"]) == (
        False,
        "failed",
        "ValueError",
        "said",
    )
    first = Tries.of(group).table({}).slice(0, 1).to_pylist()[0]
    assert (first["final"], first["outcome"], first["error_type"], first["output"]) == (
        True,
        "completed",
        None,
        None,
    )
