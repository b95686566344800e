"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foregsyte_kaggle.widgets import table
from foregsyte_kaggle.widgets.controls import JobControls
from tests.job_tables import Published, widgets_alive


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    made = Published()
    monkeypatch.setattr(table, "_publish", made)
    return made


@pytest.fixture
def front_end(published: Published, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """Pretend that somebody sits at a notebook; afterwards no widget may be left."""
    before = set(widgets_alive())
    monkeypatch.setattr(table, "is_interactive", lambda: True)
    monkeypatch.setattr(JobControls, "has_comm", True)
    yield published
    left = [widgets_alive()[one] for one in set(widgets_alive()) - before]
    for one in left:
        one.close()
