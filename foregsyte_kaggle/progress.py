"""The progress bar of a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.surroundings import BATCH_SESSIONS, session_kind

if TYPE_CHECKING:
    from foregsyte_kaggle.runs import Run

__all__ = ["ProgressBar"]

#: Each refresh is a line in the log of a batch session, so there they are rare.
BATCH_INTERVAL_SECONDS = 30.0


class ProgressBar:
    """A ``tqdm.auto`` bar over the jobs of a run; does nothing when it is not shown.

    An error of the bar, as when the front end is gone, ends the bar and not the run.

    Parameters
    ----------
    run
        Whose jobs it counts.
    shown
        False for no bar at all.
    """

    def __init__(self, run: Run, *, shown: bool) -> None:
        self._run = run
        self._bar: Any = None
        if not shown:
            return
        with contextlib.suppress(Exception):
            from tqdm import auto, std

            batch = session_kind() in BATCH_SESSIONS
            # Nobody sees a widget in the log of a batch session, or in the page that is made of it.
            self._bar = (std if batch else auto).tqdm(
                total=run.total,
                desc=run.label,
                unit="job",
                mininterval=BATCH_INTERVAL_SECONDS if batch else 0.1,
            )

    def show(self) -> None:
        """Draw the bar as far as the run is now."""
        if self._bar is None:
            return
        try:
            done = round(self._run.done, 2)
            self._bar.total = max(self._run.total, int(done))
            if self._run.failed:
                self._bar.set_postfix_str(f"{self._run.failed} failed", refresh=False)
            self._bar.update((int(done) if done == int(done) else done) - self._bar.n)
        except Exception:  # noqa: BLE001 - whatever it is, the run goes on
            self._bar = None

    def close(self) -> None:
        """Draw it a last time, and leave it."""
        self.show()
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._bar.refresh()
                self._bar.close()
