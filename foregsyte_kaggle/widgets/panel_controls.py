"""The live run panel: the bar and the numbers, the failures, and two buttons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from foregsyte_kaggle.widgets import parts
from foregsyte_kaggle.widgets.html import message_to_html, style_to_html
from foregsyte_kaggle.widgets.panel_html import failures_to_html, note_to_html, state_to_html
from foregsyte_kaggle.widgets.run_state import RunState

__all__ = ["PanelControls"]


class PanelControls:
    """Shows what it is told, and calls when a button is pressed.

    Parameters
    ----------
    on_stop, on_retry
        What the buttons do; they deal with their own errors.
    """

    def __init__(self, on_stop: Callable[[], None], on_retry: Callable[[], None]) -> None:
        self.progress = parts.html(width="100%", margin="0")
        self.stop_button = parts.button(
            "Stop", "End the run: what is done stays, the rest is pending"
        )
        self.retry_button = parts.button(
            "Retry failed", "Make the failed jobs of this run pending again"
        )
        self.note = parts.html()
        self.message = parts.html()
        self.failures = parts.html(width="100%", margin="0")
        self._told = ""
        self.stop_button.on_click(lambda _: on_stop())
        self.retry_button.on_click(lambda _: on_retry())
        buttons = parts.row(self.stop_button, self.retry_button, self.note)
        style = parts.html(style_to_html(), display="none")
        self.root = parts.column(style, self.progress, buttons, self.message, self.failures)
        self.root.add_class("fk-live").add_class("fk-live-run")

    @property
    def has_comm(self) -> bool:
        """Whether there is a front end's channel to talk to."""
        return parts.has_comm(self.root)

    @property
    def comm(self) -> Any:
        """The channel that clicks come through."""
        return self.stop_button.comm

    def show(self, state: RunState, paths: Mapping[str, str], note: str) -> None:
        """Show a run as it is now, and a note beside the buttons; what did not change is not sent."""
        self.note.value = note_to_html(note)
        self.progress.value = state_to_html(state)
        # By itself, so that it can be selected while the numbers change.
        self.failures.value = failures_to_html(state, paths)
        self.stop_button.description = "Stopping…" if state.is_stopping else "Stop"
        self.stop_button.disabled = state.is_stopping or state.has_ended
        self.retry_button.description = (
            f"Retry {state.failed:,} failed" if state.failed else "Retry failed"
        )
        self.retry_button.disabled = not state.failed

    def tell(self, text: str) -> None:
        """Show what a click did."""
        self._told = self.message.value = note_to_html(text)

    def forget(self) -> None:
        """Show no more what a click did; an alert stays."""
        if self.message.value == self._told:
            self.message.value = ""

    def alert(self, what: str, error: Exception) -> None:
        """Show what went wrong."""
        self.message.value = message_to_html(*parts.as_message(what, error))

    def close(self) -> None:
        """Remove the views and close every comm."""
        parts.close_all(self.root)
