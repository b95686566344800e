"""How models and OpenCV run here: on which processor, and on how many threads of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from foregsyte_kaggle.surroundings import WORKERS_VARIABLE, threads_per_worker

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["gpu_providers", "limit_opencv", "open_session"]

#: What onnxruntime calls GPUs. TensorRT is left out: it takes minutes to build what it runs.
GPU_PROVIDERS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider")


def gpu_providers() -> list[str]:
    """Return the kinds of GPUs that the installed onnxruntime can use; none in the plain package."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return [name for name in GPU_PROVIDERS if name in available]


def limit_opencv() -> None:
    """Have OpenCV use no more threads than a worker may, where this process is one: it counts by process."""
    if WORKERS_VARIABLE in os.environ:
        import cv2

        cv2.setNumThreads(threads_per_worker())


def open_session(path: str, *, on_gpu: bool = True, any_size: bool = False) -> InferenceSession:
    """Load a model, on a GPU if onnxruntime can use one; may raise what onnxruntime raises.

    With ``any_size`` for one whose inputs differ in size: it keeps no memory of theirs for the next.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_per_worker()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; a warning for each odd node of a model helps nobody
    options.enable_cpu_mem_arena = not any_size
    # Threads that wait in a loop for more to do would take the processors from decoding and reading.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    gpus = gpu_providers() if on_gpu else []
    return onnxruntime.InferenceSession(path, options, providers=[*gpus, "CPUExecutionProvider"])
