"""Registering jobs: one for each input of a source, in bulk, and none of them twice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle import ledger
from foregsyte_kaggle.database import LEDGER_FILE
from foregsyte_kaggle.errors import InvalidArgumentError, SourceError
from foregsyte_kaggle.identity import IDENTITY_SQL, canonical_params, identity_prefix
from foregsyte_kaggle.ledger import NOW
from foregsyte_kaggle.pipelines import find_pipeline
from foregsyte_kaggle.sources import Inputs, resolve_inputs
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.sources import Source

__all__ = ["Registration", "register_jobs"]


@dataclass(frozen=True)
class Registration:
    """What ``register_jobs`` did.

    Attributes
    ----------
    pipeline_id, source : str
        The pipeline, and the name of the source.
    added, unchanged, changed : int
        Inputs that are new; that have a job already; and those of them whose size differs.
    skipped : list of (str, str)
        What could not be read, and why.
    """

    pipeline_id: str
    source: str
    added: int
    unchanged: int
    changed: int
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many inputs were found."""
        return self.added + self.unchanged + self.changed

    def __str__(self) -> str:
        parts = [f"{self.added:,} added", f"{self.unchanged:,} unchanged"]
        if self.changed:
            parts.append(f"{self.changed:,} changed")
        text = f"{self.pipeline_id} over {self.source}: {', '.join(parts)}"
        if self.skipped:
            path, reason = self.skipped[0]
            text += f"; {len(self.skipped):,} could not be read, first {path!r} ({reason})"
        return text

    def __repr__(self) -> str:
        return f"<Registration {self}>"


def register_jobs(
    source: Source,
    pipeline_id: str,
    *,
    pattern: str = "**/*",
    unit: str = "file",
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    limit: int | None = None,
    on_change: str = "rerun",
    workspace: Workspace | None = None,
) -> Registration:
    """Register one job for each input of a source; calling it again adds nothing.

    Parameters
    ----------
    source
        A folder; a glob such as ``"clips/*.mp4"``; a list of paths or URLs; or a DataFrame, Arrow table,
        CSV or Parquet file with a column ``path`` (relative to the file's folder, or to the current one)
        or ``id`` (for inputs that are no files). A table's other columns are params of their row;
        missing values are left out.
    pipeline_id
        A pipeline that is registered or built in.
    pattern
        Which files of a folder; ``**/*`` by default. Names that begin with a dot are left out.
    unit
        ``"file"``, or ``"folder"``: one job for each folder that directly holds files that match.
    name
        The source's name, part of each job's identity; by default the name of the folder that paths
        count from. With it, a source that moved is known again.
    params
        JSON values, passed to the pipeline by name.
    limit
        Register only the first inputs, in sorted order.
    on_change
        What to do with a finished job whose input has another size now: ``"rerun"`` puts it back to
        pending, ``"keep"`` leaves it.
    workspace
        The active one by default.

    Returns
    -------
    Registration
        How many were added, unchanged, changed, and what could not be read.

    Raises
    ------
    SourceError
        If the source does not exist, is empty, has no name, or its name belongs to another place.
    PipelineError
        If the pipeline is unknown.
    InvalidArgumentError
        If another argument is not of the expected form.
    """
    chosen = active_workspace(workspace)
    if unit not in ("file", "folder"):
        raise InvalidArgumentError(f"unit={unit!r} is unknown; expected 'file' or 'folder'")
    if on_change not in ("rerun", "keep"):
        raise InvalidArgumentError(f"on_change={on_change!r} is unknown; expected 'rerun' or 'keep'")
    if limit is not None and limit < 1:
        raise InvalidArgumentError(f"limit={limit!r} is too small; expected 1 or more, or None")
    find_pipeline(pipeline_id)
    common = canonical_params(params)
    inputs = resolve_inputs(
        source,
        pattern=pattern,
        unit=unit,
        name=name,
        params=params,
        exclude=chosen.directory / LEDGER_FILE.parent,
    )
    root = _stored_root(inputs.root, chosen.directory)
    with chosen.database.transaction() as connection:
        _note_source(connection, inputs, root, named=name is not None)
        added, unchanged, changed = _insert(
            connection, _table(inputs, common, limit), inputs.name, pipeline_id, on_change
        )
    return Registration(pipeline_id, inputs.name, added, unchanged, changed, inputs.skipped)


def _table(inputs: Inputs, common: str, limit: int | None) -> pa.Table:
    import pyarrow as pa

    rows = slice(limit)
    columns = {
        "path": pa.array(inputs.paths[rows], pa.string()),
        "size": pa.array(inputs.sizes[rows], pa.int64()),
    }
    count = len(columns["path"])
    if inputs.params is None:
        columns["params"] = pa.array([common], pa.string()).take(
            pa.array([0], pa.int32()).take(pa.array([0] * count, pa.int32()))
        )
    else:
        columns["params"] = pa.array(inputs.params[rows], pa.string())
    columns["number"] = pa.array(range(count), pa.int64())
    return pa.table(columns)


def _insert(
    connection: DuckDBPyConnection, table: pa.Table, source: str, pipeline_id: str, on_change: str
) -> tuple[int, int, int]:
    connection.register("incoming", table)
    try:
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE staged AS
            WITH identified AS (
                SELECT {IDENTITY_SQL} AS job_id, path, size, params, number FROM incoming
            ), single AS (
                SELECT * FROM identified
                QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY number) = 1
            )
            SELECT single.*, jobs.job_id IS NULL AS is_new,
                   jobs.input_size IS DISTINCT FROM single.size AND NOT is_new AS changed
            FROM single LEFT JOIN jobs USING (job_id)
            """,
            {"prefix": identity_prefix(pipeline_id, source)},
        ).fetchall()
        added = connection.execute(
            f"""
            INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at,
                              position, source, params, input_size, attempts, interruptions)
            SELECT job_id, 'pending', $pipeline_id, path, {NOW}, {NOW},
                   (SELECT coalesce(max(position), 0) FROM jobs)
                   + row_number() OVER (ORDER BY number), $source,
                   nullif(params, '{{}}'), size, 0, 0
            FROM staged WHERE is_new ORDER BY number
            """,
            {"pipeline_id": pipeline_id, "source": source},
        ).fetchall()[0][0]
        total, changed = connection.execute(
            "SELECT count(*), count(*) FILTER (changed) FROM staged"
        ).fetchall()[0]
        if changed:
            if on_change == "rerun":
                ledger.rerun_changed(connection, "staged")
            connection.execute(
                "UPDATE jobs SET input_size = staged.size FROM staged"
                " WHERE staged.job_id = jobs.job_id AND staged.changed"
            ).fetchall()
        connection.execute("DROP TABLE staged")
    finally:
        connection.unregister("incoming")
    return added, total - added - changed, changed


def _note_source(
    connection: DuckDBPyConnection, inputs: Inputs, root: str | None, *, named: bool
) -> None:
    """Add the source, or check that it is the one that has this name already."""
    known = connection.execute(
        "SELECT kind, root FROM sources WHERE name = $name", {"name": inputs.name}
    ).fetchall()
    values = {"name": inputs.name, "kind": inputs.kind, "root": root}
    if not known:
        connection.execute(
            "INSERT INTO sources (name, kind, root, created_at, updated_at)"
            f" VALUES ($name, $kind, $root, {NOW}, {NOW})",
            values,
        ).fetchall()
        return
    kind, known_root = known[0]
    if (kind == "ids") != (inputs.kind == "ids") or (known_root is None) != (root is None):
        raise SourceError(
            f"the name {inputs.name!r} belongs to a source of another kind ({kind}) in this ledger; "
            f"pass another one, such as name='{inputs.name}-2'"
        )
    if known_root == root:
        return
    if not named:
        raise SourceError(
            f"the name {inputs.name!r} belongs to {known_root} in this ledger, and this source is at "
            f"{root}. Pass name={inputs.name!r} if it is the same data in a new place, or another name "
            "to keep the two apart."
        )
    connection.execute(
        f"UPDATE sources SET root = $root, kind = $kind, updated_at = {NOW} WHERE name = $name",
        values,
    ).fetchall()


def _stored_root(root: Path | None, directory: Path) -> str | None:
    """Return a root as the ledger stores it: relative to the workspace if inside it."""
    if root is None:
        return None
    if root == directory or directory in root.parents:
        return os.path.relpath(root, directory)
    return str(root)
