"""Calling pipelines by the calling convention, and what is kept of what they print, raise and write."""

# ruff: noqa: ARG002 - a pipeline takes a path, also where it does not look at it

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections import OrderedDict, UserDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from foregsyte_kaggle.worker import (
    MESSAGE_CHARACTERS,
    OUTPUT_BYTES,
    PARTIAL_FOLDER,
    Caller,
    JobContext,
    Outcome,
    Task,
    Teller,
    ThreadTails,
    Work,
    as_rows,
    clean,
    describe,
    run_tasks,
    telling,
)
from foregsyte_kaggle.worker.output import read_tail

pytestmark = pytest.mark.unit

JOB_ID = "11111111-2222-5333-8444-555555555555"


def task(
    path: str = "/data/clip.mp4",
    *,
    position: int = 1,
    is_file: bool = True,
    params: dict[str, Any] | None = None,
    attempt: int = 1,
) -> Task:
    text = json.dumps(params) if params is not None else None
    return Task(position, JOB_ID, path, is_file, text, attempt)


def run(
    target: Callable[..., Any] | Caller,
    *tasks: Task,
    folder: Path | str = "outputs/p",
    tell: Callable[[int, float], None] = lambda _position, _fraction: None,
    time_box: float | None = None,
    is_batch: bool = False,
    on_single: Callable[[], object] = lambda: None,
) -> list[Outcome]:
    caller = target if isinstance(target, Caller) else Caller(target, str(folder))
    tails, work = ThreadTails(), Work(tasks, is_batch=is_batch)
    teller = Teller(tell)
    with tails.installed():
        run_tasks(caller, work, tails, "w", teller, time_box=time_box, on_single=on_single)
    teller.close()
    return work.finish()


def run_one(target: Callable[..., Any], one: Task | None = None, **options: Any) -> Outcome:
    (outcome,) = run(target, one or task(), **options)
    return outcome


# What is passed


def test_file_is_passed_as_path_and_id_as_text() -> None:
    def pipeline(path: object) -> dict[str, Any]:
        return {"kind": type(path).__name__, "text": str(path)}

    assert run_one(pipeline).result == [{"kind": type(Path()).__name__, "text": "/data/clip.mp4"}]
    url = task("https://example.org/a?b=c", is_file=False)
    assert run_one(pipeline, url).result == [{"kind": "str", "text": "https://example.org/a?b=c"}]


def test_params_are_passed_by_name() -> None:
    def pipeline(path: Path, size: int, mode: str = "fast", **others: Any) -> dict[str, Any]:
        return {"size": size, "mode": mode, **others}

    params = {"size": 3, "deep": {"a": [1, None]}}
    assert run_one(pipeline, task(params=params)).result == [
        {"size": 3, "mode": "fast", "deep": {"a": [1, None]}}
    ]


def test_param_that_the_pipeline_does_not_take_fails_the_job() -> None:
    outcome = run_one(lambda path: None, task(params={"size": 3}))
    assert (outcome.outcome, outcome.error_type) == ("failed", "TypeError")
    assert "unexpected keyword argument 'size'" in str(outcome.error_message)


def test_parameter_named_job_gets_the_context() -> None:
    def pipeline(path: Path, size: int, job: JobContext) -> dict[str, Any]:
        assert job.input_path is path
        return {"id": job.id, "params": job.params, "attempt": job.attempt, "size": size}

    outcome = run_one(pipeline, task(params={"size": 3}, attempt=4))
    assert outcome.result == [{"id": JOB_ID, "params": {"size": 3}, "attempt": 4, "size": 3}]


def test_keywords_of_any_name_do_not_get_the_context() -> None:
    assert run_one(lambda path, **others: {"n": len(others)}).result == [{"n": 0}]


def test_callable_without_a_signature_is_called_with_the_path() -> None:
    outcome = run_one(dict.fromkeys, task("ab", is_file=False))
    assert outcome.result == [{"a": None, "b": None}]


def test_context_knows_the_device_of_its_worker() -> None:
    def pipeline(path: Path, job: JobContext) -> dict[str, Any]:
        return {"device": job.device}

    assert run_one(Caller(pipeline, "outputs/p", "GPU-1")).result == [{"device": "GPU-1"}]
    assert run_one(Caller(pipeline, "outputs/p")).result == [{"device": None}]


# Classes


class Model:
    built: list[dict[str, Any]] = []  # noqa: RUF012 - reset by each test

    def __init__(self, weights: str = "small") -> None:
        self.built.append({"weights": weights})
        self.weights = weights

    def __call__(self, path: Path, threshold: float = 0.5) -> dict[str, Any]:
        return {"weights": self.weights, "threshold": threshold}


@pytest.fixture(autouse=True)
def _nothing_built() -> None:
    Model.built.clear()


def test_class_is_built_once_for_distinct_params_of_its_init() -> None:
    params = [
        None,
        {"threshold": 0.1},
        {"weights": "large"},
        {"weights": "large", "threshold": 0.2},
        {"weights": "small"},
    ]
    outcomes = run(Model, *(task(params=one) for one in params))
    assert [outcome.result[0] for outcome in outcomes] == [
        {"weights": "small", "threshold": 0.5},
        {"weights": "small", "threshold": 0.1},
        {"weights": "large", "threshold": 0.5},
        {"weights": "large", "threshold": 0.2},
        {"weights": "small", "threshold": 0.5},
    ]
    assert Model.built == [{"weights": "small"}, {"weights": "large"}, {"weights": "small"}]


def test_class_that_takes_any_keyword_gets_what_its_call_does_not_name() -> None:
    class AnyKeyword(Model):
        def __init__(self, **others: Any) -> None:
            self.others = others

        def __call__(self, path: Path, threshold: float = 0.5) -> dict[str, Any]:
            return {"threshold": threshold, **self.others}

    params = {"threshold": 0.1, "device": "cpu"}
    assert run_one(AnyKeyword, task(params=params)).result == [{"threshold": 0.1, "device": "cpu"}]


def test_param_that_init_and_call_both_name_goes_to_both() -> None:
    class Both:
        def __init__(self, size: int) -> None:
            self.size = size

        def __call__(self, path: Path, size: int, **others: Any) -> dict[str, Any]:
            return {"init": self.size, "call": size, **others}

    assert run_one(Both, task(params={"size": 3, "rest": 1})).result == [
        {"init": 3, "call": 3, "rest": 1}
    ]


def test_class_may_ask_for_the_context_in_its_call() -> None:
    class Asks:
        def __call__(self, path: Path, job: JobContext) -> dict[str, Any]:
            return {"attempt": job.attempt}

    assert run_one(Asks).result == [{"attempt": 1}]


def test_class_that_cannot_be_built_fails_each_job_and_is_tried_once_for_each() -> None:
    class Broken:
        tries = 0

        def __init__(self) -> None:
            Broken.tries += 1
            raise OSError(f"no weights, try {Broken.tries}")

        def __call__(self, path: Path) -> None:
            raise AssertionError

    caller = Caller(Broken, "outputs/p")
    caller.build(task())  # as a worker process does before the first job's time begins
    outcomes = run(caller, task(), task())
    assert [outcome.error_message for outcome in outcomes] == [
        "no weights, try 1",
        "no weights, try 2",
    ]


def test_class_that_was_built_before_its_job_is_not_built_again() -> None:
    caller = Caller(Model, "outputs/p")
    caller.build(task())
    assert run(caller, task())[0].outcome == "completed"
    assert len(Model.built) == 1


# Batches


def batch_of(*names: str, **options: Any) -> list[Task]:
    return [task(name, position=at, is_file=False, **options) for at, name in enumerate(names, 1)]


def test_batch_gets_lists_of_paths_and_contexts_and_its_params() -> None:
    def pipeline(paths: list[str], size: int, job: list[JobContext]) -> list[dict[str, Any]]:
        assert [one.input_path for one in job] == paths
        return [{"size": size, "all": len(paths), "params": one.params} for one in job]

    outcomes = run(pipeline, *batch_of("a", "b", params={"size": 3}), is_batch=True)
    expected = [{"size": 3, "all": 2, "params": {"size": 3}}]
    assert [(one.position, one.outcome, one.result) for one in outcomes] == [
        (1, "completed", expected),
        (2, "completed", expected),
    ]


def test_batch_of_files_gets_paths() -> None:
    outcomes = run(lambda paths: [{"name": paths[0].name}], task("/data/a.txt"), is_batch=True)
    assert outcomes[0].result == [{"name": "a.txt"}]


def test_time_of_a_batch_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0])
    monkeypatch.setattr("foregsyte_kaggle.worker.running.time.perf_counter", lambda: next(clock))
    outcomes = run(lambda paths: [None] * 4, *batch_of(*"abcd"), is_batch=True)
    assert [one.duration_seconds for one in outcomes] == [0.5] * 4
    assert {one.worker for one in outcomes} == {"w"}


def test_batch_that_raises_is_tried_one_by_one_and_each_try_is_announced() -> None:
    seen: list[object] = []

    def pipeline(paths: list[str]) -> list[None]:
        seen.append(list(paths))
        if "b" in paths:
            raise ValueError("b is bad")
        return [None] * len(paths)

    outcomes = run(
        pipeline, *batch_of(*"abc"), is_batch=True, on_single=lambda: seen.append("single")
    )
    assert seen == [["a", "b", "c"], "single", ["a"], "single", ["b"], "single", ["c"]]
    assert [(one.position, one.outcome, one.error_message) for one in outcomes] == [
        (1, "completed", None),
        (2, "failed", "b is bad"),
        (3, "completed", None),
    ]


def test_batch_of_one_that_raises_is_not_tried_again() -> None:
    seen: list[list[str]] = []

    def pipeline(paths: list[str]) -> list[None]:
        seen.append(paths)
        raise ValueError("bad")

    (outcome,) = run(pipeline, *batch_of("a"), is_batch=True)
    assert (outcome.outcome, outcome.error_message, seen) == ("failed", "bad", [["a"]])


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (
            None,
            "the batch pipeline returned a value of type NoneType for 1 input; expected a list with one item",
        ),
        ({"a": 1}, "the batch pipeline returned a value of type dict for 1 input"),
        (
            pd.DataFrame({"a": [1]}),
            "the batch pipeline returned a value of type DataFrame for 1 input",
        ),
        ([], "the batch pipeline returned a list of length 0 for 1 input; expected a list"),
        ([None, None], "the batch pipeline returned a list of length 2 for 1 input"),
        (
            [3],
            "for one input the batch pipeline returned a value of type int; expected a dict (one row)",
        ),
        ([[3]], "for one input the batch pipeline returned a list whose item 0 is of type int"),
    ],
    ids=["None", "dict", "DataFrame", "short", "long", "number", "numbers"],
)
def test_batch_that_returns_something_else_fails_with_what_is_expected(
    returned: object, said: str
) -> None:
    (outcome,) = run(lambda paths: returned, *batch_of("a"), is_batch=True)
    assert (outcome.outcome, outcome.error_type) == ("failed", "ResultError")
    assert str(outcome.error_message).startswith(said)


def test_files_of_a_batch_are_removed_when_one_of_them_cannot_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "p"

    def pipeline(paths: list[str], job: list[JobContext]) -> list[None]:
        for one in job:
            one.output_path(f"{one.input_path}.txt").write_text("x")
        if len(paths) == 2:
            (folder / f"{JOB_ID}-b.txt").mkdir()  # in the way of the second one
            (folder / f"{JOB_ID}-b.txt" / "inside").touch()
        return [None] * len(paths)

    outcomes = run(pipeline, *batch_of("a", "b"), folder=folder, is_batch=True)
    assert [one.outcome for one in outcomes] == ["completed", "failed"]
    assert [one.output_paths for one in outcomes] == [[f"p/{JOB_ID}-a.txt"], None]
    assert not list((folder / PARTIAL_FOLDER).iterdir())


def test_interrupt_that_is_the_user_s_ends_a_batch_without_trying_its_jobs() -> None:
    seen: list[list[str]] = []

    def pipeline(paths: list[str]) -> list[None]:
        seen.append(paths)
        raise KeyboardInterrupt

    work = Work(batch_of("a", "b"), is_batch=True)
    with pytest.raises(KeyboardInterrupt):
        run_tasks(
            Caller(pipeline, "outputs/p"),
            work,
            ThreadTails(),
            "w",
            Teller(None),
            interrupts=(KeyboardInterrupt,),
        )
    assert (seen, work.finish()) == ([["a", "b"]], [])


def test_batch_that_the_run_left_behind_is_not_tried_one_by_one() -> None:
    def pipeline(paths: list[str]) -> list[None]:
        caller.abandoned = True
        raise ValueError("bad")

    caller = Caller(pipeline, "outputs/p")
    assert run(caller, *batch_of("a", "b"), is_batch=True) == []


def test_batch_that_has_begun_gives_nothing_back_and_one_that_has_not_gives_all() -> None:
    tasks = batch_of(*"abc")
    begun = Work(tasks, is_batch=True)
    assert begun.take_all() == tasks
    assert reports(begun) == [([], 0)]
    waiting = Work(tasks, is_batch=True)
    assert reports(waiting) == [([], 3)]
    assert waiting.take_all() == []


# What comes back


@pytest.mark.parametrize(
    ("returned", "rows"),
    [
        (None, None),
        ({"a": 1}, [{"a": 1}]),
        ({}, [{}]),
        ([], []),
        ([{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}]),
        (({"a": 1},), [{"a": 1}]),
        (OrderedDict(a=1), [{"a": 1}]),
    ],
    ids=str,
)
def test_rows_are_none_or_a_list_of_dicts(returned: object, rows: object) -> None:
    assert as_rows(returned) == rows


class Frame(pd.DataFrame):
    """As geopandas makes one."""


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [1]}),
        Frame({"a": [1]}),
        pa.table({"a": [1]}),
        pa.record_batch({"a": [1]}),
    ],
    ids=lambda table: type(table).__name__,
)
def test_tables_are_left_as_they_are(table: object) -> None:
    assert as_rows(table) is table


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (3, "returned a value of type int"),
        ("text", "returned a value of type str"),
        ([1, 2], "a list whose item 0 is of type int"),
        ([{"a": 1}, None], "a list whose item 1 is of type NoneType"),
        (UserDict(a=1), "returned a value of type UserDict"),
        (pd.Series([1]), "returned a value of type Series"),
        ((row for row in [{"a": 1}]), "returned a value of type generator"),
    ],
)
def test_other_returns_fail_with_what_is_expected(returned: object, said: str) -> None:
    outcome = run_one(lambda path: returned)
    assert (outcome.outcome, outcome.error_type) == ("failed", "ResultError")
    assert said in str(outcome.error_message)
    assert "expected" in str(outcome.error_message)


def test_outcome_has_its_times_and_its_worker() -> None:
    outcome = run_one(lambda path: None)
    assert outcome.worker == "w"
    assert outcome.position == 1
    assert outcome.started_at > 1e9
    assert outcome.duration_seconds >= 0


def test_time_box_ends_a_chunk_after_the_job_that_fills_it() -> None:
    assert len(run(lambda path: None, *[task()] * 5, time_box=0.0)) == 1
    assert len(run(lambda path: None, *[task()] * 5, time_box=60.0)) == 5
    assert len(run(lambda path: None, *[task()] * 5)) == 5


# Output


def test_output_is_kept_with_its_job_and_still_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def pipeline(path: Path) -> None:
        print("out", path.name)
        print("err", file=sys.stderr)

    outcomes = run(pipeline, task("/a"), task("/b"))
    assert [outcome.output for outcome in outcomes] == ["out a\nerr\n", "out b\nerr\n"]
    captured = capsys.readouterr()
    assert captured.out == "out a\nout b\n"
    assert captured.err == "err\nerr\n"


def test_output_of_a_failed_job_is_kept() -> None:
    def pipeline(path: Path) -> None:
        print("so far")
        raise ValueError

    assert run_one(pipeline).output == "so far\n"


def test_silent_job_has_no_output() -> None:
    assert run_one(lambda path: None).output is None
    assert run_one(lambda path: print(end="")).output is None


def test_end_of_long_output_is_kept() -> None:
    def pipeline(path: Path) -> None:
        for number in range(20_000):
            print(f"line {number}")

    output = str(run_one(pipeline).output)
    assert len(output.encode()) == OUTPUT_BYTES
    assert output.endswith("line 19998\nline 19999\n")


def test_long_output_is_not_cut_within_a_character() -> None:
    output = str(run_one(lambda path: print("試" * OUTPUT_BYTES)).output)
    assert set(output) == {"試", "\n"}
    assert OUTPUT_BYTES - 3 <= len(output.encode()) <= OUTPUT_BYTES


def test_output_that_is_no_text_takes_no_more_room(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "printed", os.O_CREAT | os.O_RDWR)
    os.write(descriptor, b"\xff" * OUTPUT_BYTES)
    assert read_tail(descriptor) == "\\xff" * (OUTPUT_BYTES // 4)
    os.close(descriptor)


def test_odd_output_is_kept_as_valid_text() -> None:
    output = run_one(lambda path: print("a\0b\ud800c")).output
    assert output == "a\\x00b\\ud800c\n"


def test_wrong_write_is_the_job_s_error() -> None:
    outcome = run_one(lambda path: sys.stdout.write(b"bytes"))  # type: ignore[arg-type]
    assert (outcome.outcome, outcome.error_type) == ("failed", "TypeError")


def test_output_of_threads_is_kept_apart() -> None:
    together = threading.Barrier(4, timeout=30)

    def pipeline(path: Path) -> None:
        for _ in range(50):
            together.wait()
            print(path.name)

    tails = ThreadTails()
    works = {name: Work([task(f"/{name}")]) for name in "abcd"}
    with tails.installed():
        threads = [
            threading.Thread(
                target=run_tasks,
                args=(Caller(pipeline, "o"), work, tails, name, print),
            )
            for name, work in works.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name, work in works.items():
        (outcome,) = work.finish()
        assert set(str(outcome.output).split()) == {name}


def test_streams_are_given_back_when_the_last_listener_goes() -> None:
    before = sys.stdout, sys.stderr
    first, second = ThreadTails().installed(), ThreadTails().installed()
    first.__enter__()
    listening = sys.stdout
    second.__enter__()
    assert sys.stdout is listening
    first.__exit__(None, None, None)
    assert sys.stdout is listening
    second.__exit__(None, None, None)
    assert (sys.stdout, sys.stderr) == before


def test_stream_that_somebody_else_replaced_meanwhile_is_left_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = sys.__stderr__
    with ThreadTails().installed():
        monkeypatch.setattr(sys, "stderr", theirs)
    assert sys.stderr is theirs


def test_nothing_is_listened_to_where_there_is_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run_one(lambda path: {"n": 1}).outcome == "completed"
    assert sys.stdout is None


# Errors


def test_traceback_begins_in_the_pipeline() -> None:
    def inner() -> None:
        raise KeyError("missing")

    def pipeline(path: Path) -> None:
        inner()

    outcome = run_one(pipeline)
    lines = str(outcome.traceback).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyError: 'missing'"
    assert [line.rpartition(", in ")[2] for line in lines if line.startswith("  File")] == [
        "pipeline",
        "inner",
    ]


def test_traceback_shows_the_cause() -> None:
    def pipeline(path: Path) -> None:
        try:
            raise OSError("the cause")
        except OSError as error:
            raise ValueError("the effect") from error

    text = str(run_one(pipeline).traceback)
    assert "the direct cause" in text
    assert "OSError: the cause" in text
    assert "/worker/" not in text


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (SystemExit(3), "SystemExit", "the pipeline called sys.exit(3)"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit", "GeneratorExit"),
        (asyncio.CancelledError("why"), "CancelledError", "why"),
        (MemoryError(), "MemoryError", "MemoryError"),
        (
            ExceptionGroup("two", [OSError(), ValueError()]),
            "ExceptionGroup",
            "two (2 sub-exceptions)",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_raised_fails_the_job_and_the_next_one_runs(
    error: BaseException, kind: str, message: str
) -> None:
    def pipeline(path: Path) -> None:
        if path.name == "bad":
            raise error

    bad, good = run(pipeline, task("/bad"), task("/good"))
    assert (bad.outcome, bad.error_type, bad.error_message) == ("failed", kind, message)
    assert good.outcome == "completed"


def test_interrupt_that_is_the_user_s_ends_the_call_and_keeps_what_ended() -> None:
    def pipeline(path: Path) -> None:
        if path.name == "b":
            raise KeyboardInterrupt

    work = Work([task("/a"), task("/b"), task("/c")])
    with pytest.raises(KeyboardInterrupt):
        run_tasks(
            Caller(pipeline, "o"),
            work,
            ThreadTails(),
            "w",
            Teller(None),
            interrupts=(KeyboardInterrupt,),
        )
    assert [outcome.outcome for outcome in work.finish()] == ["completed"]


# Taking jobs back


def reports(work: Work) -> list[tuple[list[int], int]]:
    said: list[tuple[list[int], int]] = []
    work.give_back(lambda ended, left: said.append(([one.position for one in ended], left)))
    return said


def test_jobs_that_have_not_begun_are_given_back_with_what_ended() -> None:
    """While one of them runs, which goes on and is reported at the end."""
    said: list[tuple[list[int], int]] = []

    def pipeline(path: Path) -> None:
        if path.name == "2":
            said.extend(reports(work) + reports(work))

    work = Work(task(f"/{number}", position=number) for number in range(5))
    run_tasks(Caller(pipeline, "o"), work, ThreadTails(), "w", Teller(None))
    assert said == [([0, 1], 2)]
    assert [outcome.position for outcome in work.finish()] == [2]
    assert [outcome.position for outcome in work.outcomes] == [0, 1, 2]


def test_nothing_is_reported_again() -> None:
    work = Work([])
    assert reports(work) == [([], 0)]
    assert reports(work) == []
    work = Work([task()])
    assert reports(work) == [([], 1)]
    assert reports(work) == []
    assert work.take() is None
    assert work.finish() == []


def test_nothing_is_reported_after_the_end() -> None:
    work = Work([task(), task()])
    run_tasks(Caller(print, "o"), work, ThreadTails(), "w", Teller(None), time_box=0.0)
    assert len(work.finish()) == 1
    assert reports(work) == []


def test_each_job_is_run_or_given_back_whenever_that_happens() -> None:
    for wait in range(30):
        work = Work(task(position=number) for number in range(2000))
        runner = threading.Thread(
            target=run_tasks,
            args=(Caller(lambda path: None, "o"), work, ThreadTails(), "w", Teller(None)),
        )
        runner.start()
        for _ in range(wait * 20):
            pass
        said = reports(work)
        runner.join()
        ended = [position for positions, _ in said for position in positions]
        ended += [outcome.position for outcome in work.finish()]
        returned = sum(left for _, left in said)
        assert ended == list(range(2000 - returned))


class UnshowableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_error_that_cannot_be_shown_still_fails_the_job() -> None:
    def pipeline(path: Path) -> None:
        raise UnshowableError

    outcome = run_one(pipeline)
    assert outcome.error_type == "UnshowableError"
    assert outcome.error_message == "(its message cannot be shown: RuntimeError)"
    assert "UnshowableError" in str(outcome.traceback)


def test_long_name_of_an_error_s_type_is_cut() -> None:
    def pipeline(path: Path) -> None:
        raise type("Long" * 1000, (Exception,), {})

    assert len(str(run_one(pipeline).error_type)) < 300


def test_long_error_is_kept_from_both_ends() -> None:
    def pipeline(path: Path) -> None:
        raise ValueError("begin" + "x" * 5_000_000 + "end")

    outcome = run_one(pipeline)
    message = str(outcome.error_message)
    assert message.startswith("begin")
    assert message.endswith("end")
    assert "4,990,008 characters left out" in message
    assert len(message) < MESSAGE_CHARACTERS + 100
    assert len(str(outcome.traceback)) < 3 * MESSAGE_CHARACTERS


def test_text_is_cleaned_of_what_the_ledger_cannot_hold() -> None:
    assert describe(ValueError("a\0b\ud800c")) == "a\\x00b\\ud800c"
    assert clean("試合", 10) == "試合"


def test_deep_recursion_fails_its_job() -> None:
    def pipeline(path: Path) -> None:
        pipeline(path)

    assert run_one(pipeline).error_type == "RecursionError"


# Files


def test_file_gets_its_name_when_the_pipeline_returns(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "p"

    def pipeline(path: Path, job: JobContext) -> None:
        written = job.output_path("sheet.jpg")
        assert written == job.output_path("sheet.jpg")
        assert written.suffix == ".jpg"
        written.write_text("whole")
        job.output_path("never written.txt")
        assert [file.name for file in folder.iterdir()] == [PARTIAL_FOLDER]

    outcome = run_one(pipeline, folder=folder)
    assert outcome.output_paths == [f"p/{JOB_ID}-sheet.jpg"]
    assert (folder / f"{JOB_ID}-sheet.jpg").read_text() == "whole"
    assert list((folder / PARTIAL_FOLDER).iterdir()) == []


def test_folder_may_be_an_output_and_replaces_that_of_an_earlier_try(tmp_path: Path) -> None:
    def pipeline(path: Path, job: JobContext) -> None:
        written = job.output_path("frames")
        written.mkdir()
        (written / f"{job.attempt}.txt").write_text("x")

    outcomes = run(pipeline, task(attempt=1), task(attempt=2), folder=tmp_path / "p")
    assert [outcome.outcome for outcome in outcomes] == ["completed", "completed"]
    assert [file.name for file in (tmp_path / "p" / f"{JOB_ID}-frames").iterdir()] == ["2.txt"]


@pytest.mark.parametrize("returned", [ValueError("no"), SystemExit(), "not rows"])
def test_files_of_a_failed_job_are_removed(tmp_path: Path, returned: object) -> None:
    def pipeline(path: Path, job: JobContext) -> object:
        job.output_path("a.txt").write_text("half")
        job.output_path("b").mkdir()
        if isinstance(returned, BaseException):
            raise returned
        return returned

    outcome = run_one(pipeline, folder=tmp_path)
    assert outcome.outcome == "failed"
    assert outcome.output_paths is None
    assert list((tmp_path / PARTIAL_FOLDER).iterdir()) == []
    assert [file.name for file in tmp_path.iterdir()] == [PARTIAL_FOLDER]


def test_no_file_is_kept_when_one_cannot_be_named(tmp_path: Path) -> None:
    def pipeline(path: Path, job: JobContext) -> None:
        job.output_path("a.txt").write_text("x")
        job.output_path("b.txt").write_text("x")
        (tmp_path / f"{JOB_ID}-b.txt").mkdir()

    outcome = run_one(pipeline, folder=tmp_path)
    assert outcome.outcome == "failed"
    assert outcome.error_type == "IsADirectoryError"
    assert not (tmp_path / f"{JOB_ID}-a.txt").exists()
    assert list((tmp_path / PARTIAL_FOLDER).iterdir()) == []


def test_two_tries_never_write_the_same_file(tmp_path: Path) -> None:
    """A thread that a Stop left behind may still write when the job runs again."""
    places = []

    def pipeline(path: Path, job: JobContext) -> None:
        places.append(job.output_path("a.txt"))

    run(pipeline, task(), task(), folder=tmp_path)
    assert len(set(places)) == 2


def test_job_that_the_run_left_behind_keeps_no_file(tmp_path: Path) -> None:
    def pipeline(path: Path, job: JobContext) -> dict[str, Any]:
        job.output_path("a.txt").write_text("x")
        caller.abandoned = True
        return {"n": 1}

    caller = Caller(pipeline, str(tmp_path))
    run(caller, task())
    assert [file.name for file in tmp_path.iterdir()] == [PARTIAL_FOLDER]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/a", "a\0b"])
def test_output_path_with_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    outcome = run_one(lambda path, job: job.output_path(name), folder=tmp_path)
    assert outcome.error_type == "ValueError"
    assert "expected a file name without folders" in str(outcome.error_message)


# Progress


def told_of(said: Iterable[float], *, until: float | None = None) -> list[float]:
    """Return what is told of what a job says before it ends, or goes on until a fraction was told."""
    told: list[float] = []
    is_there = threading.Event()

    def pipeline(path: Path, job: JobContext) -> None:
        for fraction in said:
            job.progress(fraction)
        if until is not None:
            assert is_there.wait(30), told

    def tell(position: int, fraction: float) -> None:
        assert position == 7
        told.append(fraction)
        if fraction == until:
            is_there.set()

    assert run_one(pipeline, task(position=7), tell=tell).error_message is None
    return told


@pytest.fixture
def long_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes between two things that are said."""
    monkeypatch.setattr(telling, "INTERVAL_SECONDS", 1000.0)


@pytest.mark.usefixtures("long_interval")
def test_progress_is_told_at_once_and_not_again_where_the_job_s_end_says_it() -> None:
    assert told_of([0.42, 0.9]) == [0.42]
    assert told_of(step / 100_000 for step in range(100_000)) == [0.0]


def test_progress_is_told_again_as_time_goes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "INTERVAL_SECONDS", 0.0)
    assert told_of([0.1, 0.2, 0.9]) == [0.1, 0.2, 0.9]


def test_last_progress_before_a_long_silence_is_told() -> None:
    assert told_of([0.0, 0.2, 0.42], until=0.42)[-1] == 0.42
    assert told_of([0.9, 0.1], until=0.1) == [0.9, 0.1]


def test_each_job_of_a_batch_has_its_last_progress_told() -> None:
    told: dict[int, float] = {}
    all_there = threading.Event()

    def pipeline(paths: list[Path], job: list[JobContext]) -> list[None]:
        for step in range(1, 6):
            for number, one in enumerate(job):
                one.progress(step / 5 - number / 100)
        assert all_there.wait(30), told
        return [None] * len(paths)

    def tell(position: int, fraction: float) -> None:
        told[position] = fraction
        if told == {1: 1.0, 2: 0.99, 3: 0.98}:
            all_there.set()

    tasks = [task(position=number) for number in (1, 2, 3)]
    ended = run(pipeline, *tasks, is_batch=True, tell=tell)
    assert [one.error_message for one in ended] == [None] * 3


def test_nothing_of_a_job_is_told_after_its_end() -> None:
    told: list[tuple[int, float]] = []
    sent = threading.Event()

    def send(position: int, fraction: float) -> None:
        told.append((position, fraction))
        if len(told) == 2:
            sent.set()

    teller = Teller(send)
    for position in (1, 2, 3):
        teller.tell(position, 0.5)
    teller.forget(2)
    assert sent.wait(30)
    teller.close()
    assert told == [(1, 0.5), (3, 0.5)]


def test_the_timer_of_progress_ends_when_nothing_waits_and_when_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end_of_timer() -> None:
        for thread in threading.enumerate():
            if thread.name == "foregsyte-progress":
                thread.join(30)
                assert not thread.is_alive()

    end_of_timer()
    teller = Teller(lambda *_: None)
    teller.tell(1, 0.1)
    teller.tell(1, 0.2)
    end_of_timer()
    monkeypatch.setattr(telling, "INTERVAL_SECONDS", 1000.0)
    teller.tell(1, 0.3)
    teller.close()
    end_of_timer()


@pytest.mark.usefixtures("long_interval")
def test_progress_fails_no_job_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert told_of([0.1, 0.2]) == [0.1]


@pytest.mark.parametrize(("said", "told"), [(-1, 0.0), (0.42, 0.42), (7, 1.0), (float("nan"), 0.0)])
def test_progress_is_kept_between_0_and_1(said: float, told: float) -> None:
    heard: list[float] = []
    run_one(lambda path, job: job.progress(said), tell=lambda _, fraction: heard.append(fraction))
    assert heard == [told]
