"""Which kind of session this is, told by its variables."""

from __future__ import annotations

import os
import sys

__all__ = ["BATCH_SESSIONS", "has_tpu", "is_interactive", "is_on_kaggle", "session_kind"]

#: Sessions that nobody sits at, which end with their last cell.
BATCH_SESSIONS = frozenset({"kaggle-batch", "kaggle-rerun"})


def session_kind() -> str:
    """Return ``"kaggle-interactive"``, ``"kaggle-batch"``, ``"kaggle-rerun"``, ``"colab"`` or ``"local"``.

    Told by variables, since the folder ``/kaggle/input`` exists on Colab too. Kaggle sets
    ``KAGGLE_KERNEL_RUN_TYPE`` to Interactive in the editor and to Batch for Save & Run All, scripts and
    pushes, and ``KAGGLE_IS_COMPETITION_RERUN`` where a competition runs the notebook on its hidden test
    data (both seen in the dumps and starter notebooks that people publish); Colab sets
    ``COLAB_RELEASE_TAG``, by which notebooks and libraries tell it.
    """
    run_type = os.environ.get("KAGGLE_KERNEL_RUN_TYPE", "")
    if os.environ.get("KAGGLE_IS_COMPETITION_RERUN"):
        return "kaggle-rerun"
    if run_type:
        return "kaggle-interactive" if run_type == "Interactive" else "kaggle-batch"
    return "colab" if os.environ.get("COLAB_RELEASE_TAG") else "local"


def is_on_kaggle() -> bool:
    """Return whether this is a session of Kaggle's, of whichever kind."""
    return session_kind().startswith("kaggle")


def has_tpu() -> bool:
    """Return whether the session has a TPU: as ``patches/kaggle_datasets.py`` of Kaggle's image tells it."""
    return any(os.environ.get(name) for name in ("TPU_NAME", "ISTPUVM"))


def is_interactive() -> bool:
    """Return whether a front end with a person at it can show live widgets.

    True in a Jupyter kernel, except in Kaggle's batch sessions. A kernel that nbclient, nbconvert or
    papermill drives looks the same from inside, so what is shown must hold without a front end too.
    """
    if session_kind() in BATCH_SESSIONS:
        return False
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
