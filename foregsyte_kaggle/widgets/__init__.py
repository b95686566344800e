"""The job table and the run panel. The only place that imports ipywidgets, and only where one is shown."""

from foregsyte_kaggle.widgets.panel import RunPanel, run_panel
from foregsyte_kaggle.widgets.table import JobTable, job_table

__all__ = ["JobTable", "RunPanel", "job_table", "run_panel"]
