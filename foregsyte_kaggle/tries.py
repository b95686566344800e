"""Tries of jobs that ended, and a group of them by column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from foregsyte_kaggle.arrays import FEW, arrow_array

if TYPE_CHECKING:
    import pyarrow as pa

    from foregsyte_kaggle.worker import Outcome

__all__ = ["Ended", "Tries"]


class Ended(NamedTuple):
    """A try that ended, with what the run knows of its job."""

    pipeline_id: str
    job_id: str
    attempt: int
    """Of the whole life of the job; 1 for the first."""
    final: bool
    """False where the run tries the job again."""
    outcome: Outcome
    path: str = ""
    """Of its input, as the pipeline got it."""
    code_version: str | None = None
    """Of its pipeline's code, as in its claim."""


class Tries(NamedTuple):
    """A group of tries, by column."""

    pipeline_ids: tuple[str, ...]
    job_ids: tuple[str, ...]
    attempts: tuple[int, ...]
    finals: tuple[bool, ...]
    code_versions: tuple[str | None, ...]
    positions: tuple[int, ...]
    kinds: tuple[str, ...]
    started: tuple[float, ...]
    durations: tuple[float, ...]
    results: tuple[Any, ...]
    error_types: tuple[str | None, ...]
    messages: tuple[str | None, ...]
    tracebacks: tuple[str | None, ...]
    outputs: tuple[str | None, ...]
    output_paths: tuple[list[str] | None, ...]
    workers: tuple[str | None, ...]

    @classmethod
    def of(cls, group: list[Ended]) -> Self:
        """Return the columns of a group, which is not empty."""
        pipeline_ids, job_ids, attempts, finals, outcomes, _, versions = zip(*group, strict=True)
        return cls(pipeline_ids, job_ids, attempts, finals, versions, *zip(*outcomes, strict=True))

    def returned(self) -> dict[str, list[tuple[str, Any]]]:
        """Return ids and results of the completed jobs by pipeline, also of one that has none."""
        found: dict[str, list[tuple[str, Any]]] = {
            one: [] for one in dict.fromkeys(self.pipeline_ids)
        }
        for pipeline_id, job_id, kind, result in zip(
            self.pipeline_ids, self.job_ids, self.kinds, self.results, strict=True
        ):
            if kind == "completed":
                found[pipeline_id].append((job_id, result))
        return found

    def table(self, rows: dict[str, int]) -> pa.Table:
        """Return what ``ledger.record`` takes.

        Parameters
        ----------
        rows
            How many rows each job returned.
        """
        import pyarrow as pa

        paths: tuple[str | None, ...] = (None,) * len(self.job_ids)
        if any(self.output_paths):
            paths = tuple(map(_as_json, self.output_paths, self.kinds))
        columns: dict[str, tuple[tuple[Any, ...], pa.DataType]] = {
            "position": (self.positions, pa.int64()),
            "job_id": (self.job_ids, pa.string()),
            "code_version": (self.code_versions, pa.string()),
            "attempt": (self.attempts, pa.int32()),
            "final": (self.finals, pa.bool_()),
            "outcome": (self.kinds, pa.string()),
            "started": (self.started, pa.float64()),
            "duration_seconds": (self.durations, pa.float64()),
            "error_type": (self.error_types, pa.string()),
            "error_message": (self.messages, pa.string()),
            "traceback": (self.tracebacks, pa.string()),
            "output": (self.outputs, pa.string()),
            "output_paths": (paths, pa.string()),
            "result_rows": (tuple(map(rows.get, self.job_ids)), pa.int64()),
            "worker": (self.workers, pa.string()),
        }
        return pa.table({name: _array(*column) for name, column in columns.items()})


def _array(values: tuple[Any, ...], arrow_type: pa.DataType) -> pa.Array:
    """Return values as Arrow, in a tenth of the time where all of many are the same, as mostly in a group."""
    import pyarrow as pa

    if len(values) <= FEW or values.count(values[0]) < len(values):
        return arrow_array(values, arrow_type)
    return pa.repeat(pa.scalar(values[0], arrow_type), len(values))


def _as_json(paths: list[str] | None, kind: str) -> str | None:
    if not paths or kind != "completed":
        return None
    return json.dumps([f"data/outputs/{path}" for path in paths])
