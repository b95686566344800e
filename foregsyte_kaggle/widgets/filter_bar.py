"""The controls above the live table that say which jobs it shows: chips, two lists, and a text to look for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets import parts
from foregsyte_kaggle.widgets.choices import Choices
from foregsyte_kaggle.widgets.page import JobPage, PageQuery
from foregsyte_kaggle.widgets.words import cut, visible

__all__ = ["FilterBar"]

#: Characters of a name that a list shows.
NAME_CHARACTERS = 60

#: The value of a list's "all". Not None, by which ipywidgets means that nothing is chosen; and no name is empty.
EVERY = ""


class FilterBar(parts.Part):
    """Status chips with counts, pipeline, source and search.

    Parameters
    ----------
    ask
        Called with the query that a person wants now.
    lock
        As of a ``Part``.
    """

    def __init__(self, ask: Callable[[PageQuery], None], lock: threading.RLock) -> None:
        super().__init__(lock)
        self._ask = ask
        self._query = PageQuery()
        self.all_chip = parts.chip("all", "Show jobs of every status")
        self.chips = {
            status: parts.chip(status.value, f"Show or hide {status.value} jobs")
            for status in JobStatus
        }
        self.refresh_button = parts.button("Refresh", "Read the ledger again")
        self.search_box = ipywidgets.Text(
            placeholder="path or error, then Enter",
            description="Search",
            continuous_update=False,
            **parts.labelled("300px"),
        )
        self.pipeline_list = ipywidgets.Dropdown(description="Pipeline", **parts.labelled("220px"))
        self.source_list = ipywidgets.Dropdown(description="Source", **parts.labelled("220px"))
        self.root = parts.column(
            parts.row(self.all_chip, *self.chips.values(), self.refresh_button),
            parts.row(self.search_box, self.pipeline_list, self.source_list),
        )
        self.follow(self.all_chip, lambda _: self._want(statuses=()))
        for status, chip in self.chips.items():
            self.follow(chip, partial(self._want_status, status))
        self.follow(self.search_box, lambda text: self._want(search=text))
        self.follow(self.pipeline_list, lambda name: self._want(pipeline_id=name or None))
        self.follow(self.source_list, lambda name: self._want(source=name or None))
        self.press(self.refresh_button, lambda: self._ask(self._query))

    def offer(self, choices: Choices, query: PageQuery) -> None:
        """Fill the lists with the names that there are, and those asked for."""
        for box, names, asked in (
            (self.pipeline_list, choices.pipelines, query.pipeline_id),
            (self.source_list, choices.sources, query.source),
        ):
            known = sorted({*names, *([asked] if asked is not None else [])})
            options = (
                ("all", EVERY),
                *((cut(visible(name), NAME_CHARACTERS), name) for name in known),
            )
            with self._quietly():
                if box.options != options:
                    box.options = options
                    box.value = asked or EVERY
                parts.set_shown(box, shown=len(known) > 1)

    def fill(self, page: JobPage) -> None:
        """Set every control to what the page says."""
        self._query = query = page.query
        with self._quietly():
            self.all_chip.description = _counted("all", page.total, pressed=not query.statuses)
            self.all_chip.value = not query.statuses
            for status, chip in self.chips.items():
                pressed = status in query.statuses
                chip.description = _counted(status.value, page.counts[status], pressed=pressed)
                chip.value = pressed
            self.search_box.value = query.search
            self.pipeline_list.value = query.pipeline_id or EVERY
            self.source_list.value = query.source or EVERY

    def _want(self, **changed: Any) -> None:
        self._ask(replace(self._query, **changed, number=1))

    def _want_status(self, status: JobStatus, pressed: bool) -> None:
        # Told by what was pressed and not by the chips: a refresh during a run may have set those again.
        wanted = {*self._query.statuses} - {status} | ({status} if pressed else set())
        chosen = tuple(one for one in JobStatus if one in wanted)
        self._want(statuses=() if len(chosen) == len(self.chips) else chosen)


def _counted(name: str, jobs: int, *, pressed: bool) -> str:
    # The mark tells the state to those who see no colour, or hear the page.
    return f"{'✓ ' if pressed else ''}{name} {jobs:,}"
