"""What the engine over a cluster needs of whatever runs that cluster, and whom of its workers it can use."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from typing import Any, Protocol

from foregsyte_kaggle.executors.contract import Chunk
from foregsyte_kaggle.executors.hosted import Facts, Notebook, Reply
from foregsyte_kaggle.worker import describe

__all__ = ["Cluster", "WorkerGoneError", "refusal"]


class WorkerGoneError(Exception):
    """A worker died, or was replaced, while it had a chunk."""


class Cluster(Protocol):
    """What the engine needs of a cluster; all coroutines are run in its loop."""

    name: str
    label: str
    """What it is called in messages."""
    loop: asyncio.AbstractEventLoop
    allowed_deaths: int
    advice: str
    """Where to look when a worker died, as a sentence."""
    advice_on_forks: str
    """How to make it without forking workers, as a sentence."""

    def broken(self) -> str | None:
        """Say why it takes no more work; None while it does."""

    async def expect(self, notebook: Notebook) -> int:
        """Return how many jobs its workers can run at once, before anything is begun.

        Raises
        ------
        RunError
            If none of them can be used.
        """

    async def begin(self, listen: Callable[[tuple[Any, ...]], None]) -> None:
        """Have what workers say sent to ``listen``."""

    async def end(self) -> None:
        """Listen no more."""

    async def workers(self) -> dict[str, int]:
        """Return the names of the workers that live, and how many jobs each takes at once, which may be 0."""

    async def ask(
        self, workers: list[str], function: Callable[..., Any], *arguments: Any
    ) -> dict[str, Any]:
        """Call a function in workers, beside their jobs; return what each answers, an exception too."""

    async def run(self, worker: str, threads: int, chunk: Chunk, token: str) -> Reply:
        """Call ``hosted.run`` in a thread of a worker for jobs.

        Raises
        ------
        WorkerGoneError
            If it died, or the chunk was dropped.
        """

    def drop(self, chunk: Chunk) -> None:
        """Wait for a chunk no more."""


def refusal(answer: Any, cluster: Cluster) -> str | None:
    """Say why a worker that answered ``hosted.look`` so cannot be used; None where it can, or is gone."""
    if isinstance(answer, Facts):
        ours = platform.python_version()
        if answer.is_forked:
            return (
                "they are forked from the process that holds the ledger, and a forked child can delete what "
                f"was committed. {cluster.advice_on_forks}"
            )
        if answer.python.split(".")[:2] != ours.split(".")[:2]:
            return (
                f"it has Python {answer.python} and the notebook {ours}, between which pipelines cannot "
                "travel; use the same minor version in both"
            )
        return None
    if isinstance(answer, Exception) and not isinstance(answer, OSError):
        text = f"{type(answer).__name__}: {describe(answer)}"
        return f"{text}. Its Python needs the same foregsyte-kaggle as the notebook"
    return None
