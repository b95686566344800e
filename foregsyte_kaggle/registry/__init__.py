"""The pipelines that a run can call: those of the notebook, and the built-in ones."""

from foregsyte_kaggle.registry.binding import check_params
from foregsyte_kaggle.registry.registered import (
    Pipeline,
    find_pipeline,
    known_pipelines,
    pipeline,
    pipelines,
)

__all__ = [
    "Pipeline",
    "check_params",
    "find_pipeline",
    "known_pipelines",
    "pipeline",
    "pipelines",
]
