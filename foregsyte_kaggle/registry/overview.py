"""``pipelines()``: all that a run can call, and what keeps it from that."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import PipelineError
from foregsyte_kaggle.registry.binding import calls_of
from foregsyte_kaggle.registry.definition import Pipeline
from foregsyte_kaggle.registry.finding import known_pipelines, offers_of, twice_offered
from foregsyte_kaggle.registry.loading import load_offer
from foregsyte_kaggle.registry.offers import Offer, shipped_offers
from foregsyte_kaggle.registry.registered import registered_pipelines

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["pipelines"]

COLUMNS = (
    "pipeline_id",
    "origin",
    "kind",
    "params",
    "extra",
    "installed",
    "problem",
    "code_version",
    "description",
)


def pipelines() -> pd.DataFrame:
    """List the pipelines that a run can call, and those that it cannot, with the reason.

    Those that packages ship (entry points of the group ``foregsyte_kaggle.pipelines``) are imported for
    it, each by itself: one that cannot be has a ``problem``.

    Returns
    -------
    pandas.DataFrame
        ``pipeline_id``; ``origin``: ``"notebook"`` or the module that registered it, ``"built-in"``, or the
        package with its version; ``kind`` (function or class); ``params`` with their defaults, such as
        ``"threshold=0.5, scale"``; ``extra`` that it needs of its package, and whether all of that is
        ``installed``; ``problem``, None where a run can call it; ``code_version``, and the first line of its
        documentation as ``description``.
    """
    import pandas as pd

    shipped_offers.cache_clear()  # a package may have been installed since
    rows = [row for pipeline_id in known_pipelines() for row in _rows(pipeline_id)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(object)
    return frame.where(frame.notna(), None).astype({"installed": bool})


def _rows(pipeline_id: str) -> Iterator[dict[str, Any]]:
    found = registered_pipelines().get(pipeline_id)
    if found is not None:
        yield {**_described(found), "installed": True}
        return
    offers = offers_of(pipeline_id)
    for offer in offers:
        yield {**_offered(offer), **({"problem": twice_offered(offers)} if offers[1:] else {})}


def _offered(offer: Offer) -> dict[str, Any]:
    row: dict[str, Any] = {"pipeline_id": offer.pipeline_id, "origin": offer.origin}
    row |= {"extra": offer.extra, "installed": not offer.missing()}
    try:
        return {**_described(load_offer(offer)), **row, "problem": offer.lacks()}
    except PipelineError as error:
        return {**row, "problem": str(error)}


def _described(found: Pipeline) -> dict[str, Any]:
    return {
        "pipeline_id": found.pipeline_id,
        "origin": found.origin,
        "kind": "class" if found.is_class else "function",
        "params": ", ".join(_params(found)),
        "code_version": found.code_version,
        "description": (inspect.getdoc(found.target) or "").partition("\n")[0],
    }


def _params(found: Pipeline) -> list[str]:
    taken = {name: one for call in calls_of(found) for name, one in call.takes.items()}
    return [
        name if one.default is one.empty else f"{name}={one.default!r}"
        for name, one in taken.items()
        if name != "job"
    ]
