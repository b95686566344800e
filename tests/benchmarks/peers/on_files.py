"""Peers that keep results in files or data sets of their own."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.peers.work import Counts, Loaded, Peer, work


def joblib_memory() -> Loaded:
    from joblib import Memory

    cached = Memory("cache", verbose=0).cache(work)

    def run(items: int) -> None:
        for item in range(items):
            cached(item)

    return Loaded(run, lambda: Counts(len(list(Path("cache").rglob("output.pkl")))))


def datachain_map() -> Loaded:
    import datachain

    def run(items: int) -> None:
        inputs = datachain.read_values(item=list(range(items)))
        inputs.map(work, params=["item"], output={"square": int}).save("squares")

    def count() -> Counts:
        try:
            return Counts(datachain.read_dataset("squares").count())
        except Exception:  # there is none
            return Counts(0)

    return Loaded(run, count)


PEERS = {
    "joblib": Peer("joblib.Memory, a file for each item", joblib_memory, "joblib"),
    "datachain": Peer("DataChain, map and save", datachain_map, "datachain"),
}
