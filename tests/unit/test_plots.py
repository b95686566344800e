"""Pictures of the ledger, by what is drawn: the numbers are those of plain SQL, and names stay names."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.plots import durations, progress

mpl.use("Agg")
from matplotlib import pyplot as plt

pytestmark = pytest.mark.unit

EVIL = ["cost $5 and $6^2$.mp4", "a\nb\x1b[31m\u202e.mp4", "x_{1} \\frac{.mp4", "z" * 500 + ".mp4"]


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


def add_jobs(pipeline_id: str, seconds: dict[str, float], *, failed: tuple[str, ...] = ()) -> None:
    """Register inputs and note an attempt of so many seconds for each, one after the other."""
    fk.pipeline(pipeline_id)(lambda _text: None)
    fk.register_jobs(pd.DataFrame({"id": list(seconds)}), pipeline_id, name=f"of {pipeline_id}")
    finish(pipeline_id, seconds, failed=failed)


def finish(
    pipeline_id: str,
    seconds: dict[str, float],
    *,
    failed: tuple[str, ...] = (),
    begin: str = "2026-01-31 23:00:00",
    attempt: int = 1,
) -> uuid.UUID:
    """End jobs in a run of their own that began at this time, UTC."""
    run_id, parameters = uuid.uuid4(), {"pipeline_id": pipeline_id, "begin": begin}
    with fk.workspace.active_workspace().database.transaction() as connection:
        connection.execute(
            "INSERT INTO runs (run_id, executor, workers, started_at) VALUES (?, 'inline', 1, now())",
            [run_id],
        )
        so_far = 0.0
        for path, one in seconds.items():
            connection.execute(
                "UPDATE jobs SET status = $status, run_id = $run_id, attempts = $attempt,"
                " started_at = $begin::TIMESTAMP + to_microseconds($so_far::BIGINT),"
                " finished_at = $begin::TIMESTAMP + to_microseconds($so_far::BIGINT + $took::BIGINT)"
                " WHERE pipeline_id = $pipeline_id AND input_path = $path",
                {
                    **parameters,
                    "status": "failed" if path in failed else "completed",
                    "run_id": run_id,
                    "attempt": attempt,
                    "so_far": so_far * 1e6,
                    "took": one * 1e6,
                    "path": path,
                },
            ).fetchall()
            connection.execute(
                "INSERT INTO job_attempts (attempt_id, job_id, run_id, attempt, outcome, started_at,"
                " finished_at, duration_seconds) SELECT uuid(), job_id, run_id, attempts, status::VARCHAR,"
                " started_at, finished_at, ? FROM jobs WHERE pipeline_id = ? AND input_path = ?",
                [one, pipeline_id, path],
            ).fetchall()
            so_far += one
    return run_id


def labels(ax: Any) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def line(ax: Any, name: str) -> Any:
    return next(line for line in ax.get_lines() if str(line.get_label()).startswith(name))


def drawn(ax: Any) -> Any:
    """Draw it, as showing and saving do; a warning or an error of that fails the test."""
    ax.figure.canvas.draw()
    return ax


# Durations


@pytest.mark.usefixtures("memory_workspace")
def test_durations_have_a_row_a_pipeline_with_the_quantiles_of_plain_sql() -> None:
    add_jobs("quick", {f"q{n}": 0.001 * (n + 1) for n in range(40)})
    add_jobs("slow", {f"s{n}": 1.5 * (n + 1) for n in range(8)})
    ax = drawn(fk.plot_durations())

    found = fk.sql(
        "SELECT pipeline_id, quantile_cont(duration_seconds, [0.05, 0.25, 0.5, 0.75, 0.95]) AS q"
        " FROM job_attempts JOIN jobs USING (job_id) GROUP BY ALL ORDER BY sum(duration_seconds) DESC"
    )
    assert found.pipeline_id.tolist() == ["slow", "quick"]
    whiskers, medians = ax.collections[0].get_segments(), ax.collections[1].get_segments()
    for row, quantiles in enumerate(found.q):
        low, quarter, median, three_quarters, high = quantiles
        assert whiskers[row][:, 0].tolist() == pytest.approx([low, high])
        assert medians[row][:, 0].tolist() == pytest.approx([median, median])
        box = ax.patches[row]
        assert (box.get_x(), box.get_x() + box.get_width()) == pytest.approx(
            (quarter, three_quarters)
        )
    assert [text for text in labels(ax) if "attempts" in text] == [
        "slow\n8 attempts, 54.0 s in all",
        "quick\n40 attempts, 820 ms in all",
    ]
    assert ax.get_title() == "Where time goes"
    assert ax.get_xscale() == "log"
    assert "duration" in ax.get_xlabel()


@pytest.mark.usefixtures("memory_workspace")
def test_slowest_inputs_are_named_once_each_and_longest_first() -> None:
    seconds = {f"clip {n}": float(n + 1) for n in range(9)}
    add_jobs("p", seconds, failed=("clip 8",))
    finish("p", {"clip 7": 30.0}, attempt=2)
    ax = drawn(fk.plot_durations("p"))
    assert labels(ax)[1:] == ["clip 7", "clip 8", "clip 6", "clip 5", "clip 4"]
    assert line(ax, "slowest inputs, failed").get_xdata().tolist() == [9.0]
    completed = line(ax, "slowest inputs")
    assert completed.get_xdata().tolist() == [30.0, 7.0, 6.0, 5.0]
    written = [text.get_text() for text in ax.texts]
    assert written == ["30.0 s", "9.0 s", "7.0 s", "6.0 s", "5.0 s"]


@pytest.mark.usefixtures("memory_workspace")
def test_only_jobs_of_the_pipeline_and_the_source_are_drawn() -> None:
    add_jobs("p", {"a": 1.0})
    add_jobs("other", {"b": 2.0})
    for ax in (fk.plot_durations("p"), fk.plot_durations(source="of p")):
        assert labels(ax) == ["p\n1 attempt, 1.0 s in all", "a"]
    assert fk.plot_durations(source="of p").get_title() == "Where time goes: source of p"
    ax = fk.plot_progress("p", source="of p")
    assert line(ax, "completed").get_label() == "completed: 1"
    assert ax.get_title() == "Finished jobs: p, source of p"


@pytest.mark.usefixtures("memory_workspace")
def test_durations_of_many_pipelines_are_those_that_took_most_time() -> None:
    for number in range(durations.MOST_PIPELINES + 2):
        add_jobs(f"p{number}", {"a": number + 1.0})
    ax = drawn(fk.plot_durations())
    shown = [text.partition("\n")[0] for text in labels(ax) if "attempt" in text]
    assert shown == [f"p{number}" for number in range(durations.MOST_PIPELINES + 1, 1, -1)]
    assert labels(ax).count("a") == durations.MOST_PIPELINES


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.0, 0.0], ["1 µs", "3 µs"]),
        ([2e-5], ["10 µs", "30 µs"]),
        ([1.5, 50.0], ["1 s", "3 s", "10 s", "30 s", "1 min"]),
        ([0.5, 40_000.0], ["300 ms", "3 s", "30 s", "3 min", "30 min", "3 h", "30 h"]),
        ([1e9], ["1000 h"]),
    ],
    ids=["zero", "microseconds", "a minute", "hours", "decades"],
)
@pytest.mark.usefixtures("memory_workspace")
def test_ticks_are_in_units_that_people_read(seconds: list[float], expected: list[str]) -> None:
    add_jobs("p", {str(number): one for number, one in enumerate(seconds)})
    ax = drawn(fk.plot_durations())
    assert [label.get_text() for label in ax.get_xticklabels()] == expected
    left, right = ax.get_xlim()
    assert left <= max(min(seconds), 1e-6)
    assert right >= max(seconds)


@pytest.mark.usefixtures("memory_workspace")
def test_names_are_shown_as_they_are_whatever_they_hold() -> None:
    add_jobs("p", {str(number): 1.0 + number for number, _ in enumerate(EVIL)})
    with fk.workspace.active_workspace().database.transaction() as connection:
        for number, name in enumerate(EVIL):
            connection.execute(
                "UPDATE jobs SET input_path = ? WHERE input_path = ?", [name, str(number)]
            ).fetchall()
    ax = drawn(fk.plot_durations())
    assert labels(ax)[1:] == [
        "…" + "z" * 39 + ".mp4",
        "x_{1} \\frac{.mp4",
        "a\\nb\\x1b[31m\\u202e.mp4",
        "cost $5 and $6^2$.mp4",
    ]
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())


@pytest.mark.parametrize("plot", ["plot_durations", "plot_progress"])
@pytest.mark.usefixtures("memory_workspace")
def test_source_with_a_formula_as_its_name_is_a_name(plot: str) -> None:
    fk.pipeline("p")(lambda _text: None)
    fk.register_jobs(pd.DataFrame({"id": ["a"]}), "p", name="$\\frac{$")
    finish("p", {"a": 1.0})
    ax = drawn(getattr(fk, plot)(source="$\\frac{$"))
    assert ax.get_title().endswith(": source $\\frac{$")


# Progress


@pytest.mark.usefixtures("memory_workspace")
def test_progress_adds_up_what_completed_and_failed_when_it_did() -> None:
    add_jobs("p", {"a": 60.0, "b": 120.0, "c": 30.0, "d": 90.0}, failed=("b",))
    ax = drawn(fk.plot_progress())
    completed, failed = line(ax, "completed"), line(ax, "failed")
    assert completed.get_xdata().tolist() == pytest.approx([0, 1, 3, 3.5, 5])
    assert completed.get_ydata().tolist() == [0, 1, 1, 2, 3]
    assert failed.get_ydata().tolist() == [0, 0, 1, 1, 1]
    assert ax.get_xlabel() == "working time in minutes, from 2026-01-31 23:00:00 UTC"
    assert ax.get_ylabel() == "jobs, added up"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "completed: 3",
        "failed: 1",
    ]


@pytest.mark.usefixtures("memory_workspace")
def test_gap_between_sessions_is_folded_and_marked_with_its_length() -> None:
    add_jobs("p", {"a": 10.0, "b": 10.0, "c": 10.0, "d": 10.0})
    finish("p", {"c": 10.0, "d": 10.0}, begin="2026-02-02 01:00:20")
    ax = drawn(fk.plot_progress())
    assert line(ax, "completed").get_xdata().tolist() == pytest.approx([0, 10, 20, 30, 40])
    (mark,) = ax.collections[-1].get_segments()
    assert mark[:, 0].tolist() == pytest.approx([20, 20])
    assert [text.get_text() for text in ax.texts] == ["1 d 2 h later"]
    assert ax.get_xlabel().endswith("UTC; 1 gap folded")


def test_short_gaps_stay_and_overlapping_runs_are_one_stretch_of_work() -> None:
    period = progress.Period
    gaps, gone = progress._fold(
        [
            period(None, 100, 1100),
            period(None, 600, 1600),
            period(None, 1610, 2600),
            period(None, 9600, 9700),
        ]
    )
    assert gaps == [(2500, 7000)]
    assert gone == [100, 100, 100, 7100]


@pytest.mark.usefixtures("memory_workspace")
def test_many_jobs_make_few_steps_that_end_at_the_numbers_of_plain_sql() -> None:
    fk.pipeline("p")(lambda _text: None)
    fk.register_jobs(pd.DataFrame({"id": [str(n) for n in range(5000)]}), "p", name="ids")
    with fk.workspace.active_workspace().database.transaction() as connection:
        connection.execute(
            "UPDATE jobs SET status = CASE WHEN position % 7 = 0 THEN 'failed' ELSE 'completed' END,"
            " started_at = TIMESTAMP '2026-01-01' + to_seconds(position),"
            " finished_at = TIMESTAMP '2026-01-01' + to_seconds(position + 1) WHERE position % 5 <> 0"
        ).fetchall()
    ax = drawn(fk.plot_progress())
    for status in ("completed", "failed"):
        jobs = len(fk.jobs_frame(status=status))
        numbers = line(ax, status).get_ydata()
        assert numbers[-1] == jobs
        assert (numbers[1:] >= numbers[:-1]).all()
        assert progress.MOST_STEPS / 2 < len(numbers) <= progress.MOST_STEPS + 2


@pytest.mark.usefixtures("memory_workspace")
def test_progress_of_a_run_is_what_it_did_whatever_became_of_the_jobs() -> None:
    tries: list[str] = []

    @fk.pipeline("p")
    def fail_at_first(text: str) -> None:
        tries.append(text)
        if text == "bad" and tries.count("bad") <= 2:
            raise ValueError

    fk.register_jobs(pd.DataFrame({"id": ["good", "bad"]}), "p", name="ids")
    run = fk.run_jobs("p", executor="inline", max_attempts=2, progress=False)
    fk.retry_jobs("p")
    later = fk.run_jobs("p", executor="inline", progress=False)
    for chosen in (run, run.run_id, str(run.run_id)):
        ax = drawn(fk.plot_progress(run=chosen))
        assert [one.get_label() for one in ax.get_lines()] == ["completed: 1", "failed: 1"]
    assert ax.get_title() == "Finished jobs of one run"
    assert line(fk.plot_progress(run=later), "completed").get_label() == "completed: 1"
    assert line(fk.plot_progress(), "completed").get_label() == "completed: 2"


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (uuid.UUID(int=7), "this ledger has no run 00000000-0000-0000-0000-000000000007"),
        ("last", "'last' is not a job's id; expected a UUID"),
        (3, "run=3; expected what run_jobs returned"),
    ],
    ids=["unknown", "no id", "number"],
)
@pytest.mark.usefixtures("memory_workspace")
def test_run_that_is_none_says_so(run: Any, message: str) -> None:
    with pytest.raises(fk.InvalidArgumentError, match=message):
        fk.plot_progress(run=run)


# Both

both = pytest.mark.parametrize("plot", ["plot_durations", "plot_progress"])


@both
@pytest.mark.usefixtures("memory_workspace")
def test_ledger_without_finished_jobs_says_so(plot: str) -> None:
    fk.pipeline("p")(lambda _text: None)
    fk.register_jobs(pd.DataFrame({"id": ["a"]}), "p", name="ids")
    ax = drawn(getattr(fk, plot)("p"))
    assert [text.get_text() for text in ax.texts] == ["no finished jobs"]
    assert not ax.get_lines()


@both
@pytest.mark.usefixtures("memory_workspace")
def test_given_axes_are_drawn_on_and_no_figure_is_made(plot: str) -> None:
    add_jobs("p", {"a": 1.0})
    _, (left, right) = plt.subplots(1, 2)
    assert getattr(fk, plot)(ax=right) is right
    assert plt.get_fignums() == [1]
    assert right.get_lines()
    assert not left.get_lines()


@both
@pytest.mark.usefixtures("memory_workspace")
def test_wrong_arguments_are_errors_of_ours_and_leave_no_figure(plot: str) -> None:
    add_jobs("p", {"a": 1.0})
    draw = getattr(fk, plot)
    with pytest.raises(fk.InvalidArgumentError, match=r"ax=3; expected matplotlib's Axes"):
        draw(ax=3)
    with pytest.raises(fk.PipelineError, match="no pipeline 'q'"):
        draw("q")
    with pytest.raises(fk.SourceError, match="no source is named 'nowhere'"):
        draw(source="nowhere")
    assert not plt.get_fignums()


@both
@pytest.mark.usefixtures("memory_workspace")
def test_without_matplotlib_the_error_names_the_extra(
    plot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(fk.MissingExtraError, match=r"pip install 'foregsyte-kaggle\[plot\]'"):
        getattr(fk, plot)()


def test_naming_the_plots_does_not_load_matplotlib() -> None:
    code = (
        "import sys, foregsyte_kaggle as fk; fk.plot_durations; print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
