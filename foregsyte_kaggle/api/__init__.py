"""The HTTP face: ``serve`` shows the ledger of this kernel to other programs and to a browser.

Only the kernel can open the ledger's file, so it is the kernel that answers. Needs the extra ``api``; ``app`` is the
same for the active workspace, for those who serve it by other means, or test with FastAPI's ``TestClient``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.api.serving import Server, serve
from foregsyte_kaggle.database import get_db

if TYPE_CHECKING:
    from foregsyte_kaggle.api.main import app as app
    from foregsyte_kaggle.api.main import create_app as create_app

__all__ = ["Server", "app", "create_app", "get_db", "serve"]


def __getattr__(name: str) -> Any:
    if name not in ("app", "create_app"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from foregsyte_kaggle.api import main

    return getattr(main, name)
