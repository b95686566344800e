"""The rows of the live table: a fixed pool of widgets that each page fills again, below headings that sort."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets

from foregsyte_kaggle.widgets import parts
from foregsyte_kaggle.widgets.cells import HEADINGS, row_to_html
from foregsyte_kaggle.widgets.page import JobPage, JobRow, PageQuery
from foregsyte_kaggle.widgets.retry_bar import FINISHED

__all__ = ["Rows"]

CLOSED, OPEN = "▸", "▾"
UP, DOWN = " ▲", " ▼"


class _Shared:
    """Layouts and styles that all rows share, since each has a comm of its own."""

    def __init__(self) -> None:
        self.narrow = parts.layout(width="26px")
        self.cells = parts.layout(width="auto", overflow="hidden")
        self.shown = parts.layout(width="auto", overflow="hidden")
        self.hidden = parts.layout(display="none")
        self._styles: dict[type, Any] = {}

    def make(self, kind: type, look: Any, **kwargs: Any) -> Any:
        """Make a widget; the first of a kind brings the style for all."""
        if kind in self._styles:
            kwargs["style"] = self._styles[kind]
        made = kind(layout=look, **kwargs)
        self._styles.setdefault(kind, made.style)
        return made

    def close(self) -> None:
        for widget in (self.narrow, self.cells, self.shown, self.hidden, *self._styles.values()):
            widget.close()


class _Line:
    """The widgets of one row."""

    def __init__(self, number: int, shared: _Shared) -> None:
        self.job_id = ""
        # No words of the ledger: ipywidgets 7 takes a description as HTML.
        self.tick = shared.make(
            ipywidgets.Checkbox, shared.narrow, indent=False, description=f"Select row {number}"
        ).add_class("fk-tick")
        self.opener = shared.make(
            ipywidgets.Button, shared.narrow, description=CLOSED, tooltip=f"Details of row {number}"
        ).add_class("fk-opener")
        self.cells = shared.make(ipywidgets.HTML, shared.cells)
        self.details = shared.make(ipywidgets.HTML, shared.hidden).add_class("fk-opened")
        self.widgets = (self.tick, self.opener, self.cells, self.details)


class Rows(parts.Part):
    """Headings, and for each job of the page a tick, a button that opens it, its cells and its details.

    Parameters
    ----------
    ask
        Called with the query that a person wants now.
    select
        Called with ids of jobs, and whether they are selected now.
    describe
        Gives the details of a job as HTML; called when a row is opened, and when an open job changed.
    lock
        As of a ``Part``.
    """

    def __init__(
        self,
        ask: Callable[[PageQuery], None],
        select: Callable[[set[str], bool], None],
        describe: Callable[[str], str],
        lock: threading.RLock,
    ) -> None:
        super().__init__(lock)
        self._ask = ask
        self._select = select
        self._describe = describe
        self._page: JobPage | None = None
        self._opened: dict[str, JobRow | None] = {}
        """The open jobs, each as it was when its details were read."""
        self._shared = shared = _Shared()
        self.lines: list[_Line] = []
        self.tick_all = shared.make(
            ipywidgets.Checkbox, shared.narrow, indent=False, description="Select these rows"
        ).add_class("fk-tick")
        self._blank = shared.make(ipywidgets.HTML, shared.narrow)
        self.headings = {
            sort: shared.make(
                ipywidgets.Button, shared.cells, description=name, tooltip=f"Sort by {name.lower()}"
            ).add_class(f"fk-head-{sort}")
            for sort, name in HEADINGS.items()
        }
        self._heads = ipywidgets.GridBox(tuple(self.headings.values()), layout=shared.cells)
        self._heads.add_class("fk-columns").add_class("fk-heads")
        self.root = ipywidgets.GridBox(
            layout=parts.layout(width="100%", grid_template_columns="26px 26px minmax(0, 1fr)")
        ).add_class("fk-rows")
        self.follow(self.tick_all, lambda ticked: self._select(self._finished(), ticked))
        for sort, button in self.headings.items():
            self.press(button, partial(self._sort_by, sort))

    def fill(self, page: JobPage, selected: set[str]) -> None:
        """Show a page; rows that were open on it stay open."""
        self._page, query = page, page.query
        mixed = len({row.source for row in page.rows}) > 1
        while len(self.lines) < len(page.rows):
            self._add_line()
        ids = {row.job_id for row in page.rows}
        self._opened = {job_id: row for job_id, row in self._opened.items() if job_id in ids}
        with self._quietly():
            for sort, button in self.headings.items():
                mark = (DOWN if query.descending else UP) if sort == query.sort else ""
                button.description = HEADINGS[sort] + mark
            for line, row in zip(self.lines, page.rows, strict=False):
                line.job_id = row.job_id
                line.tick.disabled = row.status not in FINISHED
                line.tick.value = row.job_id in selected
                line.cells.value = row_to_html(page, row, mixed=mixed)
                self._fill_details(line, row)
            self._fill_tick_all(selected)
            used = [line.widgets for line in self.lines[: len(page.rows)]]
            # An equal tuple sends nothing; views of rows that stay are kept.
            top = (self.tick_all, self._blank, self._heads) if page.rows else ()
            self.root.children = sum(used, top)

    def close(self) -> None:
        """Close the widgets of all rows, also of those that are not shown now."""
        for line in self.lines:
            for widget in line.widgets:
                widget.close()
        for widget in (*self.headings.values(), self.tick_all, self._blank, self._heads):
            widget.close()
        self._shared.close()

    def _add_line(self) -> None:
        line = _Line(len(self.lines) + 1, self._shared)
        self.follow(line.tick, lambda ticked: self._select({line.job_id}, ticked))
        self.press(line.opener, lambda: self._turn_over(line))
        self.lines.append(line)

    def _fill_details(self, line: _Line, row: JobRow) -> None:
        is_open = row.job_id in self._opened
        if is_open and self._opened[row.job_id] != row:
            line.details.value = self._describe(row.job_id)
            self._opened[row.job_id] = row
        elif not is_open:
            line.details.value = ""
        line.details.layout = self._shared.shown if is_open else self._shared.hidden
        line.opener.description = OPEN if is_open else CLOSED

    def _fill_tick_all(self, selected: set[str]) -> None:
        ids = self._finished()
        self.tick_all.disabled = not ids
        self.tick_all.value = bool(ids) and ids <= selected

    def _finished(self) -> set[str]:
        rows = self._page.rows if self._page is not None else ()
        return {row.job_id for row in rows if row.status in FINISHED}

    def _turn_over(self, line: _Line) -> None:
        for row in self._page.rows if self._page is not None else ():
            if row.job_id == line.job_id:
                if row.job_id in self._opened:
                    del self._opened[row.job_id]
                else:
                    self._opened[row.job_id] = None
                self._fill_details(line, row)

    def _sort_by(self, sort: str) -> None:
        if self._page is None:
            return
        query = self._page.query
        if query.sort != sort:
            wanted = replace(query, sort=sort, descending=False, number=1)
        elif not query.descending:
            wanted = replace(query, descending=True, number=1)
        else:  # the third click gives the order of registering back
            wanted = replace(query, sort="registered", descending=False, number=1)
        self._ask(wanted)
