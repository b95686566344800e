"""The bare executors: the same function, one call a job, and nothing remembered."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from tests.benchmarks.machine import processors


def bare_threads(function: Callable[[str], Any], texts: list[str]) -> None:
    with ThreadPoolExecutor(processors()) as pool:
        _call_each(pool, function, texts)


def bare_processes(function: Callable[[str], Any], texts: list[str]) -> None:
    """Workers are spawned, since forking beside an open ledger loses data."""
    with ProcessPoolExecutor(processors(), multiprocessing.get_context("spawn")) as pool:
        _call_each(pool, function, texts)


def _call_each(pool: Executor, function: Callable[[str], Any], texts: list[str]) -> None:
    """The executor's end waits for all of them; futures that are kept would be half of the time."""
    for text in texts:
        pool.submit(function, text)
