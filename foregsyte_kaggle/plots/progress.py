"""``plot_progress``: how many jobs were completed and failed as time went by."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.filters import JobFilter, check_pipeline, check_source
from foregsyte_kaggle.ledger import as_uuid
from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.plots.axes import COLORS, PLAIN, describe, find_axes, say_empty
from foregsyte_kaggle.runs import Run
from foregsyte_kaggle.widgets.words import duration, moment
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from matplotlib.axes import Axes

__all__ = ["plot_progress"]

MOST_STEPS = 300
#: A gap without work is folded where it is longer than this part of all work.
FOLDED_PART = 0.05
MOST_NAMED_GAPS = 6

UNITS = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0))

#: Jobs as they are now, with the run that ended them.
OF_JOBS = """
    SELECT run_id, started_at, finished_at, status = 'completed' AS completed
    FROM jobs WHERE status IN ('completed', 'failed') AND finished_at IS NOT NULL AND {where}
"""
#: Jobs as one run left them, whatever became of them later; not those that it still works on.
OF_RUN = """
    SELECT job_attempts.run_id, min(job_attempts.started_at) AS started_at,
           max(job_attempts.finished_at) AS finished_at,
           arg_max(job_attempts.outcome, job_attempts.attempt) = 'completed' AS completed
    FROM job_attempts JOIN jobs USING (job_id)
    WHERE job_attempts.run_id = $run_id AND job_attempts.finished_at IS NOT NULL
          AND NOT (jobs.status = 'running' AND jobs.run_id = $run_id) AND {where}
    GROUP BY job_attempts.job_id, job_attempts.run_id
"""


class Period(NamedTuple):
    """When a run worked, from the first job's start to the last one's end; in microseconds since 1970, UTC."""

    run_id: uuid.UUID | None
    begin: int
    end: int


class Gap(NamedTuple):
    """Time without work that is folded."""

    at: int
    """Microseconds of work before it."""
    length: int
    """Microseconds."""


class Step(NamedTuple):
    """How far the work was."""

    at: int
    """Microseconds of work."""
    completed: int
    failed: int


def plot_progress(
    pipeline_id: str | None = None,
    *,
    run: Run | str | uuid.UUID | None = None,
    source: str | None = None,
    ax: Axes | None = None,
    workspace: Workspace | None = None,
) -> Axes:
    """Draw how the work went: jobs completed and failed, added up as time went by.

    Each job counts once, as it is now, at the time when it ended. Gaps between runs that are longer than a
    twentieth of all work are folded, and marked by a dotted line with their length.

    Parameters
    ----------
    pipeline_id
        Only jobs of this pipeline.
    run
        Only what this run did, as it left the jobs: a ``Run``, or an id as in ``attempts_frame().run_id``.
    source
        Only jobs of this source.
    ax
        Where to draw; a new figure by default.
    workspace
        The active one by default.

    Returns
    -------
    matplotlib.axes.Axes
        Of the picture; says "no finished jobs" where there are none.

    Raises
    ------
    MissingExtraError
        If matplotlib, the extra ``plot``, is not installed.
    PipelineError
        If there is no such pipeline, neither registered nor in the ledger.
    SourceError
        If the ledger has no such source.
    InvalidArgumentError
        If the ledger has no such run, or another argument is not of the expected form.
    """
    chosen = active_workspace(workspace)
    check_pipeline(chosen.database, pipeline_id)
    check_source(chosen.database, source)
    where, parameters = JobFilter(pipeline_id=pipeline_id, source=source).where()
    ended = OF_JOBS if run is None else OF_RUN
    with chosen.database.reading() as cursor:
        if run is not None:
            parameters["run_id"] = _find_run(cursor, run)
        begin, gaps, steps = _read(cursor, ended.format(where=where), parameters)
    axes = find_axes(ax, 4.5)
    of_run = "" if run is None else " of one run"
    axes.set_title(f"Finished jobs{of_run}{describe(pipeline_id, source)}", **PLAIN)
    if begin is None:
        return say_empty(axes)
    _draw(axes, begin, gaps, steps)
    return axes


def _find_run(cursor: DuckDBPyConnection, run: Run | str | uuid.UUID) -> uuid.UUID:
    if isinstance(run, Run):
        run_id = run.run_id
    elif isinstance(run, (str, uuid.UUID)):
        run_id = as_uuid(run)
    else:
        raise InvalidArgumentError(
            f"run={run!r:.80}; expected what run_jobs returned, or an id as in attempts_frame().run_id"
        )
    if not cursor.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchall():
        raise InvalidArgumentError(
            f"this ledger has no run {run_id}; sql('SELECT * FROM runs') lists those that there are"
        )
    return run_id


def _read(
    cursor: DuckDBPyConnection, ended: str, parameters: dict[str, Any]
) -> tuple[datetime | None, list[Gap], list[Step]]:
    """Return when the work began, its gaps, and its steps, at most 300 or so whatever the number of jobs."""
    periods = [
        Period(*row)
        for row in cursor.execute(
            "SELECT run_id, epoch_us(min(coalesce(started_at, finished_at))) AS begin,"
            f" epoch_us(max(finished_at)) FROM ({ended}) GROUP BY run_id ORDER BY begin",
            parameters,
        ).fetchall()
    ]
    if not periods:
        return None, [], []
    gaps, folded = _fold(periods)
    worked = max(period.end - gone for period, gone in zip(periods, folded, strict=True))
    rows = cursor.execute(
        "SELECT max(work), count(*) FILTER (completed), count(*) FILTER (NOT completed) FROM ("
        f" SELECT epoch_us(finished_at) - folded AS work, completed FROM ({ended}) AS ended"
        " JOIN (SELECT unnest($runs::UUID[]) AS run_id, unnest($folded::BIGINT[]) AS folded) AS shifts"
        " ON shifts.run_id IS NOT DISTINCT FROM ended.run_id)"
        " GROUP BY work // $width ORDER BY 1",
        {
            **parameters,
            "runs": [period.run_id for period in periods],
            "folded": folded,
            "width": max(1, -(-worked // MOST_STEPS)),
        },
    ).fetchall()
    steps = [Step(0, 0, 0)]
    for at, completed, failed in rows:
        steps.append(Step(at, steps[-1].completed + completed, steps[-1].failed + failed))
    begin = cursor.execute("SELECT make_timestamp(?)", [periods[0].begin]).fetchall()[0][0]
    return begin, gaps, steps


def _fold(periods: list[Period]) -> tuple[list[Gap], list[int]]:
    """Return the long gaps, and how much to take off the times of each run."""
    work = covered = 0
    for period in periods:
        work += max(0, period.end - max(period.begin, covered))
        covered = max(covered, period.end)
    gaps: list[Gap] = []
    gone = periods[0].begin
    folded: list[int] = []
    covered = periods[0].begin
    for period in periods:
        length = period.begin - covered
        if length > FOLDED_PART * work:
            gaps.append(Gap(covered - gone, length))
            gone += length
        folded.append(gone)
        covered = max(covered, period.end)
    return gaps, folded


def _draw(axes: Axes, begin: datetime, gaps: list[Gap], steps: list[Step]) -> None:
    from matplotlib.ticker import MaxNLocator

    worked = steps[-1].at / 1e6
    unit, size = next((one for one in UNITS if worked >= 2 * one[1]), UNITS[-1])
    times = [step.at / 1e6 / size for step in steps]
    for name, color in COLORS.items():
        numbers = [getattr(step, name) for step in steps]
        label = f"{name}: {numbers[-1]:,}"
        axes.plot(times, numbers, drawstyle="steps-post", color=color, linewidth=2, label=label)
    axes.fill_between(
        times,
        [step.completed for step in steps],
        step="post",
        color=COLORS["completed"],
        alpha=0.15,
    )
    folds = [gap.at / 1e6 / size for gap in gaps]
    height = axes.get_xaxis_transform()
    axes.vlines(folds, 0, 1, transform=height, color="gray", linestyle=":", linewidth=1)
    if len(gaps) <= MOST_NAMED_GAPS:
        for at, gap in zip(folds, gaps, strict=True):
            axes.text(
                at,
                0.97,
                f"{duration(gap.length / 1e6)} later",
                transform=height,
                rotation=90,
                ha="center",
                va="top",
                fontsize="small",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
            )
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    folded = f"; {counted(len(gaps), 'gap')} folded" if gaps else ""
    axes.set_xlabel(f"working time in {unit}, from {moment(begin)} UTC{folded}")
    axes.set_ylabel("jobs, added up")
    axes.legend(loc="upper left", frameon=True)
