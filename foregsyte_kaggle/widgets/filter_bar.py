"""The controls above the live table that say which jobs it shows: chips, two lists, and a text to look for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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


class FilterBar(parts.Part):
    """Status chips with counts, pipeline, source and search.

    Parameters
    ----------
    ask
        Called with the query that a person wants now.
    """

    def __init__(self, ask: Callable[[PageQuery], None]) -> None:
        super().__init__()
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
        self.all_chip.observe(self._on_all, "value")
        for status, chip in self.chips.items():
            chip.observe(self._on_chip(status), "value")
        self.search_box.observe(self._on("search"), "value")
        self.pipeline_list.observe(self._on("pipeline_id"), "value")
        self.source_list.observe(self._on("source"), "value")
        self.refresh_button.on_click(lambda _: self._ask(self._query))

    def offer(self, choices: Choices, query: PageQuery) -> None:
        """Fill the lists with the names that there are, and those asked for."""
        for box, names, asked in (
            (self.pipeline_list, choices.pipelines, query.pipeline_id),
            (self.source_list, choices.sources, query.source),
        ):
            known = sorted({*names, *([asked] if asked is not None else [])})
            options = (
                ("all", None),
                *((cut(visible(name), NAME_CHARACTERS), name) for name in known),
            )
            with self._quietly():
                if box.options != options:
                    box.options = options
                    box.value = asked
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
            self.pipeline_list.value = query.pipeline_id
            self.source_list.value = query.source

    def _on_all(self, _change: object) -> None:
        if not self._filling:
            self._ask(replace(self._query, statuses=(), number=1))

    def _on_chip(self, status: JobStatus) -> Callable[[dict[str, Any]], None]:
        def follow(change: dict[str, Any]) -> None:
            if not self._filling:
                # Told by the event and not by the chips: a refresh during a run may have set those again.
                pressed = {*self._query.statuses} - {status} | (
                    {status} if change["new"] else set()
                )
                chosen = tuple(one for one in JobStatus if one in pressed)
                every = len(chosen) == len(self.chips)
                self._ask(replace(self._query, statuses=() if every else chosen, number=1))

        return follow

    def _on(self, name: str) -> Callable[[dict[str, Any]], None]:
        def follow(change: dict[str, Any]) -> None:
            if not self._filling:
                self._ask(replace(self._query, **{name: change["new"]}, number=1))

        return follow


def _counted(name: str, jobs: int, *, pressed: bool) -> str:
    # The mark tells the state to those who see no colour, or hear the page.
    return f"{'✓ ' if pressed else ''}{name} {jobs:,}"
