"""The controls below the live table: which page, and how many rows one has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import ipywidgets

from foregsyte_kaggle.widgets import parts
from foregsyte_kaggle.widgets.page import JobPage, PageQuery

__all__ = ["Pager"]

PAGE_SIZES = (10, 20, 50, 100)


class Pager(parts.Part):
    """Back, forward, a page's number and the page size.

    Parameters
    ----------
    page_size
        Offered beside the usual ones.
    ask
        Called with the query that a person wants now.
    lock
        As of a ``Part``.
    """

    def __init__(
        self, page_size: int, ask: Callable[[PageQuery], None], lock: threading.RLock
    ) -> None:
        super().__init__(lock)
        self._ask = ask
        self._page: JobPage | None = None
        self.back_button = parts.button("Back", "Previous page")
        self.forward_button = parts.button("Forward", "Next page")
        self.number_box = ipywidgets.BoundedIntText(
            value=1, min=1, max=1, description="Page", **parts.labelled("120px")
        )
        self.pages_label = ipywidgets.Label()
        self.size_box = ipywidgets.Dropdown(
            options=sorted({*PAGE_SIZES, page_size}),
            value=page_size,
            description="Rows a page",
            **parts.labelled("150px"),
        )
        self.root = parts.row(
            self.back_button, self.number_box, self.pages_label, self.forward_button, self.size_box
        )
        self.follow(self.number_box, self._want_number)
        self.follow(self.size_box, self._want_size)
        self.press(self.back_button, lambda: self._turn(-1))
        self.press(self.forward_button, lambda: self._turn(1))

    def fill(self, page: JobPage) -> None:
        """Set every control to what the page says."""
        self._page, number = page, page.query.number
        with self._quietly():
            # The bounds first, or the value is clipped to those of the page before.
            self.number_box.max = max(page.pages, self.number_box.value)
            self.number_box.value = number
            self.number_box.max = page.pages
            self.number_box.disabled = page.pages == 1
            self.pages_label.value = f"of {page.pages:,}"
            self.back_button.disabled = number == 1
            self.forward_button.disabled = number == page.pages
            self.size_box.value = page.query.page_size

    def _want_number(self, number: int) -> None:
        if self._page is not None:
            self._ask(replace(self._page.query, number=max(1, number)))

    def _want_size(self, size: int) -> None:
        if self._page is not None:
            # The first row that is seen stays in sight.
            number = (max(1, self._page.first) - 1) // size + 1
            self._ask(replace(self._page.query, page_size=size, number=number))

    def _turn(self, pages: int) -> None:
        if self._page is not None:
            self._want_number(self._page.query.number + pages)
