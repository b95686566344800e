"""What earlier jobs with the same ids left behind.

The id of a job follows from its input, so one that was deleted, or went with a downgrade, comes back with
the id that it had; its result rows and attempts are still there then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foregsyte_kaggle import results

if TYPE_CHECKING:
    from foregsyte_kaggle.database import Database
    from foregsyte_kaggle.ledger.claiming import Selection

__all__ = ["remove_leftovers"]


def remove_leftovers(database: Database, selection: Selection) -> None:
    """Remove result rows and attempts of pending jobs that were never tried: they are not theirs.

    Of a job that was tried, recording replaces the rows. So asking here, before jobs are claimed, covers
    every way in which a job can come back, and registering need not look at any result.
    """
    untried = f"SELECT job_id FROM jobs WHERE {selection.condition} AND attempts = 0"
    with database.reading() as cursor:
        tables = ["job_attempts"]
        if results.result_columns(cursor, selection.pipeline_id):
            tables.append(results.table_name(selection.pipeline_id))
        # DuckDB would hash all the ids before it sees that a table is empty.
        filled = [
            table for table in tables if cursor.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall()
        ]
    if filled:
        with database.transaction() as connection:
            for table in filled:
                connection.execute(
                    f"DELETE FROM {table} WHERE job_id IN ({untried})", selection.parameters
                ).fetchall()
