"""How long jobs took before, for what is expected of the next ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database

__all__ = ["usual_seconds"]

LAST_ATTEMPTS = 200


def usual_seconds(database: Database, pipeline_id: str) -> float | None:
    """Return how long most of a pipeline's jobs took, of the last 200 that completed: the mean and two deviations.

    None where none did.
    """
    with database.reading() as cursor:
        ((seconds,),) = cursor.execute(
            "SELECT avg(duration_seconds) + 2 * stddev_pop(duration_seconds) FROM"
            " (SELECT duration_seconds FROM job_attempts JOIN jobs USING (job_id)"
            " WHERE jobs.pipeline_id = $pipeline_id AND outcome = 'completed'"
            f" ORDER BY job_attempts.finished_at DESC LIMIT {LAST_ATTEMPTS})",
            {"pipeline_id": pipeline_id},
        ).fetchall()
    return None if seconds is None else float(seconds)
