"""What the live table asks of the ledger; it knows no widgets."""

from __future__ import annotations

from datetime import UTC, datetime

from foregsyte_kaggle.filters import JobFilter
from foregsyte_kaggle.ledger import retry_matching, status_counts
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.choices import Choices, load_choices
from foregsyte_kaggle.widgets.details import load_details
from foregsyte_kaggle.widgets.details_html import details_to_html
from foregsyte_kaggle.widgets.html import message_to_html
from foregsyte_kaggle.widgets.page import JobPage, PageQuery
from foregsyte_kaggle.widgets.paging import load_page
from foregsyte_kaggle.workspace import Workspace, active_workspace

__all__ = ["JobSource"]


class JobSource:
    """The jobs of a workspace; of the same directory, where that was closed and opened again."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def workspace(self) -> Workspace:
        """The open workspace.

        Raises
        ------
        WorkspaceError
            If it is closed.
        """
        self._workspace = active_workspace(self._workspace)
        return self._workspace

    def load(self, query: PageQuery) -> JobPage:
        """Return the page of a query."""
        return load_page(self.workspace.database, query)

    def choices(self) -> Choices:
        """Return the names that the lists offer."""
        return load_choices(self.workspace.database)

    def count_failed(self, page: JobPage) -> int:
        """Return how many jobs of the page's pipeline and source failed, whatever it searches for."""
        query = page.query
        if not query.search:
            return page.counts[JobStatus.failed]
        counts = status_counts(self.workspace.database, query.pipeline_id, query.source)
        return counts[JobStatus.failed.value]

    def describe(self, job_id: str) -> str:
        """Return the details of a job as HTML."""
        details = load_details(self.workspace, job_id)
        if details is None:
            return message_to_html("This job is not in the ledger any more; press Refresh")
        return details_to_html(details, datetime.now(UTC))

    def retry(self, wanted: JobFilter, job_ids: set[str] | None) -> int:
        """Make jobs pending again and return how many."""
        return retry_matching(self.workspace.database, wanted, job_ids)
