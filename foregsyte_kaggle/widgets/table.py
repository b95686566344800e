"""``job_table``: the jobs to look at, live in a notebook that somebody sits at, and as plain HTML everywhere else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.environment import is_interactive
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.filters import as_statuses, check_pipeline, check_source
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.widgets.html import page_to_document, page_to_html
from foregsyte_kaggle.widgets.job_source import JobSource
from foregsyte_kaggle.widgets.page import JobPage, PageQuery
from foregsyte_kaggle.widgets.showing import Displays, forget_live, keep_live, publish
from foregsyte_kaggle.widgets.text import page_to_text
from foregsyte_kaggle.widgets.ticking import Ticker
from foregsyte_kaggle.widgets.words import visible
from foregsyte_kaggle.workspace import Workspace, active_workspace, as_path

if TYPE_CHECKING:
    from foregsyte_kaggle.widgets.controls import JobControls

__all__ = ["JobTable", "job_table"]

#: How often a table follows a run.
REFRESH_SECONDS = 1.0
#: A live table has at most so many rows, each of four widgets; plain ones have as many as are asked for.
LIVE_ROWS = 200


def job_table(
    pipeline_id: str | None = None,
    *,
    status: str | JobStatus | Sequence[str | JobStatus] | None = None,
    source: str | None = None,
    search: str = "",
    sort: str = "registered",
    descending: bool = False,
    page_size: int = 20,
    workspace: Workspace | None = None,
) -> JobTable:
    """Show the jobs: a table to filter, to search, to sort, to open and to retry.

    In a notebook it is live, and follows runs by itself; a plain HTML table is kept beside it for whoever reads
    the saved notebook. In a batch session, a script, or where no widget can live, there is only the plain table.

    Parameters
    ----------
    pipeline_id
        Only jobs of this pipeline.
    status
        Only jobs of this status, or of one of these, to begin with.
    source
        Only jobs of this source.
    search
        Only jobs whose path or error message holds this text, whatever its case; no character stands for others.
    sort
        ``"registered"``, ``"status"``, ``"input"``, ``"pipeline"``, ``"attempts"``, ``"took"`` (seconds of the last
        try) or ``"changed"``.
    descending
        Whether the largest, or the last, comes first.
    page_size
        Rows a page, from 1 to 1,000; a live table shows at most 200.
    workspace
        The active one by default.

    Returns
    -------
    JobTable
        Shows itself at the end of a cell; ``to_html(path)`` and ``to_text()`` give it elsewhere.

    Raises
    ------
    InvalidArgumentError
        If an argument is not of the expected form.
    PipelineError
        If there is no such pipeline, neither registered nor in the ledger.
    SourceError
        If the ledger has no such source.
    WorkspaceError
        If no workspace is open.

    Examples
    --------
    >>> job_table(status="failed")
    """
    query = PageQuery(
        statuses=as_statuses(status),
        pipeline_id=pipeline_id,
        source=source,
        search=search,
        sort=sort,
        descending=descending,
        page_size=page_size,
    )
    chosen = active_workspace(workspace)
    check_pipeline(chosen.database, pipeline_id)
    check_source(chosen.database, source)
    return JobTable(chosen, query)


class JobTable:
    """The jobs of a workspace, a page at a time; made by ``job_table``."""

    def __init__(self, workspace: Workspace, query: PageQuery) -> None:
        self._source = JobSource(workspace)
        self._first_query = query
        self._controls: JobControls | None = None
        self._displays = Displays()
        self._listened: Workspace | None = None
        self._ticker = Ticker(self._tick, self._runs, REFRESH_SECONDS)

    def refresh(self) -> None:
        """Read the ledger again and update what is shown.

        Raises
        ------
        WorkspaceError
            If the workspace was closed.
        LedgerError
            If the ledger cannot be read.
        """
        page = self._page()
        if self._controls is not None:
            self._controls.show_page(page)
        self._update_saved(page)

    def to_text(self) -> str:
        """Return the page as text: counts, status, input, pipeline, attempts and error of each job."""
        return page_to_text(self._page())

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the page as one HTML file that needs no network; return its absolute path.

        Parameters
        ----------
        path
            The file, replaced if it exists; its folder must exist.

        Raises
        ------
        InvalidArgumentError
            If it cannot be written there.
        """
        file = as_path("path", path)
        document = page_to_document(self._page())
        try:
            file.write_text(document, encoding="utf-8")
        except OSError as error:
            raise InvalidArgumentError(
                f"path={str(path)!r} cannot be written: {error.strerror}; expected a file, such as "
                "'jobs.html', in a folder that exists"
            ) from error
        return file

    def close(self) -> None:
        """Take the live table away, with every channel to the front end; plain tables stay as they are."""
        forget_live(self)
        self._listen(None)
        self._ticker.close()
        # What it showed is what it goes on from.
        self._first_query = self._query
        controls, self._controls = self._controls, None
        self._displays.forget()
        if controls is not None:
            controls.close()

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        filtered = visible(self._query.describe())[:200]
        return f"<JobTable{': ' if filtered else ''}{filtered}>"

    def _repr_mimebundle_(self, **_kwargs: object) -> dict[str, str]:
        return _bundle(self._page())

    def _ipython_display_(self) -> None:
        page = self._page()
        controls = self._live_controls(page)
        if controls is None:
            publish(_bundle(page))
        else:
            self._displays.show(controls.root.model_id, _bundle(page))
            keep_live(self)

    @property
    def _query(self) -> PageQuery:
        """What is shown, which a person may have changed."""
        return self._controls.page.query if self._controls is not None else self._first_query

    def _page(self) -> JobPage:
        return self._source.load(self._query)

    def _live_controls(self, page: JobPage) -> JobControls | None:
        """Return the live table, made at its first display; None where it could not live."""
        if not is_interactive():
            return None
        if self._controls is None:
            try:
                from foregsyte_kaggle.widgets.controls import JobControls
            except ImportError as error:
                say(f"the job table is not live: {error}")
                return None
            if page.query.page_size > LIVE_ROWS:
                page = self._source.load(replace(page.query, page_size=LIVE_ROWS))
            controls = JobControls(page, self._source, self._on_shown)
            if not controls.has_comm:
                controls.close()
                return None
            self._controls = controls
        else:
            self._controls.show_page(page)
        self._listen(self._source.workspace)
        return self._controls

    def _listen(self, workspace: Workspace | None) -> None:
        """Follow the runs of a workspace; of none, for None."""
        if self._listened is not workspace:
            if self._listened is not None:
                self._listened.forget(self._ticker.start)
            self._listened = workspace
            if workspace is not None:
                workspace.listen(self._ticker.start)
                self._ticker.start()

    def _runs(self) -> bool:
        return self._listened is not None and bool(self._listened.live_runs)

    def _tick(self) -> None:
        """Show what a run did since; what fails is shown by the next thing that a person does."""
        controls = self._controls
        if controls is None:
            return
        with contextlib.suppress(Exception):
            controls.refresh()
            if not self._runs():
                self._update_saved(controls.page)

    def _on_shown(self, page: JobPage) -> None:
        self._listen(self._source.workspace)
        self._update_saved(page)

    def _update_saved(self, page: JobPage) -> None:
        self._displays.update(_bundle(page))


def _bundle(page: JobPage) -> dict[str, str]:
    return {"text/plain": page_to_text(page), "text/html": page_to_html(page)}
