"""What the rows are measured on: folders of files, lists of ids, ledgers of many jobs.

What several rows need is made once, in the folder that they share; who changes it takes a copy.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import foregsyte_kaggle as fk
from foregsyte_kaggle.database import LEDGER_FILE

if TYPE_CHECKING:
    import pyarrow as pa

_numbers = itertools.count()


def files(shared: Path, count: int) -> Path:
    """Return a folder with so many files below it, a thousand in each folder, each of another size."""

    def make(root: Path) -> None:
        for folder in range(-(-count // 1000)):
            inner = root / f"match-{folder:05}"
            inner.mkdir(parents=True)
            for number in range(min(1000, count - folder * 1000)):
                descriptor = os.open(inner / f"clip-{number:04}.mp4", os.O_CREAT | os.O_WRONLY)
                os.ftruncate(descriptor, 1000 * folder + number)
                os.close(descriptor)

    return made_once(shared / f"files-{count}", make)


def ids(count: int, prefix: str = "input") -> pa.Table:
    """Return a table of ids to register."""
    import pyarrow as pa

    return pa.table({"id": [f"{prefix}-{number:07}" for number in range(count)]})


@contextmanager
def workspace(folder: Path) -> Iterator[fk.Workspace]:
    """Give a new workspace, active, and close it afterwards."""
    made = fk.bootstrap(folder / f"workspace-{os.getpid()}-{next(_numbers)}")
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(made.directory)


@contextmanager
def opened(folder: Path) -> Iterator[fk.Workspace]:
    """Give an existing workspace, active, and close it afterwards."""
    found = fk.bootstrap(folder)
    try:
        yield found
    finally:
        found.close()


def copied(folder: Path, to: Path) -> Path:
    """Return a copy of a closed workspace, for who changes it."""
    return shutil.copytree(folder, to / f"copy-{os.getpid()}-{next(_numbers)}")


def plain(folder: Path, **config: Any) -> Any:
    """Open the ledger of a closed workspace with plain duckdb."""
    import duckdb

    return duckdb.connect(str(folder / LEDGER_FILE), config=config)


def pending_jobs(shared: Path, count: int) -> Path:
    """Return a closed workspace with so many jobs of ``trivial``, all pending."""

    def make(root: Path) -> None:
        fk.pipeline("trivial")(lambda _text: None)
        with opened(root):
            fk.register_jobs(ids(count), "trivial", name="inputs")

    return made_once(shared / f"pending-{count}", make)


def shuffled_ids(count: int, suffix: str) -> pa.Table:
    """Return a table of ids to register, always the same, whose order is neither theirs nor that of another suffix."""
    import pyarrow as pa

    numbers = list(range(count))
    Random(suffix).shuffle(numbers)
    return pa.table({"id": [f"clip-{number:07}-{suffix}" for number in numbers]})


def finished_jobs(shared: Path, count: int) -> Path:
    """Return a closed workspace of jobs in two sources that ran: 9 of 10 completed, one failed.

    Their paths are in no order, as those of names that are hashes, so that sorting by them has all the work.
    """

    def make(root: Path) -> None:
        fk.pipeline("trivial")(lambda _text: None)
        with opened(root) as made:
            half = count // 2
            fk.register_jobs(shuffled_ids(half, "early"), "trivial", name="inputs")
            fk.register_jobs(shuffled_ids(count - half, "late"), "trivial", name="later")
            with made.database.transaction() as connection:
                connection.execute(
                    """
                    UPDATE jobs SET attempts = 1, run_id = uuid(), code_version = 'abc',
                        started_at = created_at, updated_at = created_at + to_seconds(position % 977),
                        finished_at = created_at + to_seconds(position % 977),
                        status = CASE WHEN position % 10 = 7 THEN 'failed' ELSE 'completed' END,
                        error_type = CASE WHEN position % 10 = 7 THEN 'ValueError' END,
                        error_message = CASE WHEN position % 10 = 7 THEN 'no frames in ' || input_path END
                    """
                ).fetchall()

    return made_once(shared / f"finished-{count}", make)


def jobs_with_results(shared: Path, rows: int, each: int = 10) -> Path:
    """Return a closed workspace with so many result rows of ``ten_rows``, ``each`` a job, as a run leaves them."""
    from tests.benchmarks.pipelines import ten_rows

    def make(root: Path) -> None:
        fk.pipeline("ten_rows")(ten_rows)
        with opened(root) as made:
            fk.register_jobs(ids(rows // each), "ten_rows", name="inputs")
            fk.run_jobs("ten_rows", limit=1, executor="inline", progress=False)  # makes the table
            with made.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO results.ten_rows (job_id, number, score, label)"
                    " SELECT job_id, nth, nth / 7, input_path || ' ' || nth"
                    f" FROM (SELECT * FROM jobs WHERE status = 'pending'), range({each}) AS t(nth)"
                    " ORDER BY position, nth"
                ).fetchall()
                connection.execute(
                    "UPDATE jobs SET status = 'completed', attempts = 1, started_at = created_at,"
                    " finished_at = created_at WHERE status = 'pending'"
                ).fetchall()

    return made_once(shared / f"results-{rows}-{each}", make)


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """Return a file or folder that is there, or is made now and then whole."""
    if not path.exists():
        half_made = path.with_name(path.name + "-being-made")
        shutil.rmtree(half_made, ignore_errors=True)
        make(half_made)
        half_made.rename(path)
    return path
