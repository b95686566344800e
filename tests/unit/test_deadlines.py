"""Time limits: what people write, and what is left of a session."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from foregsyte_kaggle import deadlines, surroundings
from foregsyte_kaggle.deadlines import find_deadline
from foregsyte_kaggle.errors import InvalidArgumentError

pytestmark = pytest.mark.unit


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


@pytest.mark.parametrize(
    ("time_limit", "reserve", "hours", "reason"),
    [
        ("2h", None, 2, "the time limit of 2 h"),
        (
            "2h",
            "30min",
            1.5,
            "the time limit of 2 h, of which 30 min are kept for what comes after",
        ),
        (
            "11h30m",
            None,
            9 - 1 / 6,
            (
                "this session of Kaggle's ends 12 h after its start, of which 10 min are kept for what comes"
                " after; sooner than the time limit of 11 h 30 min"
            ),
        ),
        (
            "9h30m",
            0,
            9,
            "this session of Kaggle's ends 12 h after its start; sooner than the time limit of 9 h 30 min",
        ),
    ],
)
def test_time_limit_and_the_session_s_end_both_count_and_the_earlier_is_named(
    monkeypatch: pytest.MonkeyPatch,
    time_limit: str,
    reserve: object,
    hours: float,
    reason: str,
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(deadlines, "session_age_seconds", lambda: 3 * 3600.0)
    found = find_deadline(time_limit, reserve)  # type: ignore[arg-type]
    assert found is not None
    assert found.seconds_left == pytest.approx(hours * 3600, abs=5)
    assert found.reason == reason
    assert find_deadline(None, reserve) is None  # type: ignore[arg-type]


def test_limit_told_by_the_variable_ends_a_run_with_a_longer_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "2h")
    monkeypatch.setattr(deadlines, "session_age_seconds", lambda: 1800.0)
    assert left("8h", 0) == pytest.approx(7200 - 1800, abs=5)
    assert left("1h", 0) == pytest.approx(3600, abs=5)


@pytest.mark.parametrize(
    ("time_limit", "whole"),
    [
        ("auto", "this session of Kaggle's ends 12 h after its start"),
        ("1h", "the time limit of 1 h"),
    ],
)
def test_reserve_longer_than_what_is_left_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, time_limit: str, whole: str
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(deadlines, "session_age_seconds", lambda: 600.0)
    found = find_deadline(time_limit, "13h")
    assert found is not None
    assert found.seconds_left < 0
    assert found.reason == f"{whole}, and the reserve of 13 h is longer than what is left of it"


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


HOUR = 3600


@pytest.mark.parametrize(
    ("variables", "told", "first", "kernel", "age"),
    [
        ({"KAGGLE_IS_COMPETITION_RERUN": "1"}, "12h", 9.5 * HOUR, 9.4 * HOUR, 9.5 * HOUR),
        ({"TPU_NAME": "local"}, "12h", 9.5 * HOUR, 9.4 * HOUR, 9.5 * HOUR),
        ({}, "", 12 * HOUR + 5, 12 * HOUR, 12 * HOUR + 5),
        ({}, "", 12 * HOUR + 5, 60, 12 * HOUR + 5),
        ({}, "20h", 13 * HOUR, 60, 13 * HOUR),
        ({}, "20h", 20.5 * HOUR, 60, 20.5 * HOUR),
        ({}, "", 90 * HOUR, 14 * HOUR, 14 * HOUR),
        ({}, "20h", 90 * HOUR, 60, 60),
        ({}, "soon", 90 * HOUR, 60, 60),
        (None, "8h", 90 * HOUR, 9 * HOUR, 9 * HOUR),
        (None, "8h", 90 * HOUR, 60, 60),
        (None, "", 90 * HOUR, 60, 90 * HOUR),
    ],
)
def test_age_of_a_session_is_told_when_its_time_is_nearly_up_and_after(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str] | None,
    told: str,
    first: float,
    kernel: float,
    age: float,
) -> None:
    on_kaggle = {} if variables is None else {"KAGGLE_KERNEL_RUN_TYPE": "Batch", **variables}
    for name, value in (on_kaggle | {"FOREGSYTE_SESSION_LIMIT": told}).items():
        monkeypatch.setenv(name, value)
    now = 1_000_000
    proc = write_proc(tmp_path, now, _1=now - first, self=now - kernel)
    assert surroundings.session_age_seconds(proc) == pytest.approx(age, abs=1)


def test_session_whose_age_nobody_tells_began_now(tmp_path: Path) -> None:
    assert surroundings.session_age_seconds(tmp_path) == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_real_process_is_as_old_as_the_clock_says() -> None:
    before = surroundings.session_age_seconds()
    time.sleep(0.05)
    assert 0 < before < surroundings.session_age_seconds()


def test_session_may_be_older_than_a_limit_that_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "30min")
    proc = write_proc(tmp_path, 100_000, _1=96_400, self=99_000)
    assert surroundings.session_age_seconds(proc) == 3600


def test_machine_older_than_a_limit_told_for_its_sessions_is_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "30min")
    proc = write_proc(tmp_path, 100_000, _1=10, self=99_000)
    assert surroundings.session_age_seconds(proc) == 1000


def test_limit_told_by_the_variable_counts_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "2h")
    monkeypatch.setattr(deadlines, "session_age_seconds", lambda: 1800.0)
    assert left("auto") == pytest.approx(7200 - 1800 - 600, abs=5)
    found = find_deadline("auto", None)
    assert found is not None
    assert found.reason.startswith("this session ends 2 h after its start")


@pytest.mark.parametrize("time_limit", ["auto", "1h", None])
def test_wrong_variable_is_an_error_whatever_the_limit(
    monkeypatch: pytest.MonkeyPatch, time_limit: str | None
) -> None:
    monkeypatch.setenv("FOREGSYTE_SESSION_LIMIT", "soon")
    with pytest.raises(InvalidArgumentError, match="FOREGSYTE_SESSION_LIMIT='soon'"):
        find_deadline(time_limit, None)
