"""Importing a pipeline that comes with a package."""

from __future__ import annotations

from functools import cache
from importlib import import_module, invalidate_caches
from typing import Any

from foregsyte_kaggle.errors import PipelineError
from foregsyte_kaggle.registry.declared import declared_schema
from foregsyte_kaggle.registry.definition import Pipeline, is_pipeline_id
from foregsyte_kaggle.registry.offers import Offer
from foregsyte_kaggle.registry.registered import declared_as, shipping

__all__ = ["load_offer"]


@cache
def load_offer(offer: Offer) -> Pipeline:
    """Import a pipeline that comes with a package.

    Raises
    ------
    PipelineError
        If it cannot be imported or used; says whose it is, and what to do.
    """
    module, _, name = offer.place.partition(":")
    try:
        invalidate_caches()  # for a package that was installed since the kernel started
        with shipping():
            target: Any = import_module(module)
        for part in filter(None, name.split(".")):
            target = getattr(target, part)
        return _as_pipeline(offer, target)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        what = (
            str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
        )
        lacks = offer.lacks()
        advice = f"ask its authors, or remove it: pip uninstall {offer.package}"
        if lacks is not None:
            advice = f"it {lacks}"
        raise PipelineError(
            f"the pipeline {offer.pipeline_id!r} of {offer.origin} cannot be loaded from {offer.place} ({what}). "
            f"All others work; {advice}"
        ) from error


def _as_pipeline(offer: Offer, target: Any) -> Pipeline:
    declared = declared_as(target)
    if not is_pipeline_id(offer.pipeline_id):
        raise PipelineError(
            "its name cannot name a table: a small letter, then small letters, digits and underscores"
        )
    if not callable(target):
        raise PipelineError(f"it is a {type(target).__name__}; expected a function or a class")
    if declared is None:
        # What has no decorator may say the same by attributes, as the built-in ones do.
        schema, version = getattr(target, "schema", None), getattr(target, "version", None)
        return Pipeline(
            offer.pipeline_id,
            target,
            offer.origin,
            version=version if isinstance(version, str) else None,
            schema=None if schema is None else declared_schema(schema),
        )
    if declared.pipeline_id != offer.pipeline_id:
        raise PipelineError(f"it is declared there as {declared.pipeline_id!r}")
    return Pipeline(
        offer.pipeline_id,
        target,
        offer.origin,
        declared.version,
        declared.batch_size,
        declared.schema,
    )
