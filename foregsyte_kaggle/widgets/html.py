"""A page of jobs as HTML: no script, no network, and every value escaped."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from foregsyte_kaggle.widgets.cells import HEADINGS, badge, path_to_html, took
from foregsyte_kaggle.widgets.markup import in_time, preformatted, text
from foregsyte_kaggle.widgets.page import JobPage, JobRow
from foregsyte_kaggle.widgets.words import cut, duration, moment

__all__ = [
    "caption_to_html",
    "message_to_html",
    "page_to_document",
    "page_to_html",
    "style_to_html",
]

#: Characters of an error that its line shows before it is unfolded.
SUMMARY_CHARACTERS = 140


def page_to_html(page: JobPage) -> str:
    """Return a page as a fragment that stands for itself, with times that stay true when it is read next year."""
    content = _counts(page) + _table(page) + _as_of(page)
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
        f"<title>{text(_caption(page))}</title>\n</head>\n"
        f'<body class="fk-document">\n{page_to_html(page)}\n</body>\n</html>\n'
    )


def message_to_html(message: str, details: str = "", *, alert: bool = True) -> str:
    """Return a message with details to unfold; nothing for no message.

    Parameters
    ----------
    alert
        Whether something went wrong.
    """
    if not message:
        return ""
    folded = f"<details><summary>Details</summary>{preformatted(details)}</details>"
    kind = 'class="fk-alert" role="alert"' if alert else 'class="fk-said" role="status"'
    return f'<div class="fk-jobs fk-page"><div {kind}>{text(message)}{folded if details else ""}</div></div>'


def caption_to_html(page: JobPage) -> str:
    """Return which rows a live table shows, or why none."""
    shown = _caption(page) if page.rows else _why_empty(page)
    as_of = in_time(page.asked_at, f"{page.asked_at:%H:%M:%S}")
    return (
        '<div class="fk-jobs fk-page"><div class="fk-caption">'
        f'<span class="fk-range" role="status">{text(shown)}</span> · as of {as_of} UTC</div></div>'
    )


@cache
def style_to_html() -> str:
    """Return the style of all fragments; one element of it on a page is enough."""
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    return "<style>" + "\n".join(filter(None, map(str.strip, style.splitlines()))) + "</style>"


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


def _table(page: JobPage) -> str:
    if not page.rows:
        return f'<p class="fk-empty">{text(_why_empty(page))}</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADINGS.values())
    mixed = len({row.source for row in page.rows}) > 1
    body = "".join(_row(page, row, mixed=mixed) for row in page.rows)
    return (
        '<div class="fk-scroll" role="region" tabindex="0" aria-label="Table of jobs"><table>'
        f"<caption>{text(_caption(page))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(page: JobPage, row: JobRow, *, mixed: bool) -> str:
    error = _error(row)
    source = ""
    if mixed and row.source:
        source = f' <bdi class="fk-dim fk-source">in {text(row.source)}</bdi>'
    rows = ' rowspan="2"' if error else ""
    cells = (
        f"<td{rows}>{badge(row)}</td>"
        f'<th scope="row" class="fk-path">{path_to_html(row)}{source}</th>'
        f'<td class="fk-name"><bdi>{text(row.pipeline_id).replace("_", "_<wbr>")}</bdi></td>'
        f'<td class="fk-number">{row.attempts:,}</td>'
        f'<td class="fk-number">{duration(took(page, row))}</td>'
        f'<td class="fk-time">{in_time(row.updated_at, moment(row.updated_at, "minutes"))}</td>'
    )
    below = (
        f'<tr class="fk-why"><td colspan="{len(HEADINGS) - 1}">{error}</td></tr>' if error else ""
    )
    return f"<tr>{cells}</tr>{below}"


def _error(row: JobRow) -> str:
    message = row.error_message or ""
    if not message and not row.error_type:
        return ""
    first = cut(message, SUMMARY_CHARACTERS)
    kind = f"<b>{text(row.error_type)}</b>{': ' if first else ''}" if row.error_type else ""
    line = f"{kind}<bdi>{text(first)}</bdi>"
    if first == message.strip() and row.error_length <= len(message):
        return f'<div class="fk-error">{line}</div>'
    note = ""
    if row.error_length > len(message):
        note = (
            f'<p class="fk-dim">The first {len(message):,} of {row.error_length:,} characters;'
            " jobs_frame() has all of them.</p>"
        )
    return f'<details class="fk-error"><summary>{line}</summary>{preformatted(message)}{note}</details>'


def _as_of(page: JobPage) -> str:
    when = page.asked_at.replace(microsecond=0)
    return f'<p class="fk-note fk-dim">As of {in_time(when, moment(when))} UTC</p>'


def _why_empty(page: JobPage) -> str:
    filtered = page.query.describe()
    if filtered:
        return f"No jobs: {filtered}."
    return "No jobs yet: register_jobs(source, pipeline_id) adds one for each input."
