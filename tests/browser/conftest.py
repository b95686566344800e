"""The browser: whichever Chromium is here, or else a skip that is named, or a failure where one is required."""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Give the path of Chromium, for Playwright's ``executable_path``.

    With ``FOREGSYTE_REQUIRE_BROWSER=1``, as in CI, a missing browser is a failure.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        advice = f"no browser, none of {', '.join(NAMES)}: install Debian's package chromium"
        if os.environ.get("FOREGSYTE_REQUIRE_BROWSER") == "1":
            pytest.fail(advice)
        pytest.skip(advice)
    return path
