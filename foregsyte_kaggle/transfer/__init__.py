"""Copies of a ledger: a snapshot, going on from an attached one, several as one."""

from foregsyte_kaggle.transfer.attached import find_output, recorded_archives
from foregsyte_kaggle.transfer.choosing import Earlier, Resume, check_resume, find_earlier
from foregsyte_kaggle.transfer.copies import copy_ledger, fill_ledger, keep_copy, snapshot
from foregsyte_kaggle.transfer.merging import Merged, merge_ledgers
from foregsyte_kaggle.transfer.resuming import bring_copy, copy_outputs, discard_copy
from foregsyte_kaggle.transfer.whereabouts import find_outputs

__all__ = [
    "Earlier",
    "Merged",
    "Resume",
    "bring_copy",
    "check_resume",
    "copy_ledger",
    "copy_outputs",
    "discard_copy",
    "fill_ledger",
    "find_earlier",
    "find_output",
    "find_outputs",
    "keep_copy",
    "merge_ledgers",
    "recorded_archives",
    "snapshot",
]
