"""Which pending jobs a run takes next: by ranges of position, those that a crash interrupted last."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foregsyte_kaggle import ledger
from foregsyte_kaggle.ledger import ClaimedJobs, Pending, Selection

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = ["Claimed", "Claims"]

SMALLEST_SPAN = 1024
#: Where a crash interrupted more jobs than this, as among tiny ones, they first run so many at a time.
SUSPECTS = 64


@dataclass(frozen=True)
class Claimed:
    """Jobs of one pipeline that the run holds now."""

    pipeline_id: str
    jobs: ClaimedJobs
    exclusive: bool
    """Whether nothing else may run beside them, since one of them may end the process."""
    code_version: str
    """Of the pipeline's code."""


class Claims:
    """Claims the pending jobs of a run's selections, pass after pass, until none is left.

    Those that a crash of the notebook's process interrupted come last, each by itself; many of them first
    in groups, so that after another crash only one group is left to try by itself.

    Parameters
    ----------
    selections
        What to work on, with the version of each pipeline's code.
    limit
        At most this many jobs in all.
    is_only_run
        Whether no other run works in this process. Jobs that a crash interrupted are left pending
        otherwise, since the other run's jobs would be beside them.

    Attributes
    ----------
    holds_back : bool
        Whether jobs are left pending for that reason.
    """

    def __init__(
        self,
        database: Database,
        run_id: uuid.UUID,
        selections: list[tuple[Selection, str]],
        limit: int | None,
        is_only_run: Callable[[], bool] = lambda: True,
    ) -> None:
        self.holds_back = False
        self._left_out: set[str] = set()
        self._is_only_run = is_only_run
        self._database = database
        self._run_id = run_id
        self._selections = selections
        self._left = limit
        self._at = 0
        self._next = self._last = -1
        self._interrupted = self._in_groups = False
        self._in_pass = False
        self._span = SMALLEST_SPAN

    @property
    def limit_reached(self) -> bool:
        """Whether the limit is what keeps jobs pending now."""
        return self._left == 0 and self.count_pending() > 0

    @property
    def can_take(self) -> bool:
        """Whether there is a job to take now."""
        return self._left != 0 and self.count_pending() > 0

    def count_pending(self, pipeline_id: str | None = None) -> int:
        """Return how many jobs of the selections, or of one pipeline of them, are pending now."""
        found = (
            ledger.pending_jobs(self._database, one)
            for one, _ in self._selections
            if pipeline_id in (None, one.pipeline_id)
        )
        return sum(extent.jobs for extent in found if extent is not None)

    @property
    def pipelines(self) -> list[str]:
        """Whose jobs are claimed."""
        found = (selection.pipeline_id for selection, _ in self._selections)
        return [pipeline_id for pipeline_id in found if pipeline_id not in self._left_out]

    def leave_out(self, pipeline_id: str) -> None:
        """Claim no more jobs of a pipeline."""
        self._left_out.add(pipeline_id)
        self._in_pass = self._in_pass and self.pipeline_id != pipeline_id

    @property
    def pipeline_id(self) -> str | None:
        """Whose jobs are looked for next."""
        return self._selections[self._at][0].pipeline_id if self._selections else None

    def take(self, most: int) -> Claimed | None:
        """Claim up to ``most`` jobs; None when nothing is pending now, or the limit is reached."""
        while True:
            if self._left == 0:
                return None
            if not self._in_pass and not self._begin_pass():
                return None
            selection, code_version = self._selections[self._at]
            wanted = max(1, most)
            if self._interrupted:
                wanted = SUSPECTS if self._in_groups else 1
            if self._left is not None:
                wanted = min(wanted, self._left)
            end = min(self._next + max(self._span, wanted) - 1, self._last)
            jobs = ledger.claim(
                self._database,
                self._run_id,
                selection,
                code_version=code_version,
                first=self._next,
                last=end,
                limit=wanted,
                interrupted=self._interrupted,
                once=self._in_groups,
            )
            number = len(jobs.positions)
            self._next = jobs.positions[-1] + 1 if number == wanted else end + 1
            # Where pending jobs are rare, each step looks at a wider range.
            self._span = self._span * 4 if not number else max(SMALLEST_SPAN, 2 * wanted)
            self._in_pass = self._next <= self._last
            if number:
                if self._left is not None:
                    self._left -= number
                return Claimed(selection.pipeline_id, jobs, self._interrupted, code_version)

    def _begin_pass(self) -> bool:
        """Find the next jobs to look for: those of all pipelines that no crash interrupted come first."""
        suspects: list[tuple[int, Pending]] = []
        for at, (selection, _) in enumerate(self._selections):
            if selection.pipeline_id in self._left_out:
                continue
            extent = ledger.pending_jobs(self._database, selection)
            if extent is None:
                continue
            if extent.jobs > extent.interrupted:
                self._begin(at, extent, interrupted=False)
                return True
            suspects.append((at, extent))
        self.holds_back = bool(suspects) and not self._is_only_run()
        if not suspects or self.holds_back:
            return False
        self._begin(*suspects[0], interrupted=True)
        return True

    def _begin(self, at: int, extent: Pending, *, interrupted: bool) -> None:
        ledger.remove_leftovers(self._database, self._selections[at][0])
        self._at = at
        self._interrupted = interrupted
        self._in_groups = interrupted and extent.once > SUSPECTS
        self._next, self._last = extent.first, extent.last
        self._span = SMALLEST_SPAN
        self._in_pass = True
