"""The garbage collector is left as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pandas as pd
import pytest

from foregsyte_kaggle import pipeline, register_jobs, run_jobs
from foregsyte_kaggle.collector import QuietCollector

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _nothing_frozen() -> Iterator[None]:
    was_frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    yield
    if was_frozen:
        gc.freeze()


def test_what_exists_is_left_out_from_the_first_begin_until_the_end() -> None:
    with QuietCollector() as collector:
        assert gc.get_freeze_count() == 0
        collector.begin()
        frozen = gc.get_freeze_count()
        assert frozen > 1000
        collector.begin()
        assert gc.get_freeze_count() <= frozen
    assert gc.get_freeze_count() == 0


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(ValueError, match="in the run"), QuietCollector() as collector:
        collector.begin()
        raise ValueError("in the run")
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    with QuietCollector() as collector:
        collector.begin()
    assert gc.get_freeze_count() > 1000
    gc.unfreeze()


@pytest.mark.usefixtures("memory_workspace")
def test_a_run_of_many_jobs_leaves_out_what_exists_and_its_end_puts_it_back() -> None:
    frozen = []
    pipeline("p")(lambda _text: frozen.append(gc.get_freeze_count()))
    register_jobs(pd.DataFrame({"id": [str(number) for number in range(3_000)]}), "p", name="ids")
    run_jobs("p", executor="threads", workers=1, progress=False)
    assert frozen[0] == 0
    assert frozen[-1] > 1000
    assert gc.get_freeze_count() == 0
