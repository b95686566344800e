"""The work that every peer does, and what a peer is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Names of environment variables, which reach workers in other processes too.
CALLS, RAISES, TAKES = "BENCH_CALLS", "BENCH_RAISES", "BENCH_TAKES"


def work(item: int) -> int:
    """Do one item; note that it was begun, raise for one in 100, or take a while, where that is asked."""
    if path := os.environ.get(CALLS):
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{item}\n".encode())
        os.close(descriptor)
    if os.environ.get(RAISES) and item % 100 == 50:
        raise ValueError(f"no frames in item {item}")
    if takes := os.environ.get(TAKES):
        time.sleep(float(takes))
    return item * item


@dataclass(frozen=True)
class Counts:
    """What is found afterwards in the place where a peer keeps things."""

    done: int
    """Items whose result is there."""
    failed: int = 0
    """Items that are marked as failed."""


@dataclass(frozen=True)
class Loaded:
    """A peer whose packages are imported; it works in the current directory."""

    run: Callable[[int], None]
    """Do so many items, or what an earlier process that was killed left of them."""
    count: Callable[[], Counts]


@dataclass(frozen=True)
class Peer:
    """One way to do jobs over many items."""

    how: str
    load: Callable[[], Loaded]
    package: str = "foregsyte-kaggle"
    share: float = 1.0
    """Of the items, for what is so slow that all would take too long."""
    speed_share: float = 1.0
    """Of the items that it does at full speed: more where it is over before it has begun."""
