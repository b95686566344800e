"""Registering jobs: one for each input of a source, in bulk, and none of them twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle import ledger
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.identity import (
    IDENTITY_SQL,
    SHARD_SQL,
    canonical_params,
    identity_prefix,
)
from foregsyte_kaggle.ledger import NOW
from foregsyte_kaggle.leftovers import own_files
from foregsyte_kaggle.origins import note_source
from foregsyte_kaggle.registry import (
    check_own_rules,
    check_params,
    check_values,
    find_pipeline,
)
from foregsyte_kaggle.sources import Inputs, resolve_inputs
from foregsyte_kaggle.views import arrow_view
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from foregsyte_kaggle.sources import Source

__all__ = ["Registration", "register_jobs"]

#: A longer log, that of about 30,000 jobs, is moved into the file at once, since a run would stand still for it.
LONG_LOG_BYTES = 4 * 2**20


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
    shard : (int, int) or None
        Which part of the inputs this is about, as ``register_jobs`` was told.
    """

    pipeline_id: str
    source: str
    added: int
    unchanged: int
    changed: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    shard: tuple[int, int] | None = None

    @property
    def total(self) -> int:
        """How many inputs were found, in this shard."""
        return self.added + self.unchanged + self.changed

    def __str__(self) -> str:
        parts = [f"{self.added:,} added", f"{self.unchanged:,} unchanged"]
        if self.changed:
            parts.append(f"{self.changed:,} changed")
        part = "" if self.shard is None else ", shard {} of {}".format(*self.shard)
        text = f"{self.pipeline_id} over {self.source}{part}: {', '.join(parts)}"
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
    shard: tuple[int, int] | None = None,
    on_change: str = "rerun",
    workspace: Workspace | None = None,
) -> Registration:
    """Register one job for each input of a source; calling it again adds nothing.

    Parameters
    ----------
    source
        A folder; a glob such as ``"clips/*.mp4"``; the name of an input that is attached on Kaggle (see
        Notes); a list of paths or URLs; or a DataFrame, Arrow table, CSV or Parquet file with a column
        ``path`` (relative to the file's folder, or to the current one) or ``id`` (for inputs that are no
        files). A table's other columns are params of their row;
        missing values are left out, and text such as 007 stays text. Files that a list or table names
        must be there; of more than 100,000 only a sample is looked at, and their sizes are not noted.
    pipeline_id
        A pipeline that is registered or built in.
    pattern
        Which files of a folder; ``**/*`` by default. Names that begin with a dot are left out, but for
        those in a list of paths. Symbolic links are followed, also out of the folder.
    unit
        ``"file"``, or ``"folder"``: one job for each folder that directly holds files that match.
    name
        The source's name, part of each job's identity; by default the name of the folder that paths
        count from (of a list: the folder that holds them all). With it, a source that moved is known
        again, and a list may grow within the folder that it had first.
    params
        JSON values, passed to the pipeline by name, which must take them, of the types that it is annotated with.
    limit
        Register only the first inputs: sorted by path, or in the order of the list or table.
    shard
        ``(k, n)`` registers only the k-th of n parts, 1 to n, so that n notebooks share the inputs, and
        ``merge_ledgers`` unites what they did. Which part an input is in depends on its identity alone:
        together the parts are everything, none twice, and inputs that come later move no other. With
        ``limit``, the first inputs are what is split.
    on_change
        What to do with a finished job whose input has another size now: ``"rerun"`` puts it back to
        pending, ``"keep"`` leaves it and counts it as changed each time.
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
        If another argument is not of the expected form, or the pipeline cannot be called with the params.

    Notes
    -----
    Attached inputs are named ``"owner/slug"`` (a dataset or notebook), ``"datasets/owner/slug"``,
    ``"notebooks/owner/slug"``, ``"competitions/slug"``, ``"models/owner/model/framework/variation"`` (or with
    ``/version`` behind), or by the slug alone, and found in the old layout of ``/kaggle/input`` and in the
    new one. A text that several can mean is an error that lists them, and so is one that means a folder here
    too; ``"./slug"``, an absolute path and a ``Path`` are always a path. Nothing is downloaded or waited for.

    The source's name is then the slug (of a model ``model/framework/variation``), and paths count from the
    input's own folder, also where the source is a path in it, such as ``/kaggle/input/slug/train``. Such a
    path from the other layout is found as well. So the same data adds nothing, however it is attached and
    written, unless ``name`` is given. What Kaggle saves with a notebook's output (``__results__.html`` and
    the like), and an earlier ledger of this package with its outputs, are no inputs, unless the pattern
    begins with them: ``pattern="data/outputs/**/*.png"``.
    """
    chosen = active_workspace(workspace)
    if unit not in ("file", "folder"):
        raise InvalidArgumentError(f"unit={unit!r} is unknown; expected 'file' or 'folder'")
    if on_change not in ("rerun", "keep"):
        raise InvalidArgumentError(
            f"on_change={on_change!r} is unknown; expected 'rerun' or 'keep'"
        )
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidArgumentError(f"limit={limit!r}; expected a whole number from 1, or None")
    _check_shard(shard)
    found = find_pipeline(pipeline_id)
    common = canonical_params(params)
    inputs = resolve_inputs(
        source,
        pattern=pattern,
        unit=unit,
        name=name,
        params=params,
        exclude=own_files(chosen.directory),
    )
    check_params(found, {*(params or ()), *inputs.row_values})
    check_values(found, json.loads(common), inputs.row_values)
    check_own_rules(found, common if inputs.params is None else inputs.params)
    with chosen.database.transaction(log_bytes=LONG_LOG_BYTES) as connection:
        inputs = note_source(connection, inputs, chosen.directory, named=name is not None)
        rerun = on_change == "rerun"
        return _store(connection, inputs, pipeline_id, common, limit, shard, rerun=rerun)


def _check_shard(shard: object) -> None:
    if shard is None:
        return
    expected = "expected (k, n) with 1 <= k <= n, such as (1, 3) for the first of three notebooks"
    is_pair = isinstance(shard, (tuple, list)) and len(shard) == 2
    if not is_pair or not all(type(number) is int for number in shard):  # type: ignore[attr-defined]
        raise InvalidArgumentError(f"shard={shard!r:.80}; {expected}")
    if not 1 <= shard[0] <= shard[1]:  # type: ignore[index]
        raise InvalidArgumentError(f"shard={shard!r:.80}; {expected}")


#: Jobs for rows of ``job_id, path, size, params`` with the number ``nth``.
INSERT = f"""
    INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at, position, source,
                      params, input_size, attempts, interruptions)
    SELECT job_id, 'pending', $pipeline_id, path, {NOW}, {NOW},
           (SELECT coalesce(max(position), 0) FROM jobs) + nth, $source,
           nullif(params, '{{}}'), size, 0, 0
"""


def _store(
    connection: DuckDBPyConnection,
    inputs: Inputs,
    pipeline_id: str,
    common: str,
    limit: int | None,
    shard: tuple[int, int] | None,
    *,
    rerun: bool,
) -> Registration:
    """Add jobs for those inputs that have none; one query for all, and no join where none has."""
    names = {"pipeline_id": pipeline_id, "source": inputs.name}
    identifying = {"prefix": identity_prefix(pipeline_id, inputs.name)}
    columns = "path, size, number, params"
    if inputs.params is None:
        columns = "path, size, number, $common AS params"
        identifying["common"] = common
    identified = (
        f"SELECT *, {IDENTITY_SQL} AS job_id FROM (SELECT {columns} FROM incoming) AS inputs"
    )
    table = _each_once(connection, _table(inputs))[:limit]
    if shard is not None:
        table = _in_shard(connection, table, identified, identifying, shard)
    added, changed = table.num_rows, 0
    with arrow_view(connection, "incoming", table):
        has_jobs = connection.execute(
            "SELECT 1 FROM jobs WHERE pipeline_id = $pipeline_id AND (source = $source OR source IS NULL)"
            " LIMIT 1",
            names,
        ).fetchall()
        if has_jobs:
            connection.execute(
                f"""
                CREATE OR REPLACE TEMP TABLE staged AS
                SELECT identified.*, jobs.job_id IS NULL AS is_new,
                       coalesce(jobs.input_size <> size, false) AS changed,
                       NOT is_new AND jobs.source IS NULL AS forgotten
                FROM ({identified}) AS identified LEFT JOIN jobs USING (job_id)
                WHERE is_new OR changed OR forgotten
                """,
                identifying,
            ).fetchall()
            added, changed = _apply(connection, names, rerun=rerun)
        else:
            query = f"{INSERT} FROM (SELECT *, number AS nth FROM ({identified}))"
            connection.execute(query, {**names, **identifying}).fetchall()
    unchanged = table.num_rows - added - changed
    part = None if shard is None else (shard[0], shard[1])
    return Registration(
        pipeline_id, inputs.name, added, unchanged, changed, inputs.skipped, shard=part
    )


def _in_shard(
    connection: DuckDBPyConnection,
    table: pa.Table,
    identified: str,
    identifying: dict[str, str],
    shard: tuple[int, int],
) -> pa.Table:
    """Return the inputs of one shard, numbered anew."""
    with arrow_view(connection, "incoming", table):
        numbers = connection.sql(
            f"SELECT number FROM ({identified}) WHERE {SHARD_SQL} = $shard ORDER BY number",
            params={**identifying, "shard": shard[0], "shards": shard[1]},
        ).to_arrow_table()
    import numpy as np
    import pyarrow as pa

    taken = table.take(pa.array(numbers.column(0).to_numpy() - 1))
    place = taken.column_names.index("number")
    return taken.set_column(place, "number", pa.array(np.arange(1, taken.num_rows + 1)))


def _apply(
    connection: DuckDBPyConnection, names: dict[str, str], *, rerun: bool
) -> tuple[int, int]:
    """Add the staged inputs that are new, and settle those that changed; return how many.

    Jobs whose source was forgotten learn it again.
    """
    numbered = "SELECT *, row_number() OVER (ORDER BY number) AS nth FROM staged WHERE is_new"
    added = connection.execute(f"{INSERT} FROM ({numbered}) ORDER BY nth", names).fetchall()[0][0]
    # An older revision has no columns for these, so a downgrade took them; the id says whose they are.
    connection.execute(
        "UPDATE jobs SET source = $source, params = nullif(staged.params, '{}'), input_size = staged.size"
        " FROM staged WHERE staged.job_id = jobs.job_id AND staged.forgotten",
        {"source": names["source"]},
    ).fetchall()
    changed = connection.execute("SELECT count(*) FROM staged WHERE changed").fetchall()[0][0]
    if changed:
        if rerun:
            ledger.rerun_changed(connection, "staged")
        # A finished job keeps the size of the input that it finished with.
        connection.execute(
            "UPDATE jobs SET input_size = staged.size FROM staged WHERE staged.job_id = jobs.job_id"
            " AND staged.changed AND jobs.status = 'pending'"
        ).fetchall()
    connection.execute("DROP TABLE staged")
    return added, changed


def _table(inputs: Inputs) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    columns = {"path": inputs.paths, "size": inputs.sizes}
    if inputs.params is not None:
        columns["params"] = inputs.params
    columns["number"] = pa.array(np.arange(1, len(inputs.paths) + 1))
    return pa.table(columns)


def _each_once(connection: DuckDBPyConnection, table: pa.Table) -> pa.Table:
    """Leave out inputs that came before with the same params."""
    with arrow_view(connection, "listed", table):
        distinct = connection.execute("SELECT count(DISTINCT path) FROM listed").fetchall()[0][0]
        if distinct == table.num_rows:
            return table
        same = "path, params" if "params" in table.column_names else "path"
        return connection.sql(
            "SELECT * REPLACE (row_number() OVER (ORDER BY number) AS number) FROM (SELECT * FROM listed"
            f" QUALIFY row_number() OVER (PARTITION BY {same} ORDER BY number) = 1) ORDER BY number"
        ).to_arrow_table()
