"""How a live view gets into a notebook: the widget, and the plain version beside it that a saved notebook shows."""

from __future__ import annotations

import sys
from typing import Any, Protocol

__all__ = ["WIDGET_VIEW", "Displays", "LiveView", "forget_live", "keep_live", "publish"]

#: So many views are live at once; older ones are closed, which leaves their plain version.
LIVE_VIEWS = 10

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def publish(data: dict[str, Any], **kwargs: Any) -> Any:
    """Display a bundle of one thing in several formats."""
    from IPython.display import display

    shown: Any = display  # untyped
    return shown(data, raw=True, **kwargs)


class Displays:
    """The displays of one live view."""

    def __init__(self) -> None:
        self._saved: Any = None

    def show(self, model_id: str, bundle: dict[str, str]) -> None:
        """Display the widget, and the plain version below it; again, if it was before."""
        view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
        # Without words of its own: where the widget cannot be shown, the plain one says everything.
        publish({WIDGET_VIEW: view, "text/plain": ""})
        # A display of its own, since nbconvert drops the HTML beside a widget's view. The style hides it while
        # the live one is there.
        if self._saved is None:
            self._saved = publish(bundle, display_id=True)
        else:  # under the same name, so that an update reaches every copy
            self._saved.display(bundle, raw=True)

    def update(self, bundle: dict[str, str]) -> None:
        """Show another plain version, wherever it was displayed."""
        if self._saved is not None:
            self._saved.update(bundle, raw=True)

    def forget(self) -> None:
        """Leave the plain version as it is."""
        self._saved = None


class LiveView(Protocol):
    """What ``keep_live`` closes."""

    def close(self) -> None:
        """Take the live view away."""


_live: list[tuple[LiveView, tuple[str, str]]] = []


def keep_live(view: LiveView) -> None:
    """Note a view that was shown, and close those that nobody sees any more.

    Those are what an earlier execution of the same cell showed, where the front end names its cells, as
    JupyterLab does; else what many others were shown after.
    """
    cell_id, request = _cell()
    forget_live(view)
    replaced = [one for one, (cell, by) in _live if cell_id and cell == cell_id and by != request]
    _live.append((view, (cell_id, request)))
    for other in [*replaced, *(one for one, _ in _live[:-LIVE_VIEWS])]:
        other.close()


def forget_live(view: LiveView) -> None:
    """Note that a view is closed."""
    _live[:] = [one for one in _live if one[0] is not view]


def _cell() -> tuple[str, str]:
    """Return the id of the cell that is executed, empty where it has none, and that of the request for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    try:
        parent = shell.kernel.get_parent("shell")  # type: ignore[union-attr]
        return str(parent["metadata"].get("cellId") or ""), str(parent["header"]["msg_id"])
    except Exception:  # noqa: BLE001 - not in a kernel, or one without this
        return "", ""
