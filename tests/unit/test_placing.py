"""Which worker of a cluster gets which chunk."""

from __future__ import annotations

import pytest

from foregsyte_kaggle.executors.contract import Chunk
from foregsyte_kaggle.executors.placing import Host, Placing
from foregsyte_kaggle.worker import Task

pytestmark = pytest.mark.unit


def chunk(*positions: int) -> Chunk:
    return Chunk("p", [Task(at, str(at), f"{at}.txt", True, None, 1) for at in positions])


def placing(*threads: int, allowed: int = 1) -> Placing:
    made = Placing(allowed)
    for number, count in enumerate(threads):
        made.hosts[f"w{number}"] = Host(f"w{number}", count, is_ready=True)
    return made


def place(made: Placing, *chunks: Chunk) -> dict[int, str]:
    """Place what waits; return the worker of each chunk, by its first job."""
    for one in chunks:
        made.add(one)
    found = {}
    for host, one in made.place():
        made.note(host, one)
        found[one.tasks[0].position] = host.name
    return found


def test_chunks_spread_over_threads_and_the_rest_waits() -> None:
    made = placing(1, 2)
    found = place(made, *(chunk(at) for at in range(8)))
    assert len(found) == 6
    assert sorted(found.values()) == ["w0"] * 2 + ["w1"] * 4
    assert [one.tasks[0].position for one in made.take_waiting()] == [6, 7]


def test_worker_that_does_not_know_the_pipelines_gets_nothing() -> None:
    made = placing(1, 1)
    made.hosts["w0"].is_ready = False
    assert set(place(made, chunk(1), chunk(2)).values()) == {"w1"}


def test_suspect_runs_alone_in_its_process_and_waits_until_one_is_empty() -> None:
    made = placing(4, 4)
    place(made, *(chunk(at) for at in range(4)))
    host = made.hosts["w0"]
    lost = host.placed[0]
    made.release(host, lost)
    assert made.note_death(lost) == 0  # it was not alone, so it is not counted
    assert not place(made, lost.chunk)
    (reserved,) = [one for one in made.hosts.values() if one.suspect is lost.chunk]
    other = "w1" if reserved.name == "w0" else "w0"
    assert set(place(made, chunk(10), chunk(11)).values()) == {other}
    for placed in list(reserved.placed):
        made.release(reserved, placed)
    assert place(made) == {lost.chunk.tasks[0].position: reserved.name}
    assert not reserved.placed[0].is_shared
    assert set(place(made, chunk(12)).values()) == {other}


def test_job_fails_when_more_workers_died_at_it_than_is_allowed() -> None:
    made = placing(1, allowed=1)
    suspect = chunk(7)
    for deaths in (1, 2):
        place(made, suspect)
        (placed,) = made.hosts["w0"].placed
        made.release(made.hosts["w0"], placed)
        assert made.note_death(placed) == deaths
        assert made.may_retry(deaths) == (deaths == 1)
    made.clear([7])
    assert not made.is_suspect(suspect)


def test_chunk_of_several_makes_each_of_its_jobs_a_suspect() -> None:
    made = placing(1)
    place(made, chunk(1, 2))
    (placed,) = made.hosts["w0"].placed
    made.release(made.hosts["w0"], placed)
    assert made.note_death(placed) is None
    assert made.is_suspect(chunk(1))
    assert made.is_suspect(chunk(2))


def test_suspect_whose_empty_worker_goes_away_waits_for_another() -> None:
    made = placing(1)
    place(made, chunk(1), chunk(2))
    host = made.hosts["w0"]
    lost = host.placed[0]
    made.release(host, lost)
    made.note_death(lost)
    assert not place(made, lost.chunk)
    made.remove("w0")
    made.hosts["w1"] = Host("w1", 1, is_ready=True)
    assert place(made) == {1: "w1"}


def test_suspect_waits_until_its_worker_knows_the_pipelines() -> None:
    made = placing(1)
    place(made, chunk(1), chunk(2))
    host = made.hosts["w0"]
    lost, other = host.placed
    made.release(host, lost)
    made.note_death(lost)
    assert not place(made, lost.chunk)
    host.is_ready = False
    made.release(host, other)
    assert not place(made)
    host.is_ready = True
    assert place(made) == {1: "w0"}


def test_nothing_waits_behind_a_chunk_that_takes_long() -> None:
    made = placing(1, 1)
    place(made, chunk(1), chunk(2))
    made.hosts["w0"].placed[0].was_asked = True
    assert place(made, chunk(3), chunk(4)) == {3: "w1"}


def test_worker_that_takes_no_jobs_gets_none_and_what_it_was_kept_free_for_goes_elsewhere() -> None:
    made = placing(1, 1)
    place(made, chunk(1), chunk(2), chunk(3), chunk(4))
    host = made.hosts["w0"]
    lost = host.placed[0]
    made.release(host, lost)
    made.note_death(lost)
    assert not place(made, lost.chunk)
    (reserved,) = [one for one in made.hosts.values() if one.suspect is not None]
    made.set_threads(reserved, 0)
    (other,) = [one for one in made.hosts.values() if one is not reserved]
    for placed in list(other.placed):
        made.release(other, placed)
    assert place(made, chunk(9)) == {lost.chunk.tasks[0].position: other.name}
