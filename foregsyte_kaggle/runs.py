"""What a run tells of itself: the ``Run``."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from foregsyte_kaggle.notices import counted

if TYPE_CHECKING:
    from foregsyte_kaggle.recording import Ended

__all__ = ["Run"]


class Run:
    """One call of ``run_jobs``.

    Attributes
    ----------
    run_id : uuid.UUID
        As in ``jobs_frame()`` and ``attempts_frame()``.
    total : int
        Jobs that were pending when it began, or its limit.
    completed, failed : int
        Jobs whose end is in the ledger.
    returned : int
        Jobs that it claimed and put back to pending.
    seconds : float
        How long it took.
    ended_by : str or None
        ``"finished"``, ``"limit"``, ``"stopped"`` or ``"error"``; None while it works.
    outdated : int
        Completed jobs, of those it could run, that were made by other code than that registered now.
    failures : dict
        For each kind of error, how many jobs failed with it, and the message of the one that was
        registered first.
    """

    def __init__(self, pipeline_id: str | None, total: int) -> None:
        self.run_id = uuid.uuid4()
        self.pipeline_id = pipeline_id
        self.total = total
        self.completed = 0
        self.failed = 0
        self.returned = 0
        self.outdated = 0
        self.seconds = 0.0
        self.ended_by: str | None = None
        self.failures: dict[str, tuple[int, str]] = {}
        self._first_failed: dict[str, int] = {}

    @property
    def jobs_per_second(self) -> float:
        """Finished jobs a second, over the whole run."""
        return (self.completed + self.failed) / self.seconds if self.seconds else 0.0

    def summary(self) -> list[str]:
        """Return what happened: one line for the run, and one for each kind of failure."""
        parts = [f"{self.completed:,} completed"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.returned:
            parts.append(f"{self.returned:,} back to pending")
        lines = [
            f"{self.pipeline_id or 'all pipelines'}: {', '.join(parts)}"
            f" in {self.seconds:,.1f} s ({self.jobs_per_second:,.1f} jobs/s)"
            + (f", {self.ended_by}" if self.ended_by not in {None, "finished"} else "")
        ]
        for kind, (count, message) in sorted(
            self.failures.items(), key=lambda item: (-item[1][0], item[0])
        ):
            first = message.strip().splitlines()[0][:200] if message.strip() else ""
            lines.append(f"  {count:,} x {kind}{', first' if count > 1 else ''}: {first}")
        return lines + self.hints()

    def hints(self) -> list[str]:
        """Return what somebody may want to do next: a line if completed jobs are outdated."""
        if not self.outdated:
            return []
        them = "it" if self.outdated == 1 else "them"
        was = counted(self.outdated, "completed job was", "completed jobs were")
        return [f"{was} made by older code; retry_jobs(outdated=True) redoes {them}"]

    def note(self, written: list[Ended]) -> None:
        """Count what was recorded."""
        for ended in written:
            if not ended.final:
                continue
            if ended.outcome.outcome == "completed":
                self.completed += 1
                continue
            self.failed += 1
            kind = ended.outcome.error_type or ended.outcome.outcome
            count, message = self.failures.get(kind, (0, ""))
            # Not the first to fail, which differs from run to run.
            if ended.outcome.position <= self._first_failed.get(kind, ended.outcome.position):
                self._first_failed[kind] = ended.outcome.position
                message = ended.outcome.error_message or ""
            self.failures[kind] = (count + 1, message)

    def __repr__(self) -> str:
        state = self.ended_by or "working"
        return (
            f"<Run {self.pipeline_id or 'all pipelines'}: {self.completed:,} completed, "
            f"{self.failed:,} failed, {state}>"
        )
