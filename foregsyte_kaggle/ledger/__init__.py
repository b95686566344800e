"""Every change of a job's status, as set-based SQL.

The only package that changes one. The moves are in ``models.ALLOWED_MOVES``; each function here makes some
of them, and its WHERE clause refuses all others. Hot paths go by ``position``, in ranges, so that the
cost of a job does not grow with the number of jobs in the ledger.
"""

from foregsyte_kaggle.ledger.claiming import (
    ClaimedJobs,
    Pending,
    Selection,
    claim,
    number_jobs,
    pending_jobs,
)
from foregsyte_kaggle.ledger.durations import usual_seconds
from foregsyte_kaggle.ledger.ending import record, set_progress
from foregsyte_kaggle.ledger.leftovers import remove_leftovers
from foregsyte_kaggle.ledger.retrying import rerun_changed, retry_jobs, retry_matching
from foregsyte_kaggle.ledger.sessions import (
    Recovery,
    begin_run,
    begin_session,
    end_run,
    has_jobs,
    recover,
    settle,
    status_counts,
)
from foregsyte_kaggle.ledger.sql import NOW, as_uuid
from foregsyte_kaggle.ledger.uniting import UnitedJobs, compare_jobs, unite_jobs

__all__ = [
    "NOW",
    "ClaimedJobs",
    "Pending",
    "Recovery",
    "Selection",
    "UnitedJobs",
    "as_uuid",
    "begin_run",
    "begin_session",
    "claim",
    "compare_jobs",
    "end_run",
    "has_jobs",
    "number_jobs",
    "pending_jobs",
    "record",
    "recover",
    "remove_leftovers",
    "rerun_changed",
    "retry_jobs",
    "retry_matching",
    "set_progress",
    "settle",
    "status_counts",
    "unite_jobs",
    "usual_seconds",
]
