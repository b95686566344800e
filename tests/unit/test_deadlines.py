"""Time limits: what people write, and what is left of a session."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import pytest

from foregsyte_kaggle import deadlines, surroundings
from foregsyte_kaggle.deadlines import describe_seconds, find_deadline, parse_seconds
from foregsyte_kaggle.errors import InvalidArgumentError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("8h30m", 30600),
        ("8 h 30 min", 30600),
        ("10min", 600),
        ("90s", 90),
        ("1.5 hours", 5400),
        ("2 Days", 172800),
        (dt.timedelta(minutes=3), 180),
    ],
)
def test_lengths_of_time_that_are_understood(value: object, seconds: float) -> None:
    assert parse_seconds("time_limit", value) == seconds


@pytest.mark.parametrize(
    "value", ["", "soon", "8h30", "10 parsecs", "-5s", 0, -1, True, float("nan"), float("inf"), [1]]
)
def test_anything_else_is_an_error_that_names_the_argument(value: object) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"time_limit=.*expected seconds, or text such as"
    ):
        parse_seconds("time_limit", value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (45, "45 s"), (60, "1 min"), (3599, "1 h"), (30600, "8 h 30 min")],
)
def test_lengths_of_time_are_told_as_people_do(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


def left(time_limit: object, reserve: object = None) -> float:
    found = find_deadline(time_limit, reserve)  # type: ignore[arg-type]
    assert found is not None
    return found.seconds_left


def test_limit_counts_from_now_less_what_is_kept() -> None:
    assert left("1h") == pytest.approx(3600, abs=5)
    assert left("1h", "10min") == pytest.approx(3000, abs=5)
    assert left(60, 90) < 0


def test_no_limit_is_none_and_so_is_auto_off_kaggle() -> None:
    assert find_deadline(None, "10min") is None
    assert find_deadline("auto", None) is None


def test_reserve_that_is_no_time_is_an_error_where_it_has_no_effect_too() -> None:
    with pytest.raises(InvalidArgumentError, match="reserve='much'"):
        find_deadline(None, "much")


@pytest.mark.parametrize(
    ("variables", "hours"),
    [
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, 12),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, 12),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch", "TPU_NAME": "local"}, 9),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch", "KAGGLE_IS_COMPETITION_RERUN": "1"}, 9),
    ],
)
def test_auto_is_what_is_left_of_a_kaggle_session(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], hours: float
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(deadlines, "session_age_seconds", lambda: 1800.0)
    assert left("auto") == pytest.approx(hours * 3600 - 1800 - 600, abs=5)
    assert left("auto", "1h") == pytest.approx(hours * 3600 - 1800 - 3600, abs=5)
    assert left("auto", 0) == pytest.approx(hours * 3600 - 1800, abs=5)
    found = find_deadline("auto", None)
    assert found is not None
    assert found.reason == (
        f"this session of Kaggle's ends {hours} h after its start, of which 10 min are kept for what comes after"
    )


def write_proc(folder: Path, uptime: float, **starts: float) -> Path:
    (folder / "uptime").write_text(f"{uptime} 1.0\n")
    ticks = os.sysconf("SC_CLK_TCK")
    for process, start in starts.items():
        (folder / process.strip("_")).mkdir()
        fields = ["S", *["0"] * 18, str(int(start * ticks)), "0"]
        stat = f"1 (a (strange) name) {' '.join(fields)}"
        (folder / process.strip("_") / "stat").write_text(stat)
    return folder


def test_session_is_as_old_as_the_first_process_of_its_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    proc = write_proc(tmp_path, 100_000, _1=96_400, self=99_000)
    assert surroundings.session_age_seconds(proc) == 3600


def test_first_process_that_is_older_than_any_session_is_not_the_session_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    proc = write_proc(tmp_path, 100_000, _1=10, self=99_000)
    assert surroundings.session_age_seconds(proc) == 1000


def test_session_whose_age_nobody_tells_began_now(tmp_path: Path) -> None:
    assert surroundings.session_age_seconds(tmp_path) == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_real_process_is_as_old_as_the_clock_says() -> None:
    before = surroundings.session_age_seconds()
    time.sleep(0.05)
    assert 0 < before < surroundings.session_age_seconds()
