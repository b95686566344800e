"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foregsyte_kaggle import background
from foregsyte_kaggle.widgets import panel, showing, table
from foregsyte_kaggle.widgets.controls import JobControls
from foregsyte_kaggle.widgets.panel_controls import PanelControls
from tests.job_tables import Published, widgets_alive


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    made = Published()
    monkeypatch.setattr(showing, "publish", made)
    monkeypatch.setattr(table, "publish", made)
    monkeypatch.setattr(panel, "publish", made)
    return made


@pytest.fixture
def front_end(published: Published, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """Pretend that somebody sits at a notebook; afterwards no widget may be left."""
    before = set(widgets_alive())
    for module in (table, panel, background):
        monkeypatch.setattr(module, "is_interactive", lambda: True)
    for controls in (JobControls, PanelControls):
        monkeypatch.setattr(controls, "has_comm", True)
    monkeypatch.setattr(panel, "TICK_SECONDS", 0.05)
    yield published
    left = [widgets_alive()[one] for one in set(widgets_alive()) - before]
    for one in left:
        one.close()
