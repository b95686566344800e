"""The run loop with an engine that the test is: what it hands out, and what it makes of what comes back."""

# ruff: noqa: ARG002 - the engine of a test ignores much

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foregsyte_kaggle import backlog, ledger, pipeline, register_jobs
from foregsyte_kaggle.claims import Claims
from foregsyte_kaggle.database import Database
from foregsyte_kaggle.deadlines import Deadline
from foregsyte_kaggle.errors import LedgerError, PipelineError, RunError
from foregsyte_kaggle.executors import Chunk, Done, Event, Events, Lost, Part, Progress, Started
from foregsyte_kaggle.ledger import Selection
from foregsyte_kaggle.loop import Loop, Policy
from foregsyte_kaggle.tries import Ended
from foregsyte_kaggle.worker import Outcome, Task
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

Answer = Callable[[Chunk], list[Event]]


def completed(task: Task, seconds: float = 0.0, result: Any = None) -> Outcome:
    return Outcome(task.position, "completed", time.time(), seconds, result)


def failed(task: Task, kind: str = "ValueError") -> Outcome:
    return Outcome(task.position, "failed", time.time(), 0.0, None, kind, "no", "Traceback")


class FakeEngine:
    """Answers each chunk at once with what a function makes of it."""

    name = "fake"

    def __init__(self, events: Events, answer: Answer, workers: int = 2) -> None:
        self.workers = workers
        self.chunks: list[Chunk] = []
        self.most_at_once = 0
        self.held = False
        self.checks = 0
        self._events = events
        self._answer = answer

    def add_pipeline(self, pipeline_id: str, target: Callable[..., Any], folder: str) -> None:
        raise AssertionError

    def submit(self, chunk: Chunk) -> None:
        assert not self.held
        self.chunks.append(chunk)
        for event in self._answer(chunk):
            self._events.put(event)

    def check(self) -> None:
        self.checks += 1

    def hold(self) -> None:
        self.held = True
        self.give_back()

    def give_back(self) -> None:
        pass

    def close(self, *, kill: bool) -> None:
        raise AssertionError

    @property
    def inputs(self) -> list[list[str]]:
        return [[task.path for task in chunk.tasks] for chunk in self.chunks]


class Run:
    """A loop over a ledger in memory, and what it recorded."""

    def __init__(
        self,
        database: Database,
        answer: Answer,
        *,
        workers: int = 2,
        limit: int | None = None,
        policy: Policy | None = None,
        pipelines: tuple[str, ...] = ("p",),
        batch_sizes: dict[str, int] | None = None,
        deadline: Deadline | None = None,
        usual_seconds: dict[str, float] | None = None,
        disk: Any = None,
    ) -> None:
        self.database = database
        self.run_id = uuid.uuid4()
        self.recorded: list[list[Ended]] = []
        events: Events = queue.SimpleQueue()
        self.events = events
        self.engine = FakeEngine(events, answer, workers)
        selections = [(Selection(pipeline_id), "v1") for pipeline_id in pipelines]
        self.loop = Loop(
            database,
            self.run_id,
            self.engine,
            events,
            Claims(database, self.run_id, selections, limit),
            {"ids": None, "files": Path("/data")},
            policy or Policy(),
            self.recorded.append,
            print,
            batch_sizes=batch_sizes,
            deadline=deadline,
            usual_seconds=usual_seconds,
            disk=disk,
        )

    def end(self) -> None:
        ledger.end_run(self.database, self.run_id, "ended", 0, 0)

    @property
    def outcomes(self) -> list[tuple[int, int, bool, str]]:
        return [
            (ended.outcome.position, ended.attempt, ended.final, ended.outcome.outcome)
            for group in self.recorded
            for ended in group
        ]


@pytest.fixture
def database(memory_workspace: Workspace) -> Database:
    for name in ("p", "q"):
        pipeline(name)(print)
    return memory_workspace.database


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "BACK_OFF_SECONDS", 0.0)


def add_jobs(count: int, pipeline_id: str = "p") -> None:
    frame = pd.DataFrame({"id": [f"{number}" for number in range(1, count + 1)]})
    register_jobs(frame, pipeline_id, name="ids")


def query(database: Database, text: str) -> list[tuple[Any, ...]]:
    with database.reading() as cursor:
        return cursor.execute(text).fetchall()


def counts(database: Database) -> dict[str, int]:
    return {status: n for status, n in ledger.status_counts(database).items() if n}


def do_all(chunk: Chunk) -> list[Event]:
    return [Done(chunk, [completed(task) for task in chunk.tasks])]


def test_all_pending_jobs_are_run_and_recorded(database: Database) -> None:
    add_jobs(50)
    run = Run(database, do_all)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 50}
    assert sorted(position for position, *_ in run.outcomes) == list(range(1, 51))
    assert run.engine.checks > 0


def test_nothing_is_submitted_where_nothing_is_pending(database: Database) -> None:
    run = Run(database, do_all)
    assert run.loop.run() == "finished"
    assert run.engine.chunks == []


def test_paths_of_files_are_joined_with_their_root(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO jobs (job_id, status, pipeline_id, input_path, source, position, created_at,"
            " updated_at) VALUES (uuid(), 'pending', 'p', 'a b/ü.mp4', 'files', 1, now(), now()),"
            " (uuid(), 'pending', 'p', 'id/1', 'ids', 2, now(), now())"
        ).fetchall()
    run = Run(database, do_all, workers=1)
    run.loop.run()
    assert [(task.path, task.is_file) for chunk in run.engine.chunks for task in chunk.tasks] == [
        ("/data/a b/ü.mp4", True),
        ("id/1", False),
    ]


def test_first_jobs_travel_alone_and_short_ones_then_together(database: Database) -> None:
    add_jobs(3000)
    run = Run(database, do_all, workers=1)
    run.loop.run()
    sizes = [len(chunk.tasks) for chunk in run.engine.chunks]
    assert sizes[0] == 1
    assert max(sizes) == backlog.CHUNK_JOBS
    assert sum(sizes) == 3000
    for chunk in run.engine.chunks:
        assert chunk.time_box == (backlog.TIME_BOX_SECONDS if len(chunk.tasks) > 1 else None)


def test_short_jobs_that_came_back_wait_for_more_of_their_group(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foregsyte_kaggle.loop.GROUP_AGE_SECONDS", 60.0)
    monkeypatch.setattr("foregsyte_kaggle.loop.GROUP_JOBS", 2500)
    add_jobs(6000)
    run = Run(database, do_all, workers=1)
    run.loop.run()
    sizes = [len(group) for group in run.recorded]
    assert sizes[0] == 1
    assert all(size >= 2500 for size in sizes[1:-1])
    assert sum(sizes) == 6000
    assert len(sizes) == 3


@pytest.mark.parametrize(("seconds", "batch"), [(1.0, 1), (0.0, 2)])
def test_long_jobs_and_batches_are_recorded_before_the_next_one_goes_out(
    database: Database, monkeypatch: pytest.MonkeyPatch, seconds: float, batch: int
) -> None:
    """It may end the process."""
    monkeypatch.setattr("foregsyte_kaggle.loop.GROUP_AGE_SECONDS", 60.0)
    add_jobs(6)
    recorded: list[int] = []

    def answer(chunk: Chunk) -> list[Event]:
        recorded.append(sum(map(len, run.recorded)))
        return [Done(chunk, [completed(task, seconds) for task in chunk.tasks])]

    run = Run(database, answer, workers=1, batch_sizes={"p": batch} if batch > 1 else None)
    monkeypatch.setattr(backlog.Backlog, "depth", lambda _self, _id: 1)
    run.loop.run()
    assert recorded == list(range(0, 6, batch))


def test_long_jobs_travel_alone_and_none_waits_in_a_worker(database: Database) -> None:
    add_jobs(20)
    waiting: list[Chunk] = []
    most = 0

    def hold_back(chunk: Chunk) -> list[Event]:
        nonlocal most
        waiting.append(chunk)
        most = max(most, len(waiting))
        if len(waiting) < 2 and len(run.engine.chunks) < 20:
            return []
        done, waiting[:] = waiting[:], []
        return [Done(one, [completed(task, 9.0) for task in one.tasks]) for one in done]

    run = Run(database, hold_back)
    assert run.loop.run() == "finished"
    assert {len(chunk.tasks) for chunk in run.engine.chunks} == {1}
    assert most == 2


def test_pace_is_that_of_each_pipeline(database: Database) -> None:
    add_jobs(100, "p")
    add_jobs(10, "q")

    def answer(chunk: Chunk) -> list[Event]:
        seconds = 0.0 if chunk.pipeline_id == "p" else 9.0
        return [Done(chunk, [completed(task, seconds) for task in chunk.tasks])]

    run = Run(database, answer, pipelines=("p", "q"))
    run.loop.run()
    assert counts(database) == {"completed": 110}
    assert {len(chunk.tasks) for chunk in run.engine.chunks if chunk.pipeline_id == "q"} == {1}


def test_jobs_that_a_chunk_had_no_time_for_come_again_in_order(database: Database) -> None:
    add_jobs(100)

    def do_three(chunk: Chunk) -> list[Event]:
        return [Done(chunk, [completed(task) for task in chunk.tasks[:3]])]

    run = Run(database, do_three, workers=1)
    assert run.loop.run() == "finished"
    assert [position for position, *_ in run.outcomes] == list(range(1, 101))


def test_limit_ends_the_run_and_says_so(database: Database) -> None:
    add_jobs(10)
    run = Run(database, do_all, limit=3)
    assert run.loop.run() == "limit"
    assert counts(database) == {"completed": 3, "pending": 7}


@pytest.mark.usefixtures("no_pause")
def test_failing_job_is_tried_again_and_each_try_is_an_attempt(database: Database) -> None:
    add_jobs(3)

    def answer(chunk: Chunk) -> list[Event]:
        return [
            Done(
                chunk,
                [
                    failed(task) if task.path == "2" and task.attempt < 3 else completed(task)
                    for task in chunk.tasks
                ],
            )
        ]

    run = Run(database, answer, policy=Policy(max_attempts=3))
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 3}
    assert [one for one in run.outcomes if one[0] == 2] == [
        (2, 1, False, "failed"),
        (2, 2, False, "failed"),
        (2, 3, True, "completed"),
    ]
    assert query(database, "SELECT attempts FROM jobs ORDER BY position") == [(1,), (3,), (1,)]
    assert query(
        database, "SELECT attempt, outcome FROM job_attempts JOIN jobs USING (job_id)"
        " WHERE position = 2 ORDER BY 1"
    ) == [(1, "failed"), (2, "failed"), (3, "completed")]  # fmt: skip


@pytest.mark.usefixtures("no_pause")
def test_job_that_always_fails_ends_with_its_last_try(database: Database) -> None:
    add_jobs(1)
    run = Run(
        database,
        lambda chunk: [Done(chunk, [failed(task) for task in chunk.tasks])],
        policy=Policy(max_attempts=2),
    )
    assert run.loop.run() == "finished"
    assert run.outcomes == [(1, 1, False, "failed"), (1, 2, True, "failed")]
    assert counts(database) == {"failed": 1}


def test_pauses_between_tries_grow_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("foregsyte_kaggle.backlog.time.monotonic", lambda: clock[0])
    waiting = backlog.Backlog()
    pauses = []
    for tries in range(1, 10):
        begun = clock[0]
        waiting.delay("p", Task(1, "id", "path", False, None, 2), tries)
        assert waiting.next_due is not None
        clock[0] = waiting.next_due
        pauses.append(clock[0] - begun)
        assert waiting
        assert waiting.first() is None
        waiting.revive()
        assert waiting.first() == "p"
        waiting.make_chunk("p")
        assert not waiting
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_first_failure_ends_a_run_that_raises(database: Database) -> None:
    add_jobs(50)

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) > 4:
            return []
        return [
            Done(
                chunk,
                [
                    failed(task) if task.path == "1" else completed(task, 1.0)
                    for task in chunk.tasks
                ],
            )
        ]

    run = Run(database, answer, policy=Policy(on_error="raise"))
    assert run.loop.run() == "error"
    assert run.engine.held
    ((job_id, position),) = query(
        database, "SELECT job_id, position FROM jobs WHERE status = 'failed'"
    )
    assert position == 1
    assert str(run.loop.failure).startswith(f"job {job_id} of p failed: ValueError")
    assert len(run.engine.chunks) < 50
    run.end()
    left = counts(database)
    assert left["failed"] == 1
    assert left["pending"] > 40
    assert "running" not in left


def test_stop_records_what_finished_and_leaves_the_rest(database: Database) -> None:
    add_jobs(50)

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) == 3:
            run.loop.stop()
            return []
        return [Done(chunk, [completed(task, 1.0) for task in chunk.tasks])]

    run = Run(database, answer)
    assert run.loop.run() == "stopped"
    assert run.engine.held
    done = len(run.outcomes)
    run.end()
    assert counts(database) == {"completed": done, "pending": 50 - done}
    assert query(database, "SELECT count(*) FROM job_attempts") == [(done,)]


def test_what_comes_back_after_the_end_is_drained_and_recorded(database: Database) -> None:
    add_jobs(2)
    kept: list[Chunk] = []

    def answer(chunk: Chunk) -> list[Event]:
        kept.append(chunk)
        run.loop.stop()
        return []

    run = Run(database, answer)
    run.loop.run()
    for chunk in kept:
        run.events.put(Lost(chunk, "unloadable", "too late to say"))
        run.events.put(Done(chunk, [completed(task) for task in chunk.tasks]))
    run.loop.drain()
    run.end()
    assert counts(database)["completed"] == len(kept)


def test_answer_to_a_chunk_that_came_back_already_is_ignored(database: Database) -> None:
    add_jobs(5)

    def twice(chunk: Chunk) -> list[Event]:
        return do_all(chunk) * 2

    run = Run(database, twice)
    assert run.loop.run() == "finished"
    assert query(database, "SELECT count(*) FROM job_attempts") == [(5,)]


# Chunks that take long


def test_part_of_a_chunk_is_recorded_and_the_rest_goes_elsewhere(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(50)
    slow: list[Chunk] = []

    def answer(chunk: Chunk) -> list[Event]:
        if len(chunk.tasks) == 1 or slow:
            return do_all(chunk)
        slow.append(chunk)
        return [Part(chunk, [completed(task) for task in chunk.tasks[:3]], len(chunk.tasks) - 4)]

    run = Run(database, answer)

    def check() -> None:
        if len(run.outcomes) == 49:
            assert [task.path for task in slow[0].tasks] == [path]
            run.events.put(Done(slow[0], [completed(slow[0].tasks[0])]))

    monkeypatch.setattr(run.engine, "check", check)
    monkeypatch.setattr("foregsyte_kaggle.loop.GROUP_AGE_SECONDS", 0.0)
    path = "6"
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 50}
    assert run.outcomes[-1][0] == 6
    assert query(database, "SELECT count(*), count(DISTINCT job_id) FROM job_attempts") == [
        (50, 50)
    ]


def test_worker_at_a_long_job_gets_nothing_to_wait_behind_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what it gives back would go to and fro as long as the job takes."""
    add_jobs(50)
    slow: list[Chunk] = []
    submitted: list[int] = []

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) < 3 or len(submitted) >= 20:
            return do_all(chunk)
        if len(slow) == 2:
            return [Done(chunk, [])]
        slow.append(chunk)
        return [Part(chunk, [], len(chunk.tasks) - 1)]

    run = Run(database, answer)

    def check() -> None:
        submitted.append(len(run.engine.chunks))
        if len(submitted) == 20:
            for chunk in slow:
                run.events.put(Done(chunk, [completed(chunk.tasks[0])]))

    monkeypatch.setattr(run.engine, "check", check)
    monkeypatch.setattr("foregsyte_kaggle.loop.TICK_SECONDS", 0.001)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 50}
    assert submitted[8] == submitted[18]


def test_long_job_by_itself_is_measured_when_it_ends_and_not_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else jobs of some seconds would seem short, and others wait behind them."""
    add_jobs(12)

    def answer(chunk: Chunk) -> list[Event]:
        (task,) = chunk.tasks
        return [Part(chunk, [], 0), Done(chunk, [completed(task, 5.0)])]

    run = Run(database, answer)
    measured: list[list[float]] = []
    monkeypatch.setattr(
        backlog.Backlog, "measure", lambda _self, _id, seconds: measured.append(seconds)
    )
    assert run.loop.run() == "finished"
    assert measured == [[5.0]] * 12


def test_job_that_kills_after_its_chunk_gave_back_the_others_is_the_only_one_tried_again(
    database: Database,
) -> None:
    add_jobs(50)

    def answer(chunk: Chunk) -> list[Event]:
        if len(chunk.tasks) == 1 or len(run.engine.chunks) > 4:
            return do_all(chunk)
        return [
            Started(chunk),
            Part(chunk, [completed(task) for task in chunk.tasks[:3]], len(chunk.tasks) - 4),
            Lost(chunk, "died", "killed"),
        ]

    run = Run(database, answer)
    assert run.loop.run() == "finished"
    left = counts(database)
    assert left["completed"] + left["failed"] == 50
    assert left["failed"] == len([chunk for chunk in run.engine.chunks[:4] if chunk.time_box])
    assert query(database, "SELECT count(*), count(DISTINCT job_id) FROM job_attempts") == [
        (50, 50)
    ]


def test_worker_that_dies_after_all_was_given_back_costs_no_job(database: Database) -> None:
    add_jobs(20)

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) != 5:
            return do_all(chunk)
        return [Part(chunk, [], len(chunk.tasks)), Lost(chunk, "died", "killed", began=False)]

    run = Run(database, answer)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 20}


def test_what_ended_in_a_chunk_that_is_stopped_is_recorded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(50)
    waiting: list[Chunk] = []

    def answer(chunk: Chunk) -> list[Event]:
        if len(chunk.tasks) == 1:
            return do_all(chunk)
        waiting.append(chunk)
        run.loop.stop()
        return []

    run = Run(database, answer)

    def give_back() -> None:
        for chunk in waiting:
            ended = [completed(task) for task in chunk.tasks[:2]]
            run.events.put(Part(chunk, ended, len(chunk.tasks) - 3))

    monkeypatch.setattr(run.engine, "give_back", give_back)
    alone = run.loop.run
    assert alone() == "stopped"
    done = (
        2 * len(waiting) + sum(len(chunk.tasks) == 1 for chunk in run.engine.chunks) - len(waiting)
    )
    run.end()
    assert counts(database)["completed"] == len(run.outcomes) >= done > 0


# Time limits


class Left(Deadline):
    """A deadline whose clock the test sets."""

    seconds = 1000.0

    @property
    def seconds_left(self) -> float:
        return Left.seconds


@pytest.fixture
def deadline(monkeypatch: pytest.MonkeyPatch) -> Deadline:
    monkeypatch.setattr(Left, "seconds", 1000.0)
    return Left(0.0, "a limit")


def test_no_job_is_begun_that_would_likely_not_end_in_time(
    database: Database, deadline: Deadline
) -> None:
    add_jobs(50)

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) == 10:
            Left.seconds = 9.9
        return [Done(chunk, [completed(task, 10.0) for task in chunk.tasks])]

    run = Run(database, answer, deadline=deadline)
    assert run.loop.run() == "time_limit"
    assert len(run.engine.chunks) <= 12
    assert run.engine.held
    run.end()
    assert counts(database) == {
        "completed": len(run.engine.chunks),
        "pending": 50 - len(run.engine.chunks),
    }
    assert run.loop.left() == 50 - len(run.engine.chunks)


def test_jobs_in_flight_end_in_the_time_that_is_left(
    database: Database, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(50)
    working: list[Chunk] = []

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) < 10:
            return [Done(chunk, [completed(task, 10.0) for task in chunk.tasks])]
        working.append(chunk)
        Left.seconds = 9.9
        return []

    run = Run(database, answer, deadline=deadline)

    def check() -> None:
        if working and run.engine.held:
            chunk = working.pop()
            run.events.put(Done(chunk, [completed(chunk.tasks[0], 5.0)]))

    monkeypatch.setattr(run.engine, "check", check)
    assert run.loop.run() == "time_limit"
    run.end()
    assert counts(database)["completed"] == len(run.engine.chunks)


def test_job_that_is_not_done_when_time_is_up_is_put_back(
    database: Database, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(5)
    monkeypatch.setattr("foregsyte_kaggle.loop.STOP_GRACE_SECONDS", 0.01)

    def answer(chunk: Chunk) -> list[Event]:
        Left.seconds = 0.0
        return []

    run = Run(database, answer, deadline=deadline)
    assert run.loop.run() == "time_limit"
    run.end()
    assert counts(database) == {"pending": 5}


def test_jobs_that_vary_much_need_more_time_than_their_mean(
    database: Database, deadline: Deadline
) -> None:
    add_jobs(100)

    def answer(chunk: Chunk) -> list[Event]:
        taken = 1.0 if len(run.engine.chunks) % 2 else 9.0
        if len(run.engine.chunks) == 20:
            Left.seconds = 7.0  # more than the mean of 5
        return [Done(chunk, [completed(task, taken) for task in chunk.tasks])]

    run = Run(database, answer, deadline=deadline)
    assert run.loop.run() == "time_limit"
    assert len(run.engine.chunks) <= 22


def test_pipeline_that_fits_goes_on_when_another_does_not(
    database: Database, deadline: Deadline
) -> None:
    add_jobs(20, "p")
    add_jobs(20, "q")
    seconds = {"p": 10.0, "q": 0.5}

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) == 6:
            Left.seconds = 9.0
        return [Done(chunk, [completed(task, seconds[chunk.pipeline_id]) for task in chunk.tasks])]

    run = Run(database, answer, pipelines=("p", "q"), deadline=deadline)
    assert run.loop.run() == "time_limit"
    done = [chunk.pipeline_id for chunk in run.engine.chunks]
    assert done.count("p") <= 8
    assert done.count("q") == 20


def test_first_job_is_not_begun_where_earlier_ones_took_longer_than_is_left(
    database: Database, deadline: Deadline
) -> None:
    add_jobs(5)
    Left.seconds = 100.0
    run = Run(database, do_all, deadline=deadline, usual_seconds={"p": 240.0})
    assert run.loop.run() == "time_limit"
    assert not run.engine.chunks
    assert run.loop.left() == 5


def test_run_that_ends_while_it_closes_is_finished(database: Database, deadline: Deadline) -> None:
    add_jobs(4)

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) == 4:
            Left.seconds = 1.0
        return [Done(chunk, [completed(task, 10.0) for task in chunk.tasks])]

    run = Run(database, answer, deadline=deadline)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 4}


def test_jobs_longer_than_what_is_left_are_told_by_pipeline_and_length(
    database: Database, deadline: Deadline, capsys: pytest.CaptureFixture[str]
) -> None:
    add_jobs(5)
    Left.seconds = 7200.0
    run = Run(database, do_all, deadline=deadline, usual_seconds={"p": 12600.0})
    assert run.loop.run() == "time_limit"
    assert capsys.readouterr().out.splitlines() == [
        "a job of p takes up to 3 h 30 min, and 2 h were left of the time limit, so no other was begun"
    ]


def test_nothing_is_said_of_long_jobs_when_none_is_left_or_time_is_up_anyway(
    database: Database, deadline: Deadline, capsys: pytest.CaptureFixture[str]
) -> None:
    add_jobs(1)
    add_jobs(5, "q")
    usual = {"q": 20.0}

    def answer(chunk: Chunk) -> list[Event]:
        Left.seconds = 10.0
        return [Done(chunk, [completed(task, 3600.0) for task in chunk.tasks])]

    run = Run(database, answer, pipelines=("p", "q"), deadline=deadline, usual_seconds=usual)
    assert run.loop.run() == "time_limit"
    assert not capsys.readouterr().out


def test_job_that_is_cut_off_after_long_is_told_by_name_and_length(
    database: Database,
    deadline: Deadline,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_jobs(5)
    monkeypatch.setattr("foregsyte_kaggle.loop.STOP_GRACE_SECONDS", 0.01)

    def answer(chunk: Chunk) -> list[Event]:
        Left.seconds = 0.0
        run.loop._begun[chunk.chunk_id] -= 12000.0
        return []

    run = Run(database, answer, workers=1, deadline=deadline)
    assert run.loop.run() == "time_limit"
    (said,) = capsys.readouterr().out.splitlines()
    assert said == (
        "'1' of p was not done after 3 h 20 min when time was up, and is put back to pending"
    )


# A full disk


class Drive:
    """A disk that is low when the test says so."""

    low = is_near = False
    counts = 0

    def is_low(self) -> bool:
        return self.low

    def count_files(self) -> None:
        self.counts += 1


def test_full_disk_ends_the_run_after_what_was_begun_is_recorded(database: Database) -> None:
    add_jobs(50)
    drive = Drive()

    def answer(chunk: Chunk) -> list[Event]:
        drive.low = len(run.engine.chunks) >= 10
        return [Done(chunk, [completed(task, 1.0) for task in chunk.tasks])]

    run = Run(database, answer, disk=drive)
    assert run.loop.run() == "disk"
    assert run.engine.held
    assert drive.counts == 1
    run.end()
    assert counts(database) == {
        "completed": len(run.engine.chunks),
        "pending": 50 - len(run.engine.chunks),
    }


def test_short_jobs_go_out_one_at_a_time_when_the_disk_is_nearly_full(database: Database) -> None:
    add_jobs(200)
    drive = Drive()
    sizes: list[tuple[bool, int]] = []

    def answer(chunk: Chunk) -> list[Event]:
        sizes.append((drive.is_near, len(chunk.tasks)))
        drive.is_near = sum(size for _, size in sizes) > 100
        return [Done(chunk, [completed(task, 0.001) for task in chunk.tasks])]

    run = Run(database, answer, disk=drive)
    assert run.loop.run() == "finished"
    assert max(size for near, size in sizes if not near) > 1
    near = [size for near, size in sizes if near]
    assert near
    assert set(near[4:]) <= {1}  # those before were out already


def test_disk_that_is_full_from_the_start_begins_nothing(database: Database) -> None:
    add_jobs(5)
    drive = Drive()
    drive.low = True
    run = Run(database, do_all, disk=drive)
    assert run.loop.run() == "disk"
    assert not run.engine.chunks
    assert counts(database) == {"pending": 5}


def test_disk_that_fills_up_with_the_last_job_leaves_the_run_finished(database: Database) -> None:
    add_jobs(4)
    drive = Drive()

    def answer(chunk: Chunk) -> list[Event]:
        drive.low = len(run.engine.chunks) == 4
        return [Done(chunk, [completed(task, 1.0) for task in chunk.tasks])]

    run = Run(database, answer, disk=drive)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 4}


# Workers that die


def dies_at(path: str, *, began: bool = True, outcome: str = "died") -> Answer:
    def answer(chunk: Chunk) -> list[Event]:
        started: list[Event] = [Started(chunk)] if began else []
        if any(task.path == path for task in chunk.tasks):
            lost = Lost(chunk, outcome, "killed", "last words", 0.5, began=began, worker="77")
            return [*started, lost]
        return [*started, *do_all(chunk)]

    return answer


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("died", "WorkerDied"), ("timeout", "JobTimeout"), ("failed", "ResultError")],
)
def test_job_whose_worker_dies_fails_with_the_reason(
    database: Database, outcome: str, kind: str
) -> None:
    add_jobs(3)
    run = Run(database, dies_at("2", outcome=outcome))
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 2, "failed": 1}
    assert query(
        database,
        "SELECT a.outcome, a.error_type, a.error_message, a.output, a.worker, a.duration_seconds"
        " FROM job_attempts AS a JOIN jobs USING (job_id) WHERE position = 2",
    ) == [(outcome, kind, "killed", "last words", "77", 0.5)]


def test_jobs_of_a_lost_chunk_are_tried_one_by_one(database: Database) -> None:
    add_jobs(200)
    run = Run(database, dies_at("150"), workers=1)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 199, "failed": 1}
    lost = [paths for paths in run.engine.inputs if "150" in paths]
    assert [len(paths) > 1 for paths in lost] == [True, False]
    assert query(database, "SELECT count(*), count(DISTINCT job_id) FROM job_attempts") == [
        (200, 200)
    ]


@pytest.mark.usefixtures("no_pause")
def test_job_whose_worker_dies_is_tried_again_where_that_is_asked(database: Database) -> None:
    add_jobs(3)
    run = Run(database, dies_at("2"), policy=Policy(max_attempts=2))
    run.loop.run()
    assert [one for one in run.outcomes if one[0] == 2] == [
        (2, 1, False, "died"),
        (2, 2, True, "died"),
    ]


def test_workers_that_all_die_before_a_job_end_the_run_with_everything_pending(
    database: Database,
) -> None:
    add_jobs(100)
    run = Run(
        database,
        lambda chunk: [Lost(chunk, "died", "exit code 3", "no GPU", began=False)],
    )
    with pytest.raises(RunError, match=r"no job of p can begin: exit code 3\nIt printed: no GPU"):
        run.loop.run()
    assert len(run.engine.chunks) < 10
    run.end()
    assert counts(database) == {"pending": 100}
    assert query(database, "SELECT count(*) FROM job_attempts") == [(0,)]


def test_only_job_whose_worker_dies_before_it_begins_is_not_blamed(database: Database) -> None:
    add_jobs(1)
    run = Run(database, lambda chunk: [Lost(chunk, "died", "exit code 3", began=False)])
    with pytest.raises(RunError, match="no job of p can begin"):
        run.loop.run()
    run.end()
    assert counts(database) == {"pending": 1}


def test_job_that_its_worker_dies_before_twice_fails_when_others_can_begin(
    database: Database,
) -> None:
    """As with a param that makes a class end the process when it is built."""
    add_jobs(20)

    def answer(chunk: Chunk) -> list[Event]:
        if chunk.tasks[0].path == "1":
            return [Lost(chunk, "died", "exit code 3", began=False)]
        return [Started(chunk), *do_all(chunk)]

    run = Run(database, answer)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 19, "failed": 1}


def test_worker_that_died_idle_costs_no_job(database: Database) -> None:
    add_jobs(20)

    def answer(chunk: Chunk) -> list[Event]:
        if len(run.engine.chunks) in {2, 7, 8}:
            return [Lost(chunk, "died", "killed", began=False)]
        return [Started(chunk), *do_all(chunk)]

    run = Run(database, answer)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 20}


def test_pipeline_that_no_worker_can_load_ends_the_run_with_everything_pending(
    database: Database,
) -> None:
    add_jobs(10)
    run = Run(
        database, lambda chunk: [Lost(chunk, "unloadable", "ImportError: no torch", "Traceback …")]
    )
    with pytest.raises(
        PipelineError, match=r"'p' cannot be loaded in a worker: ImportError: no torch\nTr"
    ):
        run.loop.run()
    run.end()
    assert counts(database) == {"pending": 10}


def test_broken_executor_ends_the_run_with_everything_pending(database: Database) -> None:
    add_jobs(10)
    run = Run(database, lambda chunk: [Lost(chunk, "broken", "the pool is broken.")])
    with pytest.raises(RunError, match="the pool is broken"):
        run.loop.run()
    run.end()
    assert counts(database) == {"pending": 10}


def test_job_that_a_crash_interrupted_runs_beside_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(8)
    with database.transaction() as connection:
        connection.execute("UPDATE jobs SET interruptions = 1 WHERE position IN (2, 3)").fetchall()
    in_flight: list[Chunk] = []
    together: list[list[str]] = []

    def keep(chunk: Chunk) -> list[Event]:
        in_flight.append(chunk)
        return []

    run = Run(database, keep)

    def check() -> None:
        together.append([task.path for chunk in in_flight for task in chunk.tasks])
        for chunk in in_flight:
            run.events.put(Done(chunk, [completed(task, 9.0) for task in chunk.tasks]))
        in_flight.clear()

    monkeypatch.setattr(run.engine, "check", check)
    assert run.loop.run() == "finished"
    assert counts(database) == {"completed": 8}
    assert [paths for paths in together if paths] == [
        ["1", "4"],
        ["5", "6"],
        ["7", "8"],
        ["2"],
        ["3"],
    ]


def test_short_jobs_are_recorded_before_one_that_a_crash_interrupted_goes_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foregsyte_kaggle.loop.GROUP_AGE_SECONDS", 60.0)
    add_jobs(300)
    with database.transaction() as connection:
        connection.execute("UPDATE jobs SET interruptions = 1 WHERE position = 7").fetchall()
    recorded: list[tuple[int, int]] = []

    def answer(chunk: Chunk) -> list[Event]:
        if any(task.position == 7 for task in chunk.tasks):
            recorded.append((sum(map(len, run.recorded)), len(chunk.tasks)))
        return do_all(chunk)

    run = Run(database, answer)
    run.loop.run()
    assert recorded == [(299, 1)]


# Progress and errors


def test_progress_of_jobs_in_flight_is_known_and_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(2)
    monkeypatch.setattr("foregsyte_kaggle.loop.PROGRESS_SECONDS", 0.0)
    seen: list[Any] = []

    def answer(chunk: Chunk) -> list[Event]:
        position = chunk.tasks[0].position
        if position == 1:
            run.loop.stop()
        return [Progress(position, 0.25), Progress(position, 0.5), Progress(99, 0.9)]

    def ticks() -> Iterator[bool]:
        yield from [False] * 3
        seen.append(dict(run.loop.fractions))
        yield True

    run = Run(database, answer, workers=1)
    tick = ticks()
    monkeypatch.setattr(run.loop, "_is_over", lambda: next(tick, True))
    run.loop.run()
    assert seen == [{1: 0.5}]
    assert query(database, "SELECT progress FROM jobs ORDER BY position") == [(0.5,), (None,)]


def test_progress_is_forgotten_when_the_job_ends(database: Database) -> None:
    add_jobs(1)

    def answer(chunk: Chunk) -> list[Event]:
        return [Progress(1, 0.5), *do_all(chunk), Progress(1, 0.7)]

    run = Run(database, answer)
    run.loop.run()
    assert run.loop.fractions == {}


def test_error_of_the_ledger_is_not_silent_and_loses_no_job(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(5)

    def refuse(*_: object) -> int:
        raise LedgerError("the disk is full")

    run = Run(database, do_all)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "record", refuse)
        with pytest.raises(LedgerError, match="the disk is full"):
            run.loop.run()
    run.loop.drain()
    run.end()
    assert counts(database).get("running") is None
    assert sum(counts(database).values()) == 5


def test_two_tries_of_a_job_are_never_in_one_group(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(1)
    monkeypatch.setattr(backlog, "BACK_OFF_SECONDS", 0.0)
    monkeypatch.setattr(Loop, "_is_due", lambda _loop: False)
    run = Run(
        database,
        lambda chunk: [Done(chunk, [failed(task) for task in chunk.tasks])],
        policy=Policy(max_attempts=4),
    )
    run.loop.run()
    assert [len(group) for group in run.recorded] == [1, 1, 1, 1]
    assert counts(database) == {"failed": 1}


def test_group_is_recorded_when_a_worker_is_slow(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came back does not wait for what did not."""
    monkeypatch.setattr("foregsyte_kaggle.loop.GROUP_AGE_SECONDS", 0.05)
    add_jobs(2)
    slow: list[Chunk] = []

    def answer(chunk: Chunk) -> list[Event]:
        if chunk.tasks[0].path == "1":
            slow.append(chunk)
            return []
        return do_all(chunk)

    run = Run(database, answer)

    def check() -> None:
        if run.recorded and slow:
            for event in do_all(slow.pop()):
                run.events.put(event)

    monkeypatch.setattr(run.engine, "check", check)
    assert run.loop.run() == "finished"
    assert run.outcomes == [(2, 1, True, "completed"), (1, 1, True, "completed")]


# Batches


def test_jobs_travel_in_batches_without_a_time_box_from_the_first_on(database: Database) -> None:
    add_jobs(25)
    run = Run(database, do_all, batch_sizes={"p": 10})
    assert run.loop.run() == "finished"
    assert sorted(len(chunk.tasks) for chunk in run.engine.chunks) == [5, 10, 10]
    assert all(chunk.is_batch and chunk.time_box is None for chunk in run.engine.chunks)
    assert counts(database) == {"completed": 25}


def test_batches_are_full_however_short_the_jobs_are(database: Database) -> None:
    add_jobs(1000)

    def answer(chunk: Chunk) -> list[Event]:
        return [Done(chunk, [completed(task, 0.03) for task in chunk.tasks])]

    run = Run(database, answer, workers=3, batch_sizes={"p": 10})
    run.loop.run()
    assert {len(chunk.tasks) for chunk in run.engine.chunks} == {10}


def test_other_pipelines_get_their_jobs_one_at_a_time(database: Database) -> None:
    add_jobs(6, "p")
    add_jobs(6, "q")
    run = Run(database, do_all, pipelines=("p", "q"), batch_sizes={"p": 3})
    run.loop.run()
    assert counts(database) == {"completed": 12}
    batches = {(chunk.pipeline_id, chunk.is_batch) for chunk in run.engine.chunks}
    assert batches == {("p", True), ("q", False)}


def test_jobs_of_a_batch_whose_worker_died_are_tried_alone(database: Database) -> None:
    add_jobs(12)
    run = Run(database, dies_at("5"), workers=1, batch_sizes={"p": 4})
    run.loop.run()
    assert counts(database) == {"completed": 11, "failed": 1}
    lost = [["5", "6", "7", "8"], ["5"], ["6"], ["7"], ["8"]]
    others = [["1", "2", "3", "4"], ["9", "10", "11", "12"]]
    assert sorted(run.engine.inputs) == sorted([*lost, *others])
    assert all(chunk.is_batch for chunk in run.engine.chunks)


@pytest.mark.usefixtures("no_pause")
def test_job_of_a_batch_that_is_tried_again_travels_alone(database: Database) -> None:
    add_jobs(4)

    def answer(chunk: Chunk) -> list[Event]:
        return [
            Done(
                chunk,
                [
                    failed(task) if task.path == "2" and task.attempt == 1 else completed(task)
                    for task in chunk.tasks
                ],
            )
        ]

    run = Run(database, answer, policy=Policy(max_attempts=2), batch_sizes={"p": 2})
    run.loop.run()
    assert counts(database) == {"completed": 4}
    assert run.engine.inputs.count(["2"]) == 1
    assert sorted(run.engine.inputs) == [["1", "2"], ["2"], ["3", "4"]]


def batch_tasks(*params: str | None) -> list[Task]:
    return [Task(at, "id", str(at), False, one, 1) for at, one in enumerate(params, 1)]


def positions(chunk: Chunk) -> list[int]:
    return [task.position for task in chunk.tasks]


def test_batch_takes_jobs_with_its_params_and_leaves_the_others_in_order() -> None:
    waiting = backlog.Backlog({"p": 3})
    waiting.append("p", batch_tasks("a", "b", "a", "b", None, "a", "a"))
    made = []
    while waiting:
        made.append(positions(waiting.make_chunk("p")))
    assert made == [[1, 3, 6], [2, 4], [5], [7]]


def test_job_that_must_travel_alone_is_in_no_batch() -> None:
    waiting = backlog.Backlog({"p": 3})
    tasks = batch_tasks("a", "a", "a", "a")
    waiting.mark(tasks[1]).alone = True
    waiting.append("p", tasks)
    made = []
    while waiting:
        made.append(positions(waiting.make_chunk("p")))
    assert made == [[1, 3, 4], [2]]


def test_second_batch_waits_in_a_worker_only_where_batches_are_short() -> None:
    waiting = backlog.Backlog({"p": 100})
    waiting.measure("p", [0.01])
    waiting.measure("q", [0.01])
    assert (waiting.depth("p"), waiting.depth("q")) == (1, 2)


def test_worker_whose_jobs_all_ended_does_not_hide_a_job_that_runs_alone() -> None:
    waiting = backlog.Backlog()
    (first,) = batch_tasks(None)
    waiting.mark(first).exclusive = True
    waiting.append("p", [first])
    assert waiting.must_wait("p", [Chunk("p", [])])


def test_batch_likely_takes_the_time_of_all_its_jobs() -> None:
    waiting = backlog.Backlog({"p": 10})
    waiting.measure("p", [2.0, 2.0])
    waiting.measure("q", [2.0, 2.0])
    assert (waiting.likely_seconds("p"), waiting.likely_seconds("q")) == (20.0, 2.0)
