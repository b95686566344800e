"""What the workers of a cluster answer, made into what the loop is told."""

from __future__ import annotations

import os
import pickle
import time

from foregsyte_kaggle.executors.contract import Done, Lost, Part, unreadable
from foregsyte_kaggle.executors.placing import Placed
from foregsyte_kaggle.worker import Outcome

__all__ = ["read_part", "read_rest", "with_files"]


def read_rest(placed: Placed, packed: bytes, folder: str) -> Done | Lost:
    """Read how the jobs of a chunk ended that were not told before.

    Parameters
    ----------
    folder
        That of the pipeline's outputs.
    """
    try:
        outcomes: list[Outcome] = pickle.loads(packed)
    except BaseException as error:
        return Lost(placed.chunk, "failed", unreadable(error))
    expected = placed.positions[placed.told : placed.told + len(outcomes)]
    if [outcome.position for outcome in outcomes] != expected:
        outcomes = []  # an answer got lost on the way: its jobs are run again
    return Done(placed.chunk, [with_files(outcome, folder) for outcome in outcomes])


def read_part(placed: Placed, packed: list[bytes], returned: int, folder: str) -> Part | None:
    """Read what ended of a chunk that takes long, and note it there.

    Parameters
    ----------
    packed
        The jobs that ended since it was told last.
    returned
        How many of its last jobs will not be begun there.
    folder
        That of the pipeline's outputs.

    Returns
    -------
    Part or None
        None where this overtook another answer: what ends with the chunk will not fit either.
    """
    outcomes: list[Outcome] = []
    expected = placed.positions[placed.told : placed.told + len(packed)]
    for position, one in zip(expected, packed, strict=False):
        try:
            outcomes += pickle.loads(one)
        except BaseException as error:
            failed = ("failed", time.time(), 0.0, None, "ResultError", unreadable(error))
            outcomes.append(Outcome(position, *failed))
    if [outcome.position for outcome in outcomes] != expected:
        return None
    placed.told += len(outcomes)
    del placed.positions[len(placed.positions) - returned :]
    placed.is_whole = placed.is_whole and not (outcomes or returned)
    return Part(placed.chunk, [with_files(outcome, folder) for outcome in outcomes], returned)


def with_files(outcome: Outcome, folder: str) -> Outcome:
    """Return how a job ended; as failed, where the files that it wrote are not seen from here.

    Parameters
    ----------
    folder
        That of the pipeline's outputs.
    """
    for path in outcome.output_paths or ():
        name = os.path.basename(path)
        # A network's file system may know the folder's new list before it knows the file.
        if not (os.path.lexists(os.path.join(folder, name)) or name in _held(folder)):
            return outcome._replace(
                outcome="failed",
                result=None,
                error_type="ResultError",
                error_message=(
                    f"its worker {outcome.worker} wrote {name!r} into its own {folder}, which the notebook "
                    "does not see: job.output_path needs a folder that both share. Put the workspace on shared "
                    "storage, or return what the file holds"
                ),
                output_paths=None,
            )
    return outcome


def _held(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
