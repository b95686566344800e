"""Versions of code: which completed jobs were made by other code than that registered now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foregsyte_kaggle.registry import loaded_pipelines

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = ["count_outdated", "is_outdated"]


def is_outdated() -> tuple[str, dict[str, str]]:
    """Return whether a row of ``jobs`` is outdated, as SQL, with the values of its parameters.

    True for a completed job whose version of code differs from that of its pipeline as it is registered
    now. False for all others: where the pipeline is not registered, or no version was noted, nobody can
    tell; nor of a pipeline that a package ships before this session used it.
    """
    cases, parameters = [], {}
    for number, (pipeline_id, found) in enumerate(loaded_pipelines().items()):
        parameters[f"pipeline_{number}"] = pipeline_id
        parameters[f"version_{number}"] = found.code_version
        cases.append(f"WHEN $pipeline_{number} THEN $version_{number}")
    differs = f"jobs.code_version <> CASE jobs.pipeline_id {' '.join(cases)} END"
    return f"(jobs.status = 'completed' AND coalesce({differs}, false))", parameters


def count_outdated(
    database: Database, pipeline_id: str | None = None, source: str | None = None
) -> int:
    """Return how many completed jobs were made by other code than that registered now.

    Parameters
    ----------
    pipeline_id, source
        Count only jobs of these.
    """
    outdated, parameters = is_outdated()
    given = {"pipeline_id": pipeline_id, "source": source}
    filters = {name: value for name, value in given.items() if value is not None}
    where = " AND ".join([outdated, *(f"jobs.{name} = ${name}" for name in filters)])
    with database.reading() as cursor:
        found = cursor.execute(
            f"SELECT count(*) FROM jobs WHERE {where}", {**parameters, **filters}
        )
        return int(found.fetchall()[0][0])
