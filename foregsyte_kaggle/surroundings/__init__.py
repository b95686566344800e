"""Where am I: the kind of session, and the limits of the machine.

The only package that reads Kaggle's variables and paths.
"""

from foregsyte_kaggle.surroundings.kind import (
    BATCH_SESSIONS,
    has_tpu,
    is_interactive,
    is_on_kaggle,
    session_kind,
)
from foregsyte_kaggle.surroundings.limits import session_age_seconds, session_limit_seconds
from foregsyte_kaggle.surroundings.machine import (
    WORKERS_VARIABLE,
    cpu_count,
    disk_space,
    gpu_ids,
    gpu_models,
    image_facts,
    memory_bytes,
    package_version,
    share_processors,
    threads_per_worker,
)
from foregsyte_kaggle.surroundings.mounts import input_root, input_roots
from foregsyte_kaggle.surroundings.report import Environment, environment, session_facts
from foregsyte_kaggle.surroundings.room import missing_room, reserve_bytes

__all__ = [
    "BATCH_SESSIONS",
    "WORKERS_VARIABLE",
    "Environment",
    "cpu_count",
    "disk_space",
    "environment",
    "gpu_ids",
    "gpu_models",
    "has_tpu",
    "image_facts",
    "input_root",
    "input_roots",
    "is_interactive",
    "is_on_kaggle",
    "memory_bytes",
    "missing_room",
    "package_version",
    "reserve_bytes",
    "session_age_seconds",
    "session_facts",
    "session_kind",
    "session_limit_seconds",
    "share_processors",
    "threads_per_worker",
]
