"""The buttons of the live table that make finished jobs pending again, each with the number of jobs it would take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets import parts
from foregsyte_kaggle.widgets.page import JobPage

__all__ = ["RetryBar"]

#: What can be retried: a pending job runs by itself, and a running one belongs to its run.
FINISHED = (JobStatus.completed, JobStatus.failed)


class RetryBar:
    """Retry what is selected, what the filter lets pass, or all failed jobs.

    Parameters
    ----------
    retry
        Called with which jobs, and their ids if they were selected one by one.
    """

    def __init__(self, retry: Callable[[JobFilter, set[str] | None], None]) -> None:
        self._retry = retry
        self._selected: set[str] = set()
        self._filtered = self._all_failed = JobFilter(statuses=(JobStatus.failed,))
        self.selected_button = parts.button("", "Make the jobs with a tick pending again")
        self.filtered_button = parts.button(
            "",
            "Make the failed jobs of all pages pending again; completed ones too if their chip is pressed",
        )
        self.failed_button = parts.button(
            "", "Make all failed jobs of this pipeline and source pending again"
        )
        self.root = parts.row(self.selected_button, self.filtered_button, self.failed_button)
        self.selected_button.on_click(
            lambda _: self._retry(JobFilter(statuses=FINISHED), set(self._selected))
        )
        self.filtered_button.on_click(lambda _: self._retry(self._filtered, None))
        self.failed_button.on_click(lambda _: self._retry(self._all_failed, None))

    def fill(self, page: JobPage, selected: set[str], all_failed: int) -> None:
        """Set the numbers, and what a click would take."""
        query = page.query
        chosen = tuple(one for one in query.statuses if one in FINISHED)
        statuses = chosen if query.statuses else (JobStatus.failed,)
        within = JobFilter(pipeline_id=query.pipeline_id, source=query.source)
        self._selected = set(selected)
        self._filtered = replace(within, statuses=statuses, search=query.search)
        self._all_failed = replace(within, statuses=(JobStatus.failed,))
        for button, name, jobs in (
            (self.selected_button, "Retry selected", len(selected)),
            (self.filtered_button, "Retry filtered", sum(page.counts[one] for one in statuses)),
            (self.failed_button, "Retry all failed", all_failed),
        ):
            button.description = f"{name} {jobs:,}"
            button.disabled = not jobs
