"""How a live view gets into a notebook: the widget, and the plain version beside it that a saved notebook shows."""

from __future__ import annotations

from typing import Any

__all__ = ["WIDGET_VIEW", "Displays", "publish"]

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
