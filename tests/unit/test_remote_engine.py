"""The engine over a cluster, with a cluster that the test is: what comes of late answers and lost workers."""

from __future__ import annotations

import asyncio
import pickle
import platform
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from foregsyte_kaggle.executors import (
    Chunk,
    Done,
    Event,
    Events,
    Lost,
    Part,
    Started,
    hosted,
    remote,
    roster,
)
from foregsyte_kaggle.executors.cluster import WorkerGoneError
from foregsyte_kaggle.executors.hosted import Facts, Notebook, Reply
from foregsyte_kaggle.executors.remote import RemoteEngine
from foregsyte_kaggle.worker import Outcome, Task

pytestmark = pytest.mark.unit

WAIT_SECONDS = 10


class FakeCluster:
    """Has the workers that it is told of, which run nothing: the test answers for them."""

    name = "fake"
    label = "the fake cluster"
    allowed_deaths = 1
    advice = "Look there."
    advice_on_forks = ""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.found = {"w0": 1}
        self.runs: queue.SimpleQueue[tuple[str, Chunk]] = queue.SimpleQueue()
        self.asked: list[tuple[str, Callable[..., Any]]] = []
        self.asks: queue.SimpleQueue[asyncio.Future[Any]] = queue.SimpleQueue()
        self.answers: dict[Callable[..., Any], Any] = {
            hosted.learn: Facts(platform.python_version(), is_forked=False),
            hosted.give_back: {},
        }
        self._replies: dict[int, asyncio.Future[Reply]] = {}
        self._listen: Callable[[tuple[Any, ...]], None] = lambda _: None

    def broken(self) -> str | None:
        return None

    async def expect(self, notebook: Notebook) -> int:  # noqa: ARG002
        return sum(self.found.values())

    async def begin(self, listen: Callable[[tuple[Any, ...]], None]) -> None:
        self._listen = listen

    async def end(self) -> None:
        pass

    async def workers(self) -> dict[str, int]:
        return dict(self.found)

    async def ask(
        self,
        workers: list[str],
        function: Callable[..., Any],
        *arguments: Any,  # noqa: ARG002
    ) -> dict[str, Any]:
        self.asked += [(worker, function) for worker in workers]
        answer = self.answers.get(function)
        if answer == "later":
            waited: asyncio.Future[Any] = self.loop.create_future()
            self.asks.put(waited)
            answer = await waited
        return dict.fromkeys(workers, answer)

    async def run(self, worker: str, threads: int, chunk: Chunk, token: str) -> Reply:  # noqa: ARG002
        reply = self._replies[chunk.chunk_id] = self.loop.create_future()
        self.runs.put((worker, chunk))
        return await reply

    def drop(self, chunk: Chunk) -> None:
        reply = self._replies.pop(chunk.chunk_id, None)
        if reply is not None and not reply.done():
            reply.set_exception(WorkerGoneError())

    # For the test's thread

    def say(self, *message: Any) -> None:
        self.loop.call_soon_threadsafe(lambda: self._listen(message))

    def reply(self, chunk: Chunk, reply: Any) -> None:
        self.loop.call_soon_threadsafe(lambda: self._replies[chunk.chunk_id].set_result(reply))

    def tasks(self) -> int:
        async def count() -> int:
            for _ in range(5):  # what was cancelled has ended then
                await asyncio.sleep(0)
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(WAIT_SECONDS)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    monkeypatch.setattr(remote, "LOOK_SECONDS", 0.01)
    made = FakeCluster()
    thread = threading.Thread(target=made.loop.run_forever)
    thread.start()
    yield made
    made.loop.call_soon_threadsafe(made.loop.stop)
    thread.join()
    made.loop.close()


@pytest.fixture
def events() -> Events:
    return queue.SimpleQueue()


@pytest.fixture
def engine(cluster: FakeCluster, events: Events) -> Iterator[RemoteEngine]:
    made = RemoteEngine(cluster, events)
    made.add_pipeline("p", print, "outputs")
    yield made
    made.close(kill=True)


def chunk_of(*positions: int) -> Chunk:
    tasks = [Task(at, str(at), f"{at}.txt", True, None, 1) for at in positions]
    return Chunk("p", tasks, 0.0 if len(tasks) > 1 else None)


def outcome(position: int) -> Outcome:
    return Outcome(position, "completed", 0.0, 0.0, None)


def packed(position: int) -> bytes:
    return pickle.dumps([outcome(position)])


def wait(events: Events, kind: type[Event]) -> Any:
    """Return the next event of a kind; no other but that a job began comes before."""
    while True:
        event = events.get(timeout=WAIT_SECONDS)
        if isinstance(event, kind):
            return event
        assert isinstance(event, Started)


def test_job_that_works_on_after_its_chunk_gave_back_the_others_is_not_blamed_for_one_lost_worker(
    cluster: FakeCluster, events: Events, engine: RemoteEngine
) -> None:
    chunk = chunk_of(1, 2)
    cluster.answers[hosted.give_back] = {chunk.chunk_id: ([], 1)}
    engine.submit(chunk)
    cluster.runs.get(timeout=WAIT_SECONDS)
    cluster.say("begun", "w0", "p")
    assert wait(events, Part).returned == 1
    cluster.found = {"w1": 1}
    lost = wait(events, Lost)
    # As is said of one that did not begin: it is tried again.
    assert (lost.outcome, lost.began) == ("died", False)


def test_worker_with_many_threads_that_is_lost_before_a_job_begins_counts_once(
    cluster: FakeCluster, events: Events, engine: RemoteEngine
) -> None:
    cluster.found = {"w0": 3}
    for at in range(3):
        engine.submit(chunk_of(at))
    assert {cluster.runs.get(timeout=WAIT_SECONDS)[0] for _ in range(3)} == {"w0"}
    cluster.found = {"w1": 3}
    for _ in range(3):
        worker, chunk = cluster.runs.get(timeout=WAIT_SECONDS)
        assert worker == "w1"
        cluster.reply(chunk, ("done", pickle.dumps([outcome(chunk.tasks[0].position)]), None))
        assert len(wait(events, Done).outcomes) == 1


def test_job_is_retried_where_others_began_though_its_worker_was_lost_before_it_did(
    cluster: FakeCluster, events: Events, engine: RemoteEngine
) -> None:
    engine.submit(chunk := chunk_of(1))
    cluster.runs.get(timeout=WAIT_SECONDS)
    cluster.say("begun", "w0", "p")
    cluster.reply(chunk, ("done", packed(1), None))
    wait(events, Done)
    engine.submit(chunk_of(2))
    for worker, following in (("w0", "w1"), ("w1", "w2")):
        assert cluster.runs.get(timeout=WAIT_SECONDS)[0] == worker
        cluster.found = {following: 1}
    assert wait(events, Lost).began  # at the second death, as allowed_deaths says


def test_answer_that_overtakes_another_gives_no_job_the_outcome_of_another(
    cluster: FakeCluster, events: Events, engine: RemoteEngine
) -> None:
    cluster.answers[hosted.give_back] = "later"
    engine.submit(chunk := chunk_of(1, 2, 3))
    cluster.runs.get(timeout=WAIT_SECONDS)
    first = cluster.asks.get(timeout=WAIT_SECONDS)
    engine.hold()
    second = cluster.asks.get(timeout=WAIT_SECONDS)
    cluster.loop.call_soon_threadsafe(second.set_result, {chunk.chunk_id: ([packed(2)], 0)})
    cluster.loop.call_soon_threadsafe(first.set_result, {chunk.chunk_id: ([packed(1)], 1)})
    part = wait(events, Part)
    assert ([one.position for one in part.outcomes], part.returned) == ([1], 1)
    cluster.reply(chunk, ("done", pickle.dumps([]), None))
    assert wait(events, Done).outcomes == []  # so the second job is run again


def test_pipeline_that_takes_long_to_send_arrives(
    cluster: FakeCluster, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "TELL_SECONDS", 0.01)
    facts = cluster.answers[hosted.learn]
    cluster.answers[hosted.learn] = "later"
    engine.submit(chunk_of(1))
    told = cluster.asks.get(timeout=WAIT_SECONDS)
    time.sleep(0.1)
    cluster.loop.call_soon_threadsafe(lambda: told.done() or told.set_result(facts))
    assert cluster.runs.get(timeout=WAIT_SECONDS)[0] == "w0"
    assert cluster.asked.count(("w0", hosted.learn)) == 1


def test_reply_that_nobody_expects_ends_the_run_instead_of_keeping_it_waiting(
    cluster: FakeCluster, events: Events, engine: RemoteEngine
) -> None:
    engine.submit(chunk := chunk_of(1))
    cluster.runs.get(timeout=WAIT_SECONDS)
    cluster.reply(chunk, None)
    lost = wait(events, Lost)
    assert lost.outcome == "broken"
    assert "what waits for the fake cluster failed: TypeError" in lost.reason


def test_nothing_is_begun_or_left_in_the_cluster_s_loop_after_the_end(
    cluster: FakeCluster, events: Events
) -> None:
    engine = RemoteEngine(cluster, events)
    engine.add_pipeline("p", print, "outputs")
    cluster.loop.call_soon_threadsafe(time.sleep, 0.2)  # it is busy: the chunk waits at its door
    engine.submit(chunk_of(1))
    engine.close(kill=True)
    assert cluster.tasks() == 0
    assert cluster.runs.empty()


def test_worker_that_is_still_being_told_of_a_run_is_told_to_forget_it(
    cluster: FakeCluster, events: Events
) -> None:
    engine = RemoteEngine(cluster, events)
    engine.add_pipeline("p", print, "outputs")
    cluster.answers[hosted.learn] = "later"
    engine.submit(chunk_of(1))
    cluster.asks.get(timeout=WAIT_SECONDS)
    engine.close(kill=True)
    assert ("w0", hosted.forget) in cluster.asked
    assert cluster.tasks() == 0


def test_run_that_is_over_is_not_learned_from_a_late_message() -> None:
    hosted.forget("late")
    hosted.learn(Notebook.here(), "late", {}, 1.0)
    assert "late" not in hosted._stays
