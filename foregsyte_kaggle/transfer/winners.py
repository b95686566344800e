"""Output files of the tries that count once two ledgers are one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foregsyte_kaggle.packed import Archives, split_packed
from foregsyte_kaggle.transfer.attached import locate
from foregsyte_kaggle.transfer.output_files import Output, copy_outputs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["copy_files", "find_files"]


def find_files(connection: DuckDBPyConnection, catalog: str) -> tuple[dict[str, str], list[str]]:
    """Return the output files that come with the winners, and those of the losers here.

    Both relative to the folder of outputs, and only such as a job of that id may have written; the first
    with the path that their ledger has. What is in an archive here stays in it.
    """
    query = """
        SELECT job_id::VARCHAR, pipeline_id, path FROM (
            SELECT united.job_id, united.pipeline_id,
                   unnest(json_extract_string(output_paths, '$[*]')) AS path
            FROM united JOIN {0}.job_attempts AS tries
            ON tries.job_id = united.job_id AND tries.attempt_id::VARCHAR = united.{1}
            WHERE {2} AND output_paths IS NOT NULL
            UNION SELECT job_id, united.pipeline_id, output_path FROM united
            JOIN {0}.jobs USING (job_id) WHERE {2} AND jobs.status::VARCHAR = 'completed'
        ) WHERE path IS NOT NULL ORDER BY 1, 3
    """

    def of(schema: str, tried: str, which: str) -> dict[str, str]:
        rows = connection.execute(query.format(schema, tried, which)).fetchall()
        found = {}
        for job_id, pipeline_id, recorded in rows:
            path = split_packed(recorded)[1] or recorded.removeprefix("data/outputs/")
            if path.startswith(f"{pipeline_id}/{job_id}-") and path.count("/") == 1:
                found[path] = recorded
        return found

    wanted = of(f"{catalog}.main", "tried", "brings_rows")
    own = of("main", "own_tried", "wins")
    loose = {path for path, recorded in own.items() if split_packed(recorded)[1] is None}
    return wanted, sorted(loose - wanted.keys())


def copy_files(
    wanted: Mapping[str, str], folders: Sequence[Path], target: Path, ledger: Path
) -> tuple[int, list[str]]:
    """Copy what ``find_files`` found from the first of the folders that has it.

    Parameters
    ----------
    target
        The folder of outputs here.
    ledger
        The other ledger's file, which an error names.

    Returns
    -------
    tuple of int and list of str
        How many were copied, and which are nowhere or in an archive that is damaged.

    Raises
    ------
    LedgerError
        If there is no room for all of them, or one cannot be written; none is copied then.
    """
    found, missing = {}, []
    with Archives() as archives:
        for path, recorded in wanted.items():
            place = locate(recorded, folders, archives)
            if place is None:
                missing.append(target / path)
            else:
                found[target / path] = Output(place, split_packed(recorded)[1])
        missing += copy_outputs(
            found,
            archives,
            target,
            f"{ledger} was not merged; free some room and merge again.",
        )
    names = [f"data/outputs/{path.relative_to(target).as_posix()}" for path in missing]
    return len(wanted) - len(missing), sorted(names)
