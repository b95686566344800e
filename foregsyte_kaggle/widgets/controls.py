"""The live job table: controls around one page, made of ipywidgets' own widgets only.

The front ends that matter (Kaggle, Colab) load no others reliably. Of the table only the page that is shown is
ever here; each control asks for another one.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ipywidgets

from foregsyte_kaggle.errors import ForegsyteError
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.html import message_to_html, page_to_html, style_to_html
from foregsyte_kaggle.widgets.page import JobPage, PageQuery

__all__ = ["JobControls"]

PAGE_SIZES = (10, 20, 50, 100)


class JobControls:
    """Status chips, pages, page size and refresh around one page of jobs.

    Parameters
    ----------
    page
        What to show first.
    load
        Gives the page of a query; what it raises is shown above the table, which stays as it is.
    on_shown
        Told of each new page.
    """

    def __init__(
        self,
        page: JobPage,
        load: Callable[[PageQuery], JobPage],
        on_shown: Callable[[JobPage], None],
    ) -> None:
        self.page = page
        self._load = load
        self._on_shown = on_shown
        self._filling = False
        self.all_chip = _chip("all", "Show jobs of every status")
        self.chips = {
            status: _chip(status.value, f"Show or hide {status.value} jobs") for status in JobStatus
        }
        self.refresh_button = _button("Refresh", "Read the ledger again")
        self.message = ipywidgets.HTML()
        self.body = ipywidgets.HTML(layout=_layout(width="100%", margin="0 0 6px"))
        self.back_button = _button("Back", "Previous page")
        self.forward_button = _button("Forward", "Next page")
        self.number_box = ipywidgets.BoundedIntText(
            value=1, min=1, max=1, description="Page", **_beside_its_label("120px")
        )
        self.pages_label = ipywidgets.Label()
        self.size_box = ipywidgets.Dropdown(
            options=sorted({*PAGE_SIZES, page.query.page_size}),
            value=page.query.page_size,
            description="Rows a page",
            **_beside_its_label("150px"),
        )
        self.root = self._arrange()
        self._observe()
        self._fill(page)

    def show(self, query: PageQuery) -> bool:
        """Load and show a page; on an error show that instead and return False."""
        try:
            page = self._load(query)
            self.show_page(page)
            self._on_shown(page)
        except Exception as error:  # noqa: BLE001 - a front end drops what a callback raises
            self._show_error(error)
            self._fill(self.page)
            return False
        return True

    def show_page(self, page: JobPage) -> None:
        """Show a page that was loaded elsewhere."""
        self.page = page
        self.message.value = ""
        self._fill(page)

    def close(self) -> None:
        """Remove the views and close every comm."""
        for widget in _family(self.root):
            widget.close()

    @property
    def has_comm(self) -> bool:
        """Whether there is a front end's channel to talk to."""
        comm = self.root.comm
        dummy = getattr(sys.modules.get("comm"), "DummyComm", ())
        return (
            comm is not None
            and not isinstance(comm, dummy)
            and getattr(comm, "kernel", self) is not None
        )

    def _arrange(self) -> Any:
        chips = _row(self.all_chip, *self.chips.values(), self.refresh_button)
        pages = _row(
            self.back_button,
            self.number_box,
            self.pages_label,
            self.forward_button,
            self.size_box,
        )
        style = ipywidgets.HTML(style_to_html(), layout=_layout(display="none"))
        root = ipywidgets.VBox(
            (style, chips, self.message, self.body, pages),
            layout=_layout(width="100%", overflow="visible"),
        )
        return root.add_class("fk-live")

    def _observe(self) -> None:
        self.all_chip.observe(self._on_all, "value")
        for chip in self.chips.values():
            chip.observe(self._on_chip, "value")
        self.number_box.observe(self._on_number, "value")
        self.size_box.observe(self._on_size, "value")
        self.refresh_button.on_click(lambda _: self.show(self.page.query))
        self.back_button.on_click(lambda _: self._turn(-1))
        self.forward_button.on_click(lambda _: self._turn(1))

    def _on_all(self, _change: object) -> None:
        if not self._filling:
            self.show(replace(self.page.query, statuses=(), number=1))

    def _on_chip(self, _change: object) -> None:
        if not self._filling:
            pressed = tuple(status for status, chip in self.chips.items() if chip.value)
            chosen = () if len(pressed) == len(self.chips) else pressed
            self.show(replace(self.page.query, statuses=chosen, number=1))

    def _on_number(self, _change: object) -> None:
        if not self._filling:
            self.show(replace(self.page.query, number=max(1, self.number_box.value)))

    def _on_size(self, _change: object) -> None:
        if not self._filling:
            # The first row that is seen stays in sight.
            size, first = self.size_box.value, max(1, self.page.first)
            query = replace(self.page.query, page_size=size, number=(first - 1) // size + 1)
            self.show(query)

    def _turn(self, pages: int) -> None:
        self.show(replace(self.page.query, number=max(1, self.page.query.number + pages)))

    def _fill(self, page: JobPage) -> None:
        """Set every control to what the page says; their events are not followed meanwhile."""
        query = page.query
        with self._quietly():
            self.all_chip.description = _labelled("all", page.total, pressed=not query.statuses)
            self.all_chip.value = not query.statuses
            for status, chip in self.chips.items():
                pressed = status in query.statuses
                chip.description = _labelled(status.value, page.counts[status], pressed=pressed)
                chip.value = pressed
            # The bounds first, or the value is clipped to those of the page before.
            self.number_box.max = max(page.pages, self.number_box.value)
            self.number_box.value = query.number
            self.number_box.max = page.pages
            self.number_box.disabled = page.pages == 1
            self.pages_label.value = f"of {page.pages:,}"
            self.back_button.disabled = query.number == 1
            self.forward_button.disabled = query.number == page.pages
            self.size_box.value = query.page_size
            self.body.value = page_to_html(page, live=True)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        before, self._filling = self._filling, True
        try:
            yield
        finally:
            self._filling = before

    def _show_error(self, error: Exception) -> None:
        known = isinstance(error, ForegsyteError)
        said = str(error) if known else f"{type(error).__name__}: {error}"
        details = "" if known else "".join(traceback.format_exception(error))
        self.message.value = message_to_html(f"The table could not be read: {said}", details)


def _labelled(name: str, jobs: int, *, pressed: bool) -> str:
    # The mark tells the state to those who see no colour, or hear the page.
    return f"{'✓ ' if pressed else ''}{name} {jobs:,}"


def _layout(**kwargs: str) -> Any:
    return ipywidgets.Layout(**kwargs)


def _beside_its_label(width: str) -> dict[str, Any]:
    # Given when made: a layout that is replaced later stays alive with its comm.
    return {"style": {"description_width": "initial"}, "layout": _layout(width=width)}


def _row(*children: Any) -> Any:
    layout = _layout(flex_flow="row wrap", align_items="center", width="100%")
    return ipywidgets.HBox(children, layout=layout)


def _chip(name: str, tooltip: str) -> Any:
    chip = ipywidgets.ToggleButton(description=name, tooltip=tooltip, layout=_layout(width="auto"))
    chip.add_class("fk-chip").add_class(f"fk-{name}")
    return chip


def _button(name: str, tooltip: str) -> Any:
    return ipywidgets.Button(description=name, tooltip=tooltip, layout=_layout(width="auto"))


def _family(widget: Any) -> Iterator[Any]:
    """Yield all widgets below one, their layouts and styles, and it last: each has a comm of its own."""
    for child in getattr(widget, "children", ()):
        yield from _family(child)
    for name in ("style", "layout"):
        part = getattr(widget, name, None)
        if isinstance(part, ipywidgets.Widget):
            yield part
    yield widget
