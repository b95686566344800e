"""Files that jobs wrote to ``data/outputs``: those that no job is recorded with any more are removed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.worker import PARTIAL_FOLDER, remove_output

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.tries import Ended

__all__ = ["find_unclaimed", "remove_files", "remove_partial"]


def find_unclaimed(connection: DuckDBPyConnection, group: Iterable[Ended]) -> list[str]:
    """Return files of jobs that the last try, which the group holds, is not recorded with.

    Those are the files of a try whose result cannot be stored, and what earlier tries of a job wrote,
    unless the last one wrote it again. As ``job_attempts.output_paths`` has them.
    """
    found: set[tuple[str, str]] = set()
    kept: set[str] = set()
    owners: dict[str, str] = {}
    again: list[str] = []
    for ended in group:
        paths = ended.outcome.output_paths
        if ended.attempt > 1:
            again.append(ended.job_id)
        elif paths is None:
            continue
        owners[ended.job_id] = ended.pipeline_id
        named = [f"data/outputs/{path}" for path in paths or ()]
        if ended.outcome.outcome == "completed":
            kept.update(named)
        else:
            found.update((ended.job_id, path) for path in named)
    if again:
        found.update(
            connection.execute(
                "SELECT job_id::VARCHAR, unnest(json_extract_string(output_paths, '$[*]'))"
                " FROM job_attempts"
                " WHERE output_paths IS NOT NULL AND job_id IN (SELECT unnest($ids)::UUID)",
                {"ids": again},
            ).fetchall()
        )

    def is_own(job_id: str, path: str | None) -> bool:
        # A ledger may be written by hand, and what is removed here is gone.
        beginning = f"data/outputs/{owners[job_id]}/{job_id}-"
        return path is not None and path.startswith(beginning) and path.count("/") == 3

    return sorted(path for job_id, path in found if path not in kept and is_own(job_id, path))


def remove_files(folder: Path, paths: Iterable[str]) -> None:
    """Remove files from the folder of outputs; one that is gone, or cannot be removed, is passed over."""
    for path in paths:
        remove_output(folder / path.removeprefix("data/outputs/"))


def remove_partial(folder: Path) -> None:
    """Remove what jobs, or copies, that were killed left half written; only while no run works."""
    for partial in (folder / PARTIAL_FOLDER, *folder.glob(f"*/{PARTIAL_FOLDER}")):
        remove_output(partial)
