"""A row of the live table as HTML, and what both tables show of a job."""

from __future__ import annotations

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.markup import in_time, text
from foregsyte_kaggle.widgets.page import JobPage, JobRow
from foregsyte_kaggle.widgets.words import ago, cut, duration

__all__ = ["HEADINGS", "badge", "path_to_html", "row_to_html", "took"]

#: The columns, by what they are sorted by.
HEADINGS = {
    "status": "Status",
    "input": "Input",
    "pipeline": "Pipeline",
    "attempts": "Attempts",
    "took": "Took",
    "changed": "Changed",
}
#: Characters of an error beside its path; the details have more.
ERROR_CHARACTERS = 200
OUTDATED = "Made by older code; retry_jobs(outdated=True) redoes it"


def row_to_html(page: JobPage, row: JobRow, *, mixed: bool) -> str:
    """Return one line of cells, in the columns of the headings.

    Parameters
    ----------
    mixed
        Whether to say the source, since jobs of several are on the page.
    """
    error = ": ".join(
        filter(None, (row.error_type, cut(row.error_message or "", ERROR_CHARACTERS)))
    )
    why = (
        f'<span class="fk-why" title="{text(error)}"><bdi>{text(error)}</bdi></span>'
        if error
        else ""
    )
    folder, slash, name = row.input_path.rpartition("/")
    source = (
        f'<span class="fk-dim fk-in"> in <bdi>{text(row.source)}</bdi></span>'
        if mixed and row.source
        else ""
    )
    # Where room is short the folder is cut, and the name last: it tells an input from its neighbours.
    path = (
        f'<bdi class="fk-dim fk-folder">{text(folder + slash)}</bdi>'
        f'<bdi class="fk-file">{text(name)}</bdi>{source}'
    )
    cells = {
        "status": badge(row),
        "input": f'<span class="fk-path" title="{text(row.input_path)}">{path}</span>{why}',
        "pipeline": f"<bdi>{text(row.pipeline_id)}</bdi>",
        "attempts": f"{row.attempts:,}",
        "took": duration(took(page, row)),
        "changed": in_time(row.updated_at, ago(row.updated_at, page.asked_at)),
    }
    # The names are for screen readers, since the headings stand elsewhere.
    return (
        '<div class="fk-jobs fk-page fk-columns" role="group">'
        + "".join(
            f'<div class="fk-cell-{name}"><span class="fk-spoken">{HEADINGS[name]}: </span>{cell}</div>'
            for name, cell in cells.items()
        )
        + "</div>"
    )


def badge(row: JobRow) -> str:
    """Return the status, with a bar inside for a running job that says how far it is."""
    label, style = row.status.value, ""
    if row.status is JobStatus.running and row.progress is not None:
        done = f"{min(max(row.progress, 0.0), 1.0):.0%}"
        label += f" {done}"
        style = f' style="--fk-done: {done}"'
    mark = (
        f' <span class="fk-outdated" role="img" aria-label="older code" title="{OUTDATED}">old</span>'
        if row.outdated
        else ""
    )
    kind = f"fk-badge fk-{row.status.value}{' fk-partly' if style else ''}"
    return f'<span class="{kind}"{style}>{label}</span>{mark}'


def path_to_html(row: JobRow) -> str:
    """Return the input's path, with what tells it from its neighbours standing out."""
    folder, slash, name = row.input_path.rpartition("/")
    return f'<bdi><span class="fk-dim">{text(folder + slash)}</span>{text(name)}</bdi>'


def took(page: JobPage, row: JobRow) -> float | None:
    """Return how many seconds the last try took; for a running job, so far."""
    if row.status is JobStatus.running and row.started_at is not None:
        return (page.asked_at - row.started_at).total_seconds()
    return row.duration_seconds
