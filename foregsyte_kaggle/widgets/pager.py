"""The controls below the live table: which page, and how many rows one has."""

from __future__ import annotations

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
    """

    def __init__(self, page_size: int, ask: Callable[[PageQuery], None]) -> None:
        super().__init__()
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
        self.number_box.observe(self._on_number, "value")
        self.size_box.observe(self._on_size, "value")
        self.back_button.on_click(lambda _: self._turn(-1))
        self.forward_button.on_click(lambda _: self._turn(1))

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

    def _on_number(self, _change: object) -> None:
        if not self._filling and self._page is not None:
            self._ask(replace(self._page.query, number=max(1, self.number_box.value)))

    def _on_size(self, _change: object) -> None:
        if not self._filling and self._page is not None:
            # The first row that is seen stays in sight.
            size, first = self.size_box.value, max(1, self._page.first)
            self._ask(replace(self._page.query, page_size=size, number=(first - 1) // size + 1))

    def _turn(self, pages: int) -> None:
        if self._page is not None:
            query = self._page.query
            self._ask(replace(query, number=max(1, query.number + pages)))
