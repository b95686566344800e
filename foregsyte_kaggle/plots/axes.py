"""What both pictures share: Axes to draw on, and texts of the ledger as matplotlib shall take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import InvalidArgumentError, MissingExtraError
from foregsyte_kaggle.widgets.words import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLORS", "PLAIN", "describe", "find_axes", "say_empty", "shown"]

#: What happened to jobs, told apart also by who does not tell red from green.
COLORS = {"completed": "tab:blue", "failed": "tab:red"}

#: For each text that holds data: a dollar in a file name begins no formula.
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}

TEXT_WIDTH = 44


def find_axes(ax: Axes | None, height: float) -> Axes:
    """Return the given Axes, or those of a new figure of this height in inches.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    InvalidArgumentError
        If ``ax`` are no Axes.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise MissingExtraError(
            "plots need matplotlib: pip install 'foregsyte-kaggle[plot]'"
        ) from error
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=(10, height), layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise InvalidArgumentError(
            f"ax={ax!r:.80}; expected matplotlib's Axes, such as plt.subplots()[1], or None for a new figure"
        )
    return ax


def say_empty(ax: Axes) -> Axes:
    """Say in the middle that there is nothing to draw."""
    ax.text(0.5, 0.5, "no finished jobs", ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
    return ax


def describe(pipeline_id: str | None, source: str | None) -> str:
    """Return what a title says of the jobs that a picture is of; empty for all."""
    parts = [shown(pipeline_id)] if pipeline_id is not None else []
    parts += [f"source {shown(source)}"] if source is not None else []
    return f": {', '.join(parts)}" if parts else ""


def shown(text: str) -> str:
    """Return a text of the ledger with all its characters visible, cut at its beginning where it is long."""
    text = visible(text[-10 * TEXT_WIDTH :])
    return text if len(text) <= TEXT_WIDTH else "…" + text[1 - TEXT_WIDTH :]
