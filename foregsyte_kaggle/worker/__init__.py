"""What runs where pipelines run: calling a pipeline for the jobs of a chunk, and the worker process.

Imports the standard library only, so that a worker process starts in a moment and holds no ledger.
"""

from foregsyte_kaggle.worker.calling import Caller, Outcome, Task, as_rows
from foregsyte_kaggle.worker.context import PARTIAL_FOLDER, JobContext, remove_output
from foregsyte_kaggle.worker.errors import MESSAGE_CHARACTERS, clean, code_with_source, describe
from foregsyte_kaggle.worker.output import OUTPUT_BYTES, Tail, ThreadTails
from foregsyte_kaggle.worker.running import run_tasks
from foregsyte_kaggle.worker.telling import Teller
from foregsyte_kaggle.worker.work import Work

__all__ = [
    "MESSAGE_CHARACTERS",
    "OUTPUT_BYTES",
    "PARTIAL_FOLDER",
    "Caller",
    "JobContext",
    "Outcome",
    "Tail",
    "Task",
    "Teller",
    "ThreadTails",
    "Work",
    "as_rows",
    "clean",
    "code_with_source",
    "describe",
    "remove_output",
    "run_tasks",
]
