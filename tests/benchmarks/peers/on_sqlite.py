"""Peers that keep their jobs in SQLite.

The only source here that may name it: this package is measured against what others keep there, and keeps
nothing there itself.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.peers.work import Counts, Loaded, Peer, work


def loop_by_hand() -> Loaded:
    """Write-ahead log, and no fsync at a commit: what the system crashes with may be lost."""
    import sqlite3

    def opened() -> Any:
        connection = sqlite3.connect("items.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS items (item INTEGER PRIMARY KEY, status TEXT, square INTEGER)"
        )
        return connection

    def run(items: int) -> None:
        connection = opened()
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT OR IGNORE INTO items VALUES (?, 'pending', NULL)",
            ((item,) for item in range(items)),
        )
        connection.execute("COMMIT")
        waiting = connection.execute("SELECT item FROM items WHERE status = 'pending'").fetchall()
        for (number,) in waiting:
            try:
                values = ("completed", work(number), number)
            except ValueError:
                values = ("failed", None, number)
            connection.execute("UPDATE items SET status = ?, square = ? WHERE item = ?", values)
        connection.close()

    def count() -> Counts:
        connection = opened()
        found = connection.execute("SELECT status, count(*) FROM items GROUP BY status").fetchall()
        connection.close()
        return Counts(dict(found).get("completed", 0), dict(found).get("failed", 0))

    return Loaded(run, count)


def huey_queue() -> Loaded:
    """A queue with its own consumer of two threads; without fsync, as it comes."""
    from huey import SqliteHuey
    from huey.utils import Error

    logging.disable(logging.CRITICAL)  # a line for each task, a traceback for each that raises
    queue = SqliteHuey("items", filename="huey.db")
    task = queue.task()(work)

    def run(items: int) -> None:
        enqueued = Path("enqueued")
        if not enqueued.exists():
            for item in range(items):
                task(item)
            enqueued.touch()
        consumer = queue.create_consumer(workers=2, periodic=False, initial_delay=0.001)
        consumer.start()
        while queue.pending_count():
            time.sleep(0.002)
        consumer.stop(graceful=True)

    def count() -> Counts:
        found = [queue.serializer.deserialize(kept) for kept in queue.all_results().values()]
        failed = sum(isinstance(one, Error) for one in found)
        return Counts(len(found) - failed, failed)

    return Loaded(run, count)


def optuna_study() -> Loaded:
    """A study as a list of jobs: each item a trial that is enqueued."""
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)

    def study() -> Any:
        return optuna.create_study(
            study_name="items", storage="sqlite:///optuna.db", load_if_exists=True
        )

    def run(items: int) -> None:
        found = study()
        if not found.get_trials(deepcopy=False):
            for item in range(items):
                found.enqueue_trial({"item": item})
        waiting = found.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        found.optimize(
            lambda trial: work(trial.suggest_int("item", 0, items - 1)), n_trials=len(waiting)
        )

    def count() -> Counts:
        states = [trial.state for trial in study().get_trials(deepcopy=False)]
        return Counts(states.count(TrialState.COMPLETE), states.count(TrialState.FAIL))

    return Loaded(run, count)


PEERS = {
    "sqlite-loop": Peer(
        "a hand-written SQLite loop, a commit an item, no fsync",
        loop_by_hand,
        "pip",  # Python has what it needs
        speed_share=50,
    ),
    "huey": Peer("huey on SQLite, its consumer with 2 threads, no fsync", huey_queue, "huey"),
    "optuna": Peer("an Optuna study on SQLite, a trial an item", optuna_study, "optuna", share=0.3),
}
