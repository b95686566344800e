"""The page that ``serve`` shows: it follows a run, and says when what it asks is not answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.api import routes
from foregsyte_kaggle.workspace import Workspace
from tests.browser.pages import EVIL, Opened, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def test_served_page_follows_a_run_and_tells_what_is_not_answered(
    workspace: Workspace, browser: Any, screenshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @fk.pipeline("letters")
    def letters(text: str) -> dict[str, int]:
        return {"length": len(text)}

    fk.register_jobs(pd.DataFrame({"id": ["a", EVIL]}), "letters", name="ids")
    server = fk.serve()
    page = browser.new_page()
    told = Opened(page, Path())
    watch(page, told)
    page.goto(server.url)
    badges, lost = page.locator("#jobs tbody .fk-badge"), page.locator("#lost")
    assert badges.all_inner_texts() == ["pending", "pending"]
    assert EVIL in page.locator("#jobs").inner_text().replace("\n", "")
    fk.run_jobs("letters", executor="inline", progress=False)
    page.locator("#jobs tbody .fk-badge", has_text="completed").nth(1).wait_for(timeout=20_000)
    assert lost.is_hidden()
    page.screenshot(path=screenshots / "served.png")
    page.locator("select[name=status]").select_option("failed")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/?status=failed*")
    assert badges.count() == 0
    page.go_back()
    assert told.errors == told.dialogs == []

    def refuse(*_: object) -> str:
        raise fk.LedgerError("not now")

    with monkeypatch.context() as patched:
        patched.setattr(routes, "live_page", refuse)
        lost.wait_for(timeout=20_000)
        assert badges.all_inner_texts() == ["completed", "completed"]
    lost.wait_for(state="hidden", timeout=20_000)
    server.stop()
    lost.wait_for(timeout=20_000)
    assert badges.all_inner_texts() == ["completed", "completed"]
    assert told.dialogs == []
    page.close()
