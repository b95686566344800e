"""What two ledgers say differently of the same jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.dataframes import to_arrow, to_dataframe

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

__all__ = ["COLUMNS", "find_differences"]

COLUMNS = ("job_id", "pipeline_id", "source", "input_path", "what", "kept", "other", "ledger")


def find_differences(
    connection: DuckDBPyConnection, catalog: str, differing: Sequence[str], ledger: Path
) -> pd.DataFrame:
    """Return a row for each difference that ``compare_jobs`` made out, as ``Merged`` describes them.

    Parameters
    ----------
    differing
        Queries of the jobs whose result rows differ.
    ledger
        The file that is attached as ``catalog``.
    """
    rows = " UNION ALL ".join(differing) or "SELECT NULL::UUID AS job_id WHERE false"
    which = "CASE WHEN united.wins THEN {0} ELSE {1} END::VARCHAR"
    sides = ("theirs.{}", "own.{}")

    def kept_and_other(column: str) -> str:
        theirs, own = (side.format(column) for side in sides)
        return f"{which.format(theirs, own)} AS kept, {which.format(own, theirs)} AS other"

    both = f"united JOIN {catalog}.main.jobs AS theirs USING (job_id) JOIN main.jobs AS own USING (job_id)"
    found = to_arrow(
        connection,
        f"""
        SELECT job_id::VARCHAR AS job_id, jobs.pipeline_id, jobs.source, jobs.input_path, what, kept, other,
               $ledger::VARCHAR AS ledger
        FROM (
            SELECT job_id, 'results' AS what,
                   CASE WHEN wins THEN tried ELSE own_tried END AS kept,
                   CASE WHEN wins THEN own_tried ELSE tried END AS other
            FROM united SEMI JOIN ({rows}) AS changed USING (job_id)
            UNION ALL SELECT job_id, 'code', {kept_and_other("code_version")} FROM {both}
            WHERE completed_twice AND theirs.code_version <> own.code_version
            UNION ALL SELECT job_id, 'input_size', {kept_and_other("input_size")} FROM {both}
            WHERE theirs.input_size <> own.input_size
        ) JOIN main.jobs AS jobs USING (job_id) ORDER BY jobs.pipeline_id, jobs.source, jobs.input_path, job_id, what
        """,
        {"ledger": str(ledger)},
    )
    return to_dataframe(found)
