"""Parts of the live table and of the run panel: ipywidgets' own widgets, the only ones that Kaggle and Colab load."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets

from foregsyte_kaggle.errors import ForegsyteError

__all__ = [
    "Part",
    "as_message",
    "button",
    "chip",
    "close_all",
    "column",
    "has_comm",
    "html",
    "labelled",
    "layout",
    "row",
    "set_shown",
]


class Part:
    """Some controls that are filled by the program and changed by a person.

    Parameters
    ----------
    lock
        Held by whoever fills them, from any thread: what a person does meanwhile waits and is not lost.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._filling = False

    def follow(self, control: Any, wish: Callable[[Any], None]) -> None:
        """Have a wish fulfilled when a person, and not the program, changes a control's value."""

        def on_change(change: dict[str, Any]) -> None:
            with self._lock:
                if not self._filling:
                    wish(change["new"])

        control.observe(on_change, "value")

    def press(self, button: Any, wish: Callable[[], None]) -> None:
        """Have a wish fulfilled when a button is pressed."""

        def on_click(_button: object) -> None:
            with self._lock:
                wish()

        button.on_click(on_click)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Let nothing that is set in this block count as a person's wish."""
        before, self._filling = self._filling, True
        try:
            yield
        finally:
            self._filling = before


def layout(**kwargs: str) -> Any:
    """Return a layout."""
    return ipywidgets.Layout(**kwargs)


def labelled(width: str) -> dict[str, Any]:
    """Return the arguments of a control that stands beside its label."""
    # Given when made: a layout that is replaced later stays alive with its comm.
    return {"style": {"description_width": "initial"}, "layout": layout(width=width)}


def row(*children: Any) -> Any:
    """Return a box whose children stand side by side, and go on below where there is no room."""
    return ipywidgets.HBox(
        children, layout=layout(flex_flow="row wrap", align_items="center", width="100%")
    )


def column(*children: Any) -> Any:
    """Return a box whose children stand below each other."""
    return ipywidgets.VBox(children, layout=layout(width="100%", overflow="visible"))


def html(value: str = "", **look: str) -> Any:
    """Return a widget that shows HTML."""
    return ipywidgets.HTML(value, layout=layout(**look))


def button(name: str, tooltip: str) -> Any:
    """Return a button as wide as its name."""
    return ipywidgets.Button(description=name, tooltip=tooltip, layout=layout(width="auto"))


def chip(name: str, tooltip: str) -> Any:
    """Return a button that stays pressed, with a dot in the colour of the status it is named for."""
    made = ipywidgets.ToggleButton(description=name, tooltip=tooltip, layout=layout(width="auto"))
    return made.add_class("fk-chip").add_class(f"fk-{name}")


def set_shown(widget: Any, *, shown: bool) -> None:
    """Show a widget, or take no room for it."""
    widget.layout.display = None if shown else "none"


def as_message(what: str, error: Exception) -> tuple[str, str]:
    """Return what went wrong as a sentence, with the traceback unless the error says all itself."""
    if isinstance(error, ForegsyteError):
        return f"{what}: {error}", ""
    details = "".join(traceback.format_exception(error))
    return f"{what}: {type(error).__name__}: {error}", details


def has_comm(widget: Any) -> bool:
    """Return whether there is a front end's channel to talk to."""
    comm = widget.comm
    dummy = getattr(sys.modules.get("comm"), "DummyComm", ())
    return (
        comm is not None
        and not isinstance(comm, dummy)
        and getattr(comm, "kernel", widget) is not None
    )


def close_all(root: Any) -> None:
    """Remove the views of a widget and of all below it, and close every comm."""
    for widget in _family(root):
        widget.close()


def _family(widget: Any) -> Iterator[Any]:
    """Yield all widgets below one, their layouts and styles, and it last: each has a comm of its own."""
    for child in getattr(widget, "children", ()):
        yield from _family(child)
    for name in ("style", "layout"):
        part = getattr(widget, name, None)
        if isinstance(part, ipywidgets.Widget):
            yield part
    yield widget
