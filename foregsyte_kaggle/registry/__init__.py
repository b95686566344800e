"""The pipelines that a run can call: those of the notebook, and the built-in ones."""

from foregsyte_kaggle.registry.registered import (
    Pipeline,
    find_pipeline,
    known_pipelines,
    pipeline,
    pipelines,
)

__all__ = ["Pipeline", "find_pipeline", "known_pipelines", "pipeline", "pipelines"]
