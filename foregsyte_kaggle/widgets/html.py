"""A page of jobs as HTML: no script, no network, and every value escaped."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.markup import preformatted as _preformatted
from foregsyte_kaggle.widgets.markup import text as _text
from foregsyte_kaggle.widgets.page import JobPage, JobRow
from foregsyte_kaggle.widgets.words import ago, cut, duration, moment

__all__ = ["message_to_html", "page_to_document", "page_to_html", "style_to_html"]

COLUMNS = ("Status", "Input", "Pipeline", "Attempts", "Took", "Changed")

#: What stands below the status of a job that was completed by other code than that registered now.
OUTDATED = (
    '<div class="fk-dim fk-outdated" title="Made by older code; retry_jobs(outdated=True) redoes it">'
    "older code</div>"
)

#: Characters of an error that its line shows before it is unfolded.
SUMMARY_CHARACTERS = 140


def page_to_html(page: JobPage, *, live: bool = False) -> str:
    """Return a page as a fragment for a notebook's output.

    Parameters
    ----------
    live
        True between controls that show the counts, with the style beside it: times are then told from now.
        Else the fragment stands for itself, with times that stay true when it is read next year.
    """
    if live:
        return f'<div class="fk-jobs fk-page">{_table(page, live=True)}</div>'
    content = _counts(page) + _table(page, live=False) + _as_of(page)
    return f'<div class="fk-jobs fk-saved">{style_to_html()}{content}</div>'


def page_to_document(page: JobPage) -> str:
    """Return a page as a whole HTML file that needs nothing beside it."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Nothing of a row can load or run even if an escape were missing.
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_text(_caption(page))}</title>\n</head>\n"
        f'<body class="fk-document">\n{page_to_html(page)}\n</body>\n</html>\n'
    )


def message_to_html(message: str, details: str = "") -> str:
    """Return what went wrong as an alert with details to unfold; nothing for no message."""
    if not message:
        return ""
    folded = f"<details><summary>Details</summary>{_preformatted(details)}</details>"
    return (
        f'<div class="fk-jobs fk-page"><div class="fk-alert" role="alert">{_text(message)}'
        f"{folded if details else ''}</div></div>"
    )


@cache
def style_to_html() -> str:
    """Return the style of all fragments; one element of it on a page is enough."""
    text = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return "<style>" + "\n".join(filter(None, map(str.strip, text.splitlines()))) + "</style>"


def _counts(page: JobPage) -> str:
    items = [f"<li><b>{page.total:,}</b> {'job' if page.total == 1 else 'jobs'}</li>"]
    items += [
        f'<li class="fk-badge fk-{status.value}">{status.value} <b>{jobs:,}</b></li>'
        for status, jobs in page.counts.items()
        if jobs
    ]
    return f'<ul class="fk-counts" aria-label="Jobs by status">{"".join(items)}</ul>'


def _caption(page: JobPage) -> str:
    filtered = page.query.describe()
    shown = f"Jobs {page.first:,} to {page.last:,} of {page.matching:,}" if page.rows else "No jobs"
    return f"{shown}: {filtered}" if filtered else shown


def _table(page: JobPage, *, live: bool) -> str:
    if not page.rows:
        return f'<p class="fk-empty">{_text(_why_empty(page))}</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    mixed = len({row.source for row in page.rows}) > 1
    body = "".join(_row(page, row, live=live, mixed=mixed) for row in page.rows)
    return (
        '<div class="fk-scroll" role="region" tabindex="0" aria-label="Table of jobs"><table>'
        f"<caption>{_text(_caption(page))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(page: JobPage, row: JobRow, *, live: bool, mixed: bool) -> str:
    error = _error(row)
    took = row.duration_seconds
    if row.status is JobStatus.running and row.started_at is not None:
        took = (page.asked_at - row.started_at).total_seconds()
    source = ""
    if mixed and row.source:
        source = f' <bdi class="fk-dim fk-source">in {_text(row.source)}</bdi>'
    folder, slash, name = row.input_path.rpartition("/")
    rows = ' rowspan="2"' if error else ""
    cells = (
        f"<td{rows}>{_badge(row)}</td>"
        f'<th scope="row" class="fk-path"><bdi><span class="fk-dim">{_text(folder + slash)}</span>'
        f"{_text(name)}</bdi>{source}</th>"
        f'<td class="fk-name"><bdi>{_text(row.pipeline_id).replace("_", "_<wbr>")}</bdi></td>'
        f'<td class="fk-number">{row.attempts:,}</td>'
        f'<td class="fk-number">{duration(took)}</td>'
        f'<td class="fk-time">{_time(page, row, live=live)}</td>'
    )
    below = (
        f'<tr class="fk-why"><td colspan="{len(COLUMNS) - 1}">{error}</td></tr>' if error else ""
    )
    return f"<tr>{cells}</tr>{below}"


def _badge(row: JobRow) -> str:
    label = row.status.value
    if row.status is JobStatus.running and row.progress is not None:
        label += f" {min(max(row.progress, 0.0), 1.0):.0%}"
    mark = OUTDATED if row.outdated else ""
    return f'<span class="fk-badge fk-{row.status.value}">{label}</span>{mark}'


def _time(page: JobPage, row: JobRow, *, live: bool) -> str:
    full = moment(row.updated_at)
    shown = ago(row.updated_at, page.asked_at) if live else moment(row.updated_at, "minutes")
    return f'<time datetime="{full.replace(" ", "T")}Z" title="{full} UTC">{shown}</time>'


def _error(row: JobRow) -> str:
    message = row.error_message or ""
    if not message and not row.error_type:
        return ""
    first = cut(message, SUMMARY_CHARACTERS)
    kind = f"<b>{_text(row.error_type)}</b>{': ' if first else ''}" if row.error_type else ""
    line = f"{kind}<bdi>{_text(first)}</bdi>"
    if first == message.strip() and row.error_length <= len(message):
        return f'<div class="fk-error">{line}</div>'
    note = ""
    if row.error_length > len(message):
        note = (
            f'<p class="fk-dim">The first {len(message):,} of {row.error_length:,} characters;'
            " jobs_frame() has all of them.</p>"
        )
    return f'<details class="fk-error"><summary>{line}</summary>{_preformatted(message)}{note}</details>'


def _as_of(page: JobPage) -> str:
    full = moment(page.asked_at.replace(microsecond=0))
    return (
        '<p class="fk-note fk-dim">As of '
        f'<time datetime="{full.replace(" ", "T")}Z">{full}</time> UTC</p>'
    )


def _why_empty(page: JobPage) -> str:
    filtered = page.query.describe()
    if filtered:
        return f"No jobs: {filtered}."
    return "No jobs yet: register_jobs(source, pipeline_id) adds one for each input."
