"""Pictures of the ledger: where time goes, and how the work went. Both return matplotlib's Axes."""

from foregsyte_kaggle.plots.durations import plot_durations
from foregsyte_kaggle.plots.progress import plot_progress

__all__ = ["plot_durations", "plot_progress"]
