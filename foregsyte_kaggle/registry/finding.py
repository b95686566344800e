"""Which pipeline stands for an id: the notebook's own, a built-in one, or one that a package ships."""

from __future__ import annotations

from foregsyte_kaggle.errors import (
    InvalidArgumentError,
    MissingExtraError,
    PipelineError,
    known_names,
)
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.registry.definition import Pipeline
from foregsyte_kaggle.registry.loading import load_offer
from foregsyte_kaggle.registry.offers import BUILTIN, BUILTIN_ORIGIN, Offer, shipped_offers
from foregsyte_kaggle.registry.registered import registered_pipelines

__all__ = [
    "check_installed",
    "find_pipeline",
    "known_pipelines",
    "loaded_pipelines",
    "offers_of",
    "twice_offered",
]

#: Those that packages ship, once they were found.
_loaded: dict[str, Pipeline] = {}


def find_pipeline(pipeline_id: str) -> Pipeline:
    """Return the pipeline of an id; one that a package ships is imported for that.

    Raises
    ------
    PipelineError
        If there is none (says which there are and the nearest), if two packages ship it, or if it cannot be
        loaded.
    InvalidArgumentError
        If it is no text.
    """
    if not isinstance(pipeline_id, str):
        raise InvalidArgumentError(
            f"pipeline_id={pipeline_id!r:.80} is no text; expected the id that a pipeline is registered "
            "under, such as 'file_info'"
        )
    found = registered_pipelines().get(pipeline_id)
    if found is not None:
        return found
    offers = offers_of(pipeline_id)
    if not offers:
        shipped_offers.cache_clear()  # a package may have been installed since
        offers = offers_of(pipeline_id)
    if not offers:
        raise PipelineError(
            f"there is no pipeline {pipeline_id!r}.{known_names(pipeline_id, known_pipelines())} Define it "
            f"first: @foregsyte_kaggle.pipeline({pipeline_id!r}) above a function of a path."
        )
    if len(offers) > 1:
        raise PipelineError(twice_offered(offers))
    found = load_offer(offers[0])
    if offers[0].origin != BUILTIN_ORIGIN:
        _loaded[pipeline_id] = found
    return found


def known_pipelines() -> list[str]:
    """Return the ids that ``find_pipeline`` knows, sorted; nothing is imported."""
    return sorted({*registered_pipelines(), *BUILTIN, *shipped_offers()})


def loaded_pipelines() -> dict[str, Pipeline]:
    """Return the pipelines whose code is known without importing a package: what a page may ask for."""
    builtin = {pipeline_id: load_offer(offer) for pipeline_id, offer in BUILTIN.items()}
    return {**builtin, **_loaded, **registered_pipelines()}


def offers_of(pipeline_id: str) -> list[Offer]:
    """Return the packages' pipelines of an id, the built-in one first."""
    own = [BUILTIN[pipeline_id]] if pipeline_id in BUILTIN else []
    return [*own, *shipped_offers().get(pipeline_id, ())]


def twice_offered(offers: list[Offer]) -> str:
    """Return what is wrong with several pipelines of one id, and what to do."""
    first, places = offers[0], " and ".join(f"{one.origin} ({one.place})" for one in offers)
    module, _, name = first.place.partition(":")
    return (
        f"there are {len(offers)} pipelines {first.pipeline_id!r}: of {places}. Uninstall one, or say which is "
        f"meant: from {module} import {name}; foregsyte_kaggle.pipeline({first.pipeline_id!r})({name})"
    )


def check_installed(pipeline_id: str) -> None:
    """Refuse a built-in pipeline that needs what is not installed; of a package's only say so.

    Its authors named distributions, and others may bring the same modules, as onnxruntime-gpu does.

    Raises
    ------
    MissingExtraError
        Names what is missing, and the command that installs it.
    """
    if pipeline_id in registered_pipelines():
        return
    for offer in offers_of(pipeline_id):
        lacks = offer.lacks()
        if lacks is not None and offer.origin == BUILTIN_ORIGIN:
            raise MissingExtraError(f"the pipeline {pipeline_id!r} {lacks}")
        if lacks is not None:
            say(f"the pipeline {pipeline_id!r} {lacks}")
