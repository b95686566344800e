"""Copies of a ledger: a snapshot, going on from an attached one, several as one."""

from foregsyte_kaggle.transfer.attached import find_output, ledger_of, recorded_archives
from foregsyte_kaggle.transfer.choosing import (
    Earlier,
    Resume,
    check_resume,
    find_earlier,
    ledger_named,
)
from foregsyte_kaggle.transfer.copies import copy_ledger, fill_ledger, keep_copy, snapshot
from foregsyte_kaggle.transfer.merging import Merged, merge_ledgers
from foregsyte_kaggle.transfer.resuming import bring_copy, bring_outputs, discard_copy
from foregsyte_kaggle.transfer.whereabouts import locate_outputs

__all__ = [
    "Earlier",
    "Merged",
    "Resume",
    "bring_copy",
    "bring_outputs",
    "check_resume",
    "copy_ledger",
    "discard_copy",
    "fill_ledger",
    "find_earlier",
    "find_output",
    "keep_copy",
    "ledger_named",
    "ledger_of",
    "locate_outputs",
    "merge_ledgers",
    "recorded_archives",
    "snapshot",
]
