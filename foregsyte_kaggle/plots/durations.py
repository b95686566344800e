"""``plot_durations``: how long attempts took, a row a pipeline, and which inputs took longest."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from foregsyte_kaggle.filters import JobFilter, check_pipeline, check_source
from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.plots.axes import COLORS, PLAIN, describe, find_axes, say_empty, shown
from foregsyte_kaggle.widgets.words import duration
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from foregsyte_kaggle.database import Database

__all__ = ["plot_durations"]

#: Pipelines that took less time than these do are left out.
MOST_PIPELINES = 12
MOST_NAMED = 12
MOST_NAMED_OF_ONE = 5
#: What a logarithmic axis cannot show is drawn here.
SHORTEST_SECONDS = 1e-6

UNITS = (("µs", 1e-6), ("ms", 1e-3), ("s", 1.0))
TICKS = [
    *(
        (n * size, f"{n} {unit}")
        for unit, size in UNITS
        for n in (1, 3, 10, 30, 100, 300)
        if n * size < 59
    ),
    *((60.0 * n, f"{n} min") for n in (1, 3, 10, 30)),
    *((3600.0 * n, f"{n} h") for n in (1, 3, 10, 30, 100, 300, 1000)),
]
MOST_TICKS = 9

SPREADS = """
    SELECT jobs.pipeline_id, count(*), sum(duration_seconds),
           quantile_cont(duration_seconds, [0.05, 0.25, 0.5, 0.75, 0.95])
    FROM job_attempts JOIN jobs USING (job_id) WHERE duration_seconds IS NOT NULL AND {where}
    GROUP BY jobs.pipeline_id ORDER BY sum(duration_seconds) DESC, jobs.pipeline_id LIMIT {pipelines}
"""
#: By the greatest of each pipeline, since a window over all jobs takes three times as long.
SLOWEST = """
    SELECT pipeline_id, slow.input_path, slow.seconds, slow.outcome FROM (
        SELECT jobs.pipeline_id, unnest(max(
            {{'seconds': seconds, 'input_path': input_path, 'outcome': outcome}}, {named}
        )) AS slow
        FROM (
            SELECT job_id, max(duration_seconds) AS seconds, arg_max(outcome, duration_seconds) AS outcome
            FROM job_attempts WHERE duration_seconds IS NOT NULL GROUP BY job_id
        ) JOIN jobs USING (job_id) WHERE {where} GROUP BY jobs.pipeline_id
    ) WHERE pipeline_id IN (SELECT unnest($shown::VARCHAR[])) ORDER BY slow.seconds DESC, slow.input_path
"""


class Spread(NamedTuple):
    """How the durations of a pipeline's attempts spread, in seconds."""

    pipeline_id: str
    attempts: int
    total: float
    low: float
    """5 % took less."""
    quarter: float
    median: float
    three_quarters: float
    high: float
    """5 % took more."""


class Slow(NamedTuple):
    """An input that took long, with its longest attempt."""

    pipeline_id: str
    input_path: str
    seconds: float
    outcome: str


def plot_durations(
    pipeline_id: str | None = None,
    *,
    source: str | None = None,
    ax: Axes | None = None,
    workspace: Workspace | None = None,
) -> Axes:
    """Draw where time goes: how long attempts took for each pipeline, and which inputs took longest.

    A row a pipeline, that which took most time first, with at most 12 of them; below each its slowest inputs
    by name. The axis is logarithmic. Failed attempts count, those that the end of the notebook's process cut
    short do not.

    Parameters
    ----------
    pipeline_id
        Only attempts of this pipeline's jobs.
    source
        Only attempts of this source's jobs.
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
        If another argument is not of the expected form.
    """
    chosen = active_workspace(workspace)
    check_pipeline(chosen.database, pipeline_id)
    check_source(chosen.database, source)
    spreads, slowest = _read(chosen.database, JobFilter(pipeline_id=pipeline_id, source=source))
    axes = find_axes(ax, 2.0 + 0.55 * len(spreads) + 0.25 * len(slowest))
    axes.set_title(f"Where time goes{describe(pipeline_id, source)}", **PLAIN)
    if not spreads:
        return say_empty(axes)
    _draw(axes, spreads, slowest)
    return axes


def _read(database: Database, wanted: JobFilter) -> tuple[list[Spread], list[Slow]]:
    """Return the pipelines that took most time, and the slowest inputs of each."""
    where, parameters = wanted.where()
    with database.reading() as cursor:
        query = SPREADS.format(where=where, pipelines=MOST_PIPELINES)
        found = cursor.execute(query, parameters).fetchall()
        spreads = [Spread(*row, *quantiles) for *row, quantiles in found]
        named = max(1, min(MOST_NAMED_OF_ONE, MOST_NAMED // max(1, len(spreads))))
        slowest = cursor.execute(
            SLOWEST.format(where=where, named=named),
            {**parameters, "shown": [spread.pipeline_id for spread in spreads]},
        ).fetchall()
    return spreads, [Slow(*row) for row in slowest]


def _draw(axes: Axes, spreads: list[Spread], slowest: list[Slow]) -> None:
    axes.set_xscale("log")
    labels: list[str] = []
    dots: list[tuple[int, Slow]] = []
    boxes: list[int] = []
    for spread in spreads:
        boxes.append(len(labels))
        attempts = counted(spread.attempts, "attempt")
        labels.append(f"{shown(spread.pipeline_id)}\n{attempts}, {duration(spread.total)} in all")
        for slow in slowest:
            if slow.pipeline_id == spread.pipeline_id:
                dots.append((len(labels), slow))
                labels.append(shown(slow.input_path))
    _draw_spreads(axes, boxes, spreads)
    for color, name, failed in (
        (COLORS["completed"], "", False),
        (COLORS["failed"], ", failed", True),
    ):
        drawn = [
            (row, slow.seconds) for row, slow in dots if (slow.outcome != "completed") is failed
        ]
        if drawn:
            rows, seconds = zip(*drawn, strict=True)
            axes.plot(_drawable(seconds), rows, "o", color=color, label=f"slowest inputs{name}")
    axes.set_yticks(range(len(labels)), labels, **PLAIN)
    axes.set_ylim(len(labels) - 0.4, -0.6)  # the first on top
    _mark_seconds(axes, spreads, slowest)
    _write_seconds(axes, dots)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _write_seconds(axes: Axes, dots: list[tuple[int, Slow]]) -> None:
    """Write beside each dot how long that was, on the side where there is room."""
    left, right = axes.get_xlim()
    for row, slow in dots:
        (at,) = _drawable((slow.seconds,))
        is_right = at * at > left * right
        axes.annotate(
            duration(slow.seconds),
            (at, row),
            (-7 if is_right else 7, 0),
            textcoords="offset points",
            ha="right" if is_right else "left",
            va="center",
            fontsize="small",
        )


def _draw_spreads(axes: Axes, rows: list[int], spreads: list[Spread]) -> None:
    low, quarter, median, three_quarters, high = (
        _drawable(column) for column in list(zip(*spreads, strict=True))[3:]
    )
    widths = [right - left for left, right in zip(quarter, three_quarters, strict=True)]
    axes.hlines(rows, low, high, color="gray", label="5 % to 95 % of attempts")
    axes.barh(
        rows, widths, 0.6, quarter, color="lightsteelblue", edgecolor="gray", label="25 % to 75 %"
    )
    tops, bottoms = [row - 0.3 for row in rows], [row + 0.3 for row in rows]
    axes.vlines(median, tops, bottoms, color="black", linewidth=2, label="median")


def _drawable(seconds: tuple[float, ...]) -> list[float]:
    return [max(SHORTEST_SECONDS, one) for one in seconds]


def _mark_seconds(axes: Axes, spreads: list[Spread], slowest: list[Slow]) -> None:
    """Give the axis ticks in units that people read, from the one below all to the one above all."""
    known = [seconds for seconds, _ in TICKS]
    all_seconds = [
        *(spread.low for spread in spreads),
        *(spread.high for spread in spreads),
        *(slow.seconds for slow in slowest),
    ]
    least, most = max(SHORTEST_SECONDS, min(all_seconds)), max(SHORTEST_SECONDS, *all_seconds)
    first = max(0, bisect_right(known, least * 0.95) - 1)
    last = min(len(known) - 1, bisect_left(known, most * 1.05))
    ticks = TICKS[first : last + 1]
    axes.set_xlim(known[first], max(known[last], most * 1.05))
    ticks = ticks[:: -(-len(ticks) // MOST_TICKS)]
    axes.set_xticks([seconds for seconds, _ in ticks], [text for _, text in ticks])
    axes.set_xticks([], minor=True)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_xlabel("duration of an attempt, in the units that are marked (logarithmic)")
