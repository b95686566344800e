"""Durable jobs for Kaggle and Jupyter notebooks.

>>> import foregsyte_kaggle as fk
>>> fk.bootstrap()
>>> fk.register_jobs("videos", "video_info", pattern="**/*.mp4")
>>> fk.run_jobs("video_info")
>>> fk.job_table()
>>> fk.results_frame("video_info")

Names are loaded at their first use, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foregsyte_kaggle.api import serve as serve
    from foregsyte_kaggle.database import Base as Base
    from foregsyte_kaggle.database import SessionLocal as SessionLocal
    from foregsyte_kaggle.database import get_db as get_db
    from foregsyte_kaggle.errors import ForegsyteError as ForegsyteError
    from foregsyte_kaggle.errors import InvalidArgumentError as InvalidArgumentError
    from foregsyte_kaggle.errors import LedgerError as LedgerError
    from foregsyte_kaggle.errors import LedgerLockedError as LedgerLockedError
    from foregsyte_kaggle.errors import LedgerVersionError as LedgerVersionError
    from foregsyte_kaggle.errors import MissingExtraError as MissingExtraError
    from foregsyte_kaggle.errors import PipelineError as PipelineError
    from foregsyte_kaggle.errors import ResultError as ResultError
    from foregsyte_kaggle.errors import RunError as RunError
    from foregsyte_kaggle.errors import SourceError as SourceError
    from foregsyte_kaggle.errors import WorkspaceError as WorkspaceError
    from foregsyte_kaggle.frames import attempts_frame as attempts_frame
    from foregsyte_kaggle.frames import jobs_frame as jobs_frame
    from foregsyte_kaggle.frames import sql as sql
    from foregsyte_kaggle.frames import summary_frame as summary_frame
    from foregsyte_kaggle.ledger import retry_jobs as retry_jobs
    from foregsyte_kaggle.models import Job as Job
    from foregsyte_kaggle.models import JobAttempt as JobAttempt
    from foregsyte_kaggle.models import JobStatus as JobStatus
    from foregsyte_kaggle.opening import bootstrap as bootstrap
    from foregsyte_kaggle.packing import pack_outputs as pack_outputs
    from foregsyte_kaggle.plots import plot_durations as plot_durations
    from foregsyte_kaggle.plots import plot_progress as plot_progress
    from foregsyte_kaggle.registration import Registration as Registration
    from foregsyte_kaggle.registration import register_jobs as register_jobs
    from foregsyte_kaggle.registry import pipeline as pipeline
    from foregsyte_kaggle.registry import pipelines as pipelines
    from foregsyte_kaggle.result_files import export_results as export_results
    from foregsyte_kaggle.result_rows import results_frame as results_frame
    from foregsyte_kaggle.runner import Run as Run
    from foregsyte_kaggle.runner import run_jobs as run_jobs
    from foregsyte_kaggle.surroundings import Environment as Environment
    from foregsyte_kaggle.surroundings import environment as environment
    from foregsyte_kaggle.transfer import Merged as Merged
    from foregsyte_kaggle.transfer import merge_ledgers as merge_ledgers
    from foregsyte_kaggle.transfer import snapshot as snapshot
    from foregsyte_kaggle.widgets import job_table as job_table
    from foregsyte_kaggle.widgets import run_panel as run_panel
    from foregsyte_kaggle.worker import JobContext as JobContext
    from foregsyte_kaggle.workspace import Workspace as Workspace

_HOMES = {
    "api": ("serve",),
    "database": ("Base", "SessionLocal", "get_db"),
    "errors": (
        "ForegsyteError",
        "InvalidArgumentError",
        "LedgerError",
        "LedgerLockedError",
        "LedgerVersionError",
        "MissingExtraError",
        "PipelineError",
        "ResultError",
        "RunError",
        "SourceError",
        "WorkspaceError",
    ),
    "frames": ("attempts_frame", "jobs_frame", "sql", "summary_frame"),
    "ledger": ("retry_jobs",),
    "models": ("Job", "JobAttempt", "JobStatus"),
    "opening": ("bootstrap",),
    "packing": ("pack_outputs",),
    "plots": ("plot_durations", "plot_progress"),
    "registry": ("pipeline", "pipelines"),
    "registration": ("Registration", "register_jobs"),
    "result_files": ("export_results",),
    "result_rows": ("results_frame",),
    "runner": ("Run", "run_jobs"),
    "surroundings": ("Environment", "environment"),
    "transfer": ("Merged", "merge_ledgers", "snapshot"),
    "widgets": ("job_table", "run_panel"),
    "worker": ("JobContext",),
    "workspace": ("Workspace",),
}
_home_of = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_home_of)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("foregsyte-kaggle")
    if name not in _home_of:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_home_of[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
