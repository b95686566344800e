"""One page of the job table, beside the same SQL in plain duckdb and beside what people show a frame with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import foregsyte_kaggle as fk
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.html import page_to_html
from foregsyte_kaggle.widgets.page import SORTS, PageQuery
from foregsyte_kaggle.widgets.paging import load_page
from tests.benchmarks import inputs
from tests.benchmarks.machine import forget_peak, peak_megabytes
from tests.benchmarks.measuring import Bar, Bench, Row, python_prints, timed

#: What the table shows of a job, in plain SQL; no job of these ledgers runs.
PAGE = """
    SELECT job_id, status, pipeline_id, source, input_path, attempts, progress, error_type,
           left(error_message, 2000), length(error_message), updated_at, started_at, finished_at
    FROM jobs WHERE {where} ORDER BY {order} LIMIT 20 OFFSET {offset}
"""
COUNTS = "SELECT status, count(*) FROM jobs WHERE {where} GROUP BY status"
KEYS = {
    "registered": "position",
    "status": "status",
    "input": "input_path",
    "pipeline": "pipeline_id",
    "attempts": "attempts",
    "took": "finished_at - started_at",
    "changed": "updated_at",
}
FAILED = {"statuses": (JobStatus.failed,)}
HOLDS = "(contains(lower(input_path), '{0}') OR contains(lower(error_message), '{0}'))"


@dataclass(frozen=True)
class Case:
    """A page, and the conditions that plain SQL has for its rows and for its counts."""

    what: str
    asked: dict[str, Any]
    where: str = "true"
    counted: str = "true"
    query: PageQuery = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", PageQuery(**self.asked))

    def plain(self) -> tuple[str, str]:
        way = "DESC" if self.query.descending else "ASC"
        rows = PAGE.format(
            where=self.where,
            order=f"{KEYS[self.query.sort]} {way} NULLS LAST, position NULLS LAST, created_at, job_id",
            offset=(self.query.number - 1) * self.query.page_size,
        )
        return COUNTS.format(where=self.counted), rows


def cases(count: int) -> list[Case]:
    """Return pages of what else is filtered, beside those of ``grid``."""
    frames = HOLDS.format("no frames")
    errors = {"search": "no frames"}
    return [
        Case(
            "pending jobs, of which there are none",
            {"statuses": (JobStatus.pending,)},
            "status = 'pending'",
        ),
        Case("one source", {"source": "later", "number": count // 80}, *["source = 'later'"] * 2),
        Case("search in errors, by time of change", {**errors, "sort": "changed"}, *[frames] * 2),
        Case(
            "its middle by input",
            {**errors, "sort": "input", "number": max(1, count // 400)},
            *[frames] * 2,
        ),
        Case("search for what is nowhere", {"search": "zzz"}, *[HOLDS.format("zzz")] * 2),
    ]


def grid(count: int) -> dict[str, list[Case]]:
    """Return the first, the middle and the last page of every sort, both ways, by their filter."""
    late = HOLDS.format("-late")
    filters = {
        "all jobs": (count, {}, "true", "true"),
        "failed jobs": (count // 10, FAILED, "status = 'failed'", "true"),
        "search in half of the paths": (count // 2, {"search": "-LATE"}, late, late),
    }
    return {
        what: [
            Case(
                f"{what}, the {place} by {sort}{', descending' if descending else ''}",
                {**asked, "sort": sort, "descending": descending, "number": max(1, number)},
                where,
                counted,
            )
            for sort, descending in product(SORTS, (False, True))
            for place, number in (
                ("first", 1),
                ("middle", matching // 40),
                ("last", matching // 20),
            )
        ]
        for what, (matching, asked, where, counted) in filters.items()
    }


def page(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 1_000_000)
    made = inputs.finished_jobs(bench.folder, count)
    with (
        inputs.plain(inputs.copied(made, bench.scratch)) as plain,
        inputs.opened(inputs.copied(made, bench.scratch)) as ours,
    ):
        measure = partial(_page, plain=plain, ours=ours, count=count)
        rows = [row for which in grid(count).values() for row in _worst(bench, measure, which)]
        rows += [measure(bench, case) for case in cases(count)]
    return [*rows, *_beside(bench, made, count)]


def _worst(bench: Bench, measure: Callable[[Bench, Case], Row], which: list[Case]) -> list[Row]:
    """Measure each case in few rounds, and once more the one of the highest ratio and the slowest.

    Of so many figures the highest is high by chance too, so it is not the one to show.
    """
    few = replace(bench, rounds=min(3, bench.rounds))
    rows = [(case, measure(few, case)) for case in which]
    worst = {
        "the highest ratio": max(rows, key=lambda found: found[1].ratio or 0),
        "the slowest": max(rows, key=lambda found: found[1].value or 0),
    }
    over = sum(not row.bar.holds(row.floor_value or 0, row.value or 0) for _, row in rows)
    of = f"of {len(which)} pages, {over} of them over the bar in {few.rounds} rounds"
    return [replace(measure(bench, case), note=f"{what} {of}") for what, (case, _) in worst.items()]


def _page(bench: Bench, case: Case, plain: Any, ours: fk.Workspace, count: int) -> Row:
    def floor() -> None:
        for statement in case.plain():
            plain.execute(statement).fetchall()

    row = Row(
        "page",
        f"one page of the table: {case.what}, {count:,} jobs",
        "the same SQL in plain duckdb: counts, ORDER BY, LIMIT, OFFSET",
        bar=Bar(times=1.5, at_most=0.1),
    )
    work = timed(partial(load_page, ours.database, case.query))
    return bench.compare(row, timed(floor), work, warm_up=True)


# --- beside what people show a frame with ----------------------------------------------------------


def _ours() -> str:
    return page_to_html(load_page(fk.workspace.active_workspace(None).database, PageQuery()))


def _pandas() -> str:
    return fk.jobs_frame()._repr_html_()


def _itables() -> str:
    import itables

    return itables.to_html_datatable(fk.jobs_frame())


PEERS: dict[str, Callable[[], str]] = {"pandas": _pandas, "itables": _itables}


def _beside(bench: Bench, made: Path, count: int) -> list[Row]:
    """Return time and memory of a page as HTML, beside a frame of all jobs shown by each of its peers."""
    rows = []
    for peer, show in PEERS.items():
        work = f"one page of {count:,} jobs as HTML"
        if find_spec(peer) is None:
            rows.append(Row("page", f"{work}, beside {peer}", note=f"{peer} is not installed"))
            continue
        floor = f"jobs_frame() of all of them as HTML by {peer}"
        row = Row("page", work, floor, bar=Bar(times=1.0))
        with inputs.opened(inputs.copied(made, bench.scratch)):
            rows.append(bench.compare(row, timed(show), timed(_ours), warm_up=True))
        row = replace(row, work=f"peak memory of {work}", bar=Bar(times=1.0, unit="MB"))
        folder = inputs.copied(made, bench.scratch)
        rows.append(
            replace(bench, rounds=1).compare(
                row, partial(_peak, bench, folder, peer), partial(_peak, bench, folder, "")
            )
        )
    return rows


def _peak(bench: Bench, folder: Path, peer: str) -> float:
    code = (
        f"from tests.benchmarks import rows_page; rows_page.print_peak({str(folder)!r}, {peer!r})"
    )
    return python_prints(code, bench.scratch)


def print_peak(folder: str, peer: str) -> None:
    """Make the HTML of a workspace's jobs, and print the most memory that the process had while it did."""
    with inputs.opened(Path(folder)):
        forget_peak()
        PEERS.get(peer, _ours)()
        print(peak_megabytes())


ROWS = {"page": page}
