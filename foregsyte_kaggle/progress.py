"""The progress bar of a run."""

from __future__ import annotations

import contextlib
from typing import Any

from foregsyte_kaggle.environment import session_kind

__all__ = ["ProgressBar"]

#: Each refresh is a line in the log of a batch session, so there they are rare.
BATCH_INTERVAL_SECONDS = 30.0


class ProgressBar:
    """A ``tqdm.auto`` bar over the jobs of a run; does nothing when it is not shown.

    An error of the bar, as when the front end is gone, ends the bar and not the run.

    Parameters
    ----------
    total
        How many jobs are to run.
    label
        What stands before the bar.
    shown
        False for no bar at all.
    """

    def __init__(self, total: int, label: str, *, shown: bool) -> None:
        self._bar: Any = None
        if not shown:
            return
        with contextlib.suppress(Exception):
            from tqdm.auto import tqdm

            batch = session_kind() in {"kaggle-batch", "kaggle-rerun"}
            self._bar = tqdm(
                total=total,
                desc=label,
                unit="job",
                mininterval=BATCH_INTERVAL_SECONDS if batch else 0.1,
            )

    def show(self, done: float, failed: int, total: int) -> None:
        """Draw the bar at ``done`` of ``total`` jobs; fractions are of jobs that run."""
        if self._bar is None:
            return
        try:
            self._bar.total = max(total, int(done))
            if failed:
                self._bar.set_postfix_str(f"{failed} failed", refresh=False)
            whole = round(done, 2)
            self._bar.update((int(whole) if whole == int(whole) else whole) - self._bar.n)
        except Exception:  # noqa: BLE001 - whatever it is, the run goes on
            self._bar = None

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._bar.refresh()
                self._bar.close()
