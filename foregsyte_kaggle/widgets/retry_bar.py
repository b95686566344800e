"""The buttons of the live table that make finished jobs pending again, each with the number of jobs it would take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets import parts
from foregsyte_kaggle.widgets.page import JobPage

__all__ = ["RetryBar"]

#: What can be retried: a pending job runs by itself, and a running one belongs to its run.
FINISHED = (JobStatus.completed, JobStatus.failed)


class RetryBar(parts.Part):
    """Retry what is selected, what the filter lets pass, or all failed jobs.

    Parameters
    ----------
    retry
        Called with which jobs, and their ids if they were selected one by one.
    clear
        Called when nothing shall be selected any more.
    lock
        As of a ``Part``.
    """

    def __init__(
        self,
        retry: Callable[[JobFilter, set[str] | None], None],
        clear: Callable[[], None],
        lock: threading.RLock,
    ) -> None:
        super().__init__(lock)
        self._retry = retry
        self._selected: set[str] = set()
        self._filtered = self._all_failed = JobFilter(statuses=(JobStatus.failed,))
        self._redone = 0
        """How many completed jobs a second press of Retry filtered would take; 0 before the first."""
        self._completed = 0
        self.selected_button = parts.button("", "Make the jobs with a tick pending again")
        self.clear_button = parts.button("Clear", "Select no job")
        self.filtered_button = parts.button(
            "",
            "Make the failed jobs of all pages pending again; completed ones too if their chip is pressed",
        )
        self.failed_button = parts.button(
            "", "Make all failed jobs of this pipeline and source pending again"
        )
        self.root = parts.row(
            self.selected_button, self.clear_button, self.filtered_button, self.failed_button
        )
        self.press(self.selected_button, self._retry_selected)
        self.press(self.clear_button, clear)
        self.press(self.filtered_button, self._retry_filtered)
        self.press(self.failed_button, lambda: self._retry(self._all_failed, None))

    def fill(self, page: JobPage, selected: set[str], all_failed: int) -> None:
        """Set the numbers, and what a click would take."""
        query = page.query
        chosen = tuple(one for one in query.statuses if one in FINISHED)
        statuses = chosen if query.statuses else (JobStatus.failed,)
        within = JobFilter(pipeline_id=query.pipeline_id, source=query.source)
        filtered = replace(within, statuses=statuses, search=query.search)
        if filtered != self._filtered:
            self._redone = 0
        self._selected = set(selected)
        self._filtered = filtered
        self._all_failed = replace(within, statuses=(JobStatus.failed,))
        self._completed = page.counts[JobStatus.completed] if JobStatus.completed in statuses else 0
        for button, name, jobs in (
            (self.selected_button, "Retry selected", len(selected)),
            (self.filtered_button, "Retry filtered", sum(page.counts[one] for one in statuses)),
            (self.failed_button, "Retry all failed", all_failed),
        ):
            button.description = f"{name} {jobs:,}"
            button.disabled = not jobs
        parts.set_shown(self.clear_button, shown=bool(selected))
        parts.set_shown(self.filtered_button, shown=bool(query.statuses or query.search))
        if self._redone:
            self._warn()

    def _retry_selected(self) -> None:
        self._retry(JobFilter(statuses=FINISHED), set(self._selected))

    def _retry_filtered(self) -> None:
        if self._completed and not self._redone:
            self._redone = self._completed
            self._warn()
            return
        self._redone = 0
        self._retry(self._filtered, None)

    def _warn(self) -> None:
        """Ask for a second press: the results of completed jobs are hidden until they complete again."""
        said = f"Press again to redo {self._completed:,} completed"
        self.filtered_button.description = said
