"""What live views are made of: ipywidgets' own widgets, and how they are closed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import ipywidgets

__all__ = ["button", "close_all", "column", "has_comm", "html", "row"]


def button(name: str, tooltip: str) -> Any:
    """Return a button as wide as its label."""
    return ipywidgets.Button(description=name, tooltip=tooltip, layout=_layout(width="auto"))


def html(value: str = "", **layout: str) -> Any:
    """Return a widget that shows HTML."""
    return ipywidgets.HTML(value, layout=_layout(**layout))


def row(*children: Any) -> Any:
    """Return widgets side by side; in several lines where it is narrow."""
    layout = _layout(flex_flow="row wrap", align_items="center", width="100%")
    return ipywidgets.HBox(children, layout=layout)


def column(*children: Any) -> Any:
    """Return widgets below each other."""
    return ipywidgets.VBox(children, layout=_layout(width="100%", overflow="visible"))


def has_comm(widget: Any) -> bool:
    """Return whether there is a front end's channel to talk to."""
    comm = widget.comm
    dummy = getattr(sys.modules.get("comm"), "DummyComm", ())
    return (
        comm is not None
        and not isinstance(comm, dummy)
        and getattr(comm, "kernel", widget) is not None
    )


def close_all(widget: Any) -> None:
    """Close a widget and all below it: each has a comm of its own."""
    for one in _family(widget):
        one.close()


def _layout(**kwargs: str) -> Any:
    return ipywidgets.Layout(**kwargs)


def _family(widget: Any) -> Iterator[Any]:
    for child in getattr(widget, "children", ()):
        yield from _family(child)
    for name in ("style", "layout"):
        part = getattr(widget, name, None)
        if isinstance(part, ipywidgets.Widget):
            yield part
    yield widget
