"""The job table. The only place that imports ipywidgets, and only where one is shown."""

from foregsyte_kaggle.widgets.table import JobTable, job_table

__all__ = ["JobTable", "job_table"]
