"""How onnxruntime runs models here: on which processor, and on how many threads of it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from foregsyte_kaggle.surroundings import cpu_count

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["WORKERS_VARIABLE", "gpu_providers", "open_session", "thread_count"]

#: How many worker processes share this machine's processors; set where a run starts them.
WORKERS_VARIABLE = "FOREGSYTE_WORKERS"
#: What onnxruntime calls GPUs. TensorRT is left out: it takes minutes to build what it runs.
GPU_PROVIDERS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider")


def thread_count() -> int:
    """Return how many threads one worker may use, so that all of them fit the processors.

    ``OMP_NUM_THREADS`` says so where it is set, as Dask and joblib set it for their workers.
    """
    with contextlib.suppress(ValueError):
        return max(1, int(os.environ.get("OMP_NUM_THREADS", "")))
    workers = 1
    with contextlib.suppress(ValueError):
        workers = max(1, int(os.environ.get(WORKERS_VARIABLE, "1")))
    return max(1, cpu_count() // workers)


def gpu_providers() -> list[str]:
    """Return the kinds of GPUs that the installed onnxruntime can use; none in the plain package."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return [name for name in GPU_PROVIDERS if name in available]


def open_session(path: str) -> InferenceSession:
    """Load a model, on a GPU if onnxruntime can use one; may raise what onnxruntime raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; a warning for each odd node of a model helps nobody
    # Threads that wait in a loop for more to do would take the processors from decoding and reading.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        path, options, providers=[*gpu_providers(), "CPUExecutionProvider"]
    )
