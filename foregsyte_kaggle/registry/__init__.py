"""The pipelines that a run can call: those of the notebook, the built-in ones, and those of other packages."""

from foregsyte_kaggle.registry.binding import check_params
from foregsyte_kaggle.registry.definition import Pipeline
from foregsyte_kaggle.registry.finding import (
    check_installed,
    find_pipeline,
    known_pipelines,
    loaded_pipelines,
)
from foregsyte_kaggle.registry.overview import pipelines
from foregsyte_kaggle.registry.own_rules import check_own_rules
from foregsyte_kaggle.registry.registered import pipeline
from foregsyte_kaggle.registry.values import RowValues, check_values

__all__ = [
    "Pipeline",
    "RowValues",
    "check_installed",
    "check_own_rules",
    "check_params",
    "check_values",
    "find_pipeline",
    "known_pipelines",
    "loaded_pipelines",
    "pipeline",
    "pipelines",
]
