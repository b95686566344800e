"""The live job table: filters, rows, retry and pages around one page of jobs.

Of the table only the page that is shown is ever here; each control asks for another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.widgets import parts
from foregsyte_kaggle.widgets.filter_bar import FilterBar
from foregsyte_kaggle.widgets.html import caption_to_html, message_to_html, style_to_html
from foregsyte_kaggle.widgets.job_source import JobSource
from foregsyte_kaggle.widgets.page import JobPage, PageQuery
from foregsyte_kaggle.widgets.pager import Pager
from foregsyte_kaggle.widgets.retry_bar import FINISHED, RetryBar
from foregsyte_kaggle.widgets.rows import Rows

__all__ = ["JobControls"]


class JobControls:
    """The live table around one page of jobs.

    Its methods may be called from any thread.

    Parameters
    ----------
    page
        What to show first.
    jobs
        The ledger; what asking it raises is shown above the table.
    on_shown
        Told of each page that a person asked for.
    """

    def __init__(self, page: JobPage, jobs: JobSource, on_shown: Callable[[JobPage], None]) -> None:
        self.page = page
        self._jobs = jobs
        self._on_shown = on_shown
        # A refresh during a run comes from a thread of its own.
        self._lock = threading.RLock()
        self._selected: set[str] = set()
        self.filters = FilterBar(self.show, self._lock)
        self.rows = Rows(self.show, self._select, self._describe, self._lock)
        self.pager = Pager(page.query.page_size, self.show, self._lock)
        self.retries = RetryBar(self._retry, self._clear, self._lock)
        self.message = parts.html()
        self.caption = parts.html()
        self.root = parts.column(
            parts.html(style_to_html(), display="none"),
            self.filters.root,
            self.message,
            self.caption,
            self.rows.root,
            self.pager.root,
            self.retries.root,
        ).add_class("fk-live")
        self._guarded(lambda: self._fill(page, offer=True))

    @property
    def has_comm(self) -> bool:
        """Whether there is a front end's channel to talk to."""
        return parts.has_comm(self.root)

    def show(self, query: PageQuery) -> None:
        """Load and show a page; on an error show that instead."""
        with self._lock:
            # The lists change when jobs are registered; who asks for the same again wants to see that.
            offer = query == self.page.query
            self._guarded(lambda: self._show(self._jobs.load(query), offer=offer))

    def show_page(self, page: JobPage) -> None:
        """Show a page that was loaded elsewhere."""
        with self._lock:
            self.message.value = ""
            self._fill(page, offer=True)

    def refresh(self) -> None:
        """Load the page that is shown again; what a person asks for meanwhile comes first."""
        query = self.page.query
        page = self._jobs.load(query)
        with self._lock:
            if self.page.query == query:
                self._fill(page, offer=False)

    def close(self) -> None:
        """Remove the views and close every comm."""
        with self._lock:
            self.rows.close()
            parts.close_all(self.root)

    def _show(self, page: JobPage, *, offer: bool) -> None:
        self.message.value = ""
        self._fill(page, offer=offer)
        self._on_shown(page)

    def _fill(self, page: JobPage, *, offer: bool) -> None:
        self.page = page
        # What was selected and is pending or running again cannot be retried any more.
        self._selected -= {row.job_id for row in page.rows if row.status not in FINISHED}
        if offer:
            self.filters.offer(self._jobs.choices(), page.query)
        self.filters.fill(page)
        self.rows.fill(page, self._selected)
        self.pager.fill(page)
        self.retries.fill(page, self._selected, self._jobs.count_failed(page))
        self.caption.value = caption_to_html(page)

    def _select(self, job_ids: set[str], ticked: bool) -> None:
        with self._lock:
            self._selected = self._selected | job_ids if ticked else self._selected - job_ids
            self._guarded(lambda: self._fill(self.page, offer=False))

    def _clear(self) -> None:
        self._select(set(self._selected), False)

    def _describe(self, job_id: str) -> str:
        try:
            return self._jobs.describe(job_id)
        except Exception as error:  # noqa: BLE001 - the row stays, and tells
            return message_to_html(*parts.as_message("The job could not be read", error))

    def _retry(self, wanted: JobFilter, job_ids: set[str] | None) -> None:
        def retry() -> None:
            jobs = self._jobs.retry(wanted, job_ids)
            self._selected = set()
            self._show(self._jobs.load(self.page.query), offer=False)
            said = counted(jobs, "job is pending again", "jobs are pending again")
            self.message.value = message_to_html(
                f"{said}; run_jobs() runs what is pending", alert=False
            )

        with self._lock:
            self._guarded(retry)

    def _guarded(self, step: Callable[[], Any]) -> None:
        """Do something; show what it raises, since a front end drops it, and the page that is here."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            self.message.value = message_to_html(
                *parts.as_message("The table could not be read", error)
            )
            self.filters.fill(self.page)
            self.pager.fill(self.page)
