"""The details of a job as HTML: no script, no address but pictures in base 64, and every value escaped."""

from __future__ import annotations

import json
import re
from datetime import datetime

from foregsyte_kaggle.identity import decode_path
from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.previews import Preview, in_bytes
from foregsyte_kaggle.widgets.job_details import AttemptDetails, Cut, JobDetails
from foregsyte_kaggle.widgets.markup import in_time, preformatted, text
from foregsyte_kaggle.widgets.words import ago, cut, duration

__all__ = ["details_to_html"]

#: Characters of an error that its line shows before it is unfolded.
SUMMARY_CHARACTERS = 140
NAME_CHARACTERS = 500

#: The status whose colour an outcome has; failed for all others.
HUES = {"completed": "completed", "running": "running", "interrupted": "pending"}

_is_picture = re.compile(r"data:image/(jpeg|png|gif|webp);base64,[A-Za-z0-9+/]+={0,2}").fullmatch


def details_to_html(details: JobDetails, now: datetime) -> str:
    """Return the details as a fragment, to be shown below the style of ``style_to_html``.

    Parameters
    ----------
    details
        As ``load_details`` gave them.
    now
        From which times are told; aware of its zone.
    """
    path = text(decode_path(details.input_path)[:NAME_CHARACTERS])
    sections = (
        f'<div class="fk-beside">{_input(details, path)}<div class="fk-rest">'
        f"{_params(details.params)}{_facts(details, now)}</div></div>"
        f"{_error_of_job(details)}{_result(details)}{_attempts(details, now)}{_files(details)}"
    )
    return (
        f'<div class="fk-jobs fk-page fk-details" role="group" aria-label="Details of {path}">'
        f"{sections}</div>"
    )


def _section(name: str, content: str, note: str = "") -> str:
    said = f'<p class="fk-dim fk-note">{text(note)}</p>' if note else ""
    # No h4: notebooks list an output's headings among their own.
    return (
        f'<section aria-label="{name}"><div class="fk-heading" role="heading" aria-level="4">{name}'
        f"</div>{content}{said}</section>"
    )


def _input(details: JobDetails, path: str) -> str:
    kind = details.input.kind
    wide = " fk-wide" if kind in ("text", "table") else ""
    name = f'<p class="fk-file"><bdi>{path}</bdi></p>'
    shown = _section("Input", name + _preview(details.input, "Preview of the input"))
    return f'<div class="fk-preview{wide}">{shown}</div>'


def _preview(preview: Preview, label: str) -> str:
    content = ""
    if preview.kind == "image" and _is_picture(preview.data_uri):
        content = f'<img src="{preview.data_uri}" alt="{label}">'
    elif preview.kind == "text":
        content = preformatted(preview.text)
    elif preview.kind == "table":
        content = _table(preview.header, preview.rows, label)
    note = f'<p class="fk-dim fk-note">{text(preview.note)}</p>' if preview.note else ""
    return content + note


def _table(header: tuple[str, ...], rows: tuple[tuple[str | None, ...], ...], label: str) -> str:
    head = "".join(f'<th scope="col"><bdi>{text(name)}</bdi></th>' for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="fk-scroll" role="region" tabindex="0" aria-label="{label}"><table class="fk-cells">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: str | None) -> str:
    if value is None:
        return '<td class="fk-dim">NULL</td>'
    return f"<td><bdi>{text(value)}</bdi></td>"


def _params(params: Cut) -> str:
    try:
        values = json.loads(params.shown) if params.length else {}
        pairs = [(name, json.dumps(value, ensure_ascii=False)) for name, value in values.items()]
    except (ValueError, AttributeError, RecursionError):  # cut, or written by hand
        return _section("Params", preformatted(params.shown), _how_much("first", params))
    if not pairs:
        return _section("Params", '<p class="fk-dim">None.</p>')
    listed = "".join(
        f"<dt><bdi>{text(name)}</bdi></dt><dd><code><bdi>{text(value)}</bdi></code></dd>"
        for name, value in pairs
    )
    return _section("Params", f'<dl class="fk-params">{listed}</dl>')


def _facts(details: JobDetails, now: datetime) -> str:
    version = f"<code>{text(details.code_version)}</code>" if details.code_version else ""
    if details.outdated:
        version += ' <span class="fk-dim">older than the code registered now</span>'
    took = None
    if details.started_at is not None and details.finished_at is not None:
        took = (details.finished_at - details.started_at).total_seconds()
    running = details.status is JobStatus.running
    progress = f"{min(max(details.progress, 0.0), 1.0):.0%}" if details.progress is not None else ""
    facts = {
        "Status": details.status.value,
        "Progress": progress if running else "",
        "Pipeline": f"<bdi>{text(details.pipeline_id)}</bdi>",
        "Source": f"<bdi>{text(details.source)}</bdi>",
        "Size": "" if details.input_size is None else in_bytes(details.input_size),
        "Registered": _time(details.created_at, now),
        "Started": _time(details.started_at, now),
        "Took": duration(took),
        "Changed": _time(details.updated_at, now),
        "Interruptions": f"{details.interruptions:,}" if details.interruptions else "",
        "Code": version,
        "Run": f"<code>{text(details.run_id)}</code>" if details.run_id else "",
        "Job": f"<code>{text(details.job_id)}</code>",
    }
    listed = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value
    )
    return _section("Facts", f'<dl class="fk-facts">{listed}</dl>')


def _error_of_job(details: JobDetails) -> str:
    """Return the job's own error, unless its last attempt says the same."""
    latest = details.attempts[0] if details.attempts else None
    same = latest is not None and latest.error == details.error
    error = "" if same else _error(details.error_type, details.error)
    return _section("Error", error) if error else ""


def _error(error_type: str | None, error: Cut) -> str:
    if not error.shown and not error_type:
        return ""
    first = cut(error.shown, SUMMARY_CHARACTERS)
    kind = f"<b>{text(error_type)}</b>{': ' if first else ''}" if error_type else ""
    line = f"{kind}<bdi>{text(first)}</bdi>"
    if first == error.shown.strip() and error.is_whole:
        return f'<div class="fk-error">{line}</div>'
    return _folded(line, error, "first", "fk-error")


def _folded(summary: str, content: Cut, end: str, kind: str, *, unfolded: bool = False) -> str:
    note = _how_much(end, content)
    said = f'<p class="fk-dim fk-note">{note}</p>' if note else ""
    return (
        f'<details class="{kind}"{" open" if unfolded else ""}><summary>{summary}</summary>'
        f"{preformatted(content.shown)}{said}</details>"
    )


def _how_much(end: str, content: Cut) -> str:
    if content.is_whole:
        return ""
    return f"The {end} {len(content.shown):,} of {content.length:,} characters."


def _result(details: JobDetails) -> str:
    shown = details.output
    picture = ""
    if shown is not None:
        content = f'<div class="fk-made">{_preview(shown, "Output of the job")}</div>'
        picture = _section("Output", content)
    found = details.result
    if found is None:
        return picture
    if not found.rows:
        return _section("Result", '<p class="fk-dim">No rows.</p>') + picture
    notes = []
    if len(found.rows) < found.total_rows:
        notes.append(f"{len(found.rows):,} of {found.total_rows:,} rows")
    if len(found.columns) < found.total_columns:
        notes.append(f"{len(found.columns):,} of {found.total_columns:,} columns")
    note = f"The first {' and '.join(notes)}; results_frame() has all of them." if notes else ""
    return _section("Result", _table(found.columns, found.rows, "Result"), note) + picture


def _attempts(details: JobDetails, now: datetime) -> str:
    if not details.attempts:
        return _section("Attempts", '<p class="fk-dim">Not tried yet.</p>')
    failed = details.status is JobStatus.failed
    items = "".join(
        _attempt(details, attempt, now, unfolded=failed and number == 0)
        for number, attempt in enumerate(details.attempts)
    )
    note = ""
    if len(details.attempts) < details.total_attempts:
        note = f"The last {len(details.attempts):,} of {details.total_attempts:,}; attempts_frame() has all of them."
    return _section("Attempts", f'<ul class="fk-attempts">{items}</ul>', note)


def _attempt(details: JobDetails, attempt: AttemptDetails, now: datetime, *, unfolded: bool) -> str:
    took = attempt.duration_seconds
    if attempt.outcome == "running" and attempt.started_at is not None:
        took = (now - attempt.started_at).total_seconds()
    rows = attempt.result_rows
    other = attempt.code_version if attempt.code_version != details.code_version else None
    facts = [
        _time(attempt.finished_at or attempt.started_at, now),
        f"{'for' if attempt.outcome == 'running' else 'took'} {duration(took)}"
        if took is not None
        else "",
        f"worker <bdi>{text(attempt.worker)}</bdi>" if attempt.worker else "",
        f"{rows:,} result row{'' if rows == 1 else 's'}" if rows is not None else "",
        f"code <code>{text(other)}</code>" if other else "",
    ]
    folds = _error(attempt.error_type, attempt.error)
    if attempt.traceback.length:
        folds += _folded("Traceback", attempt.traceback, "last", "fk-fold", unfolded=unfolded)
    if attempt.output.length:
        folds += _folded("Printed output", attempt.output, "last", "fk-fold")
    hue = HUES.get(attempt.outcome, "failed")
    return (
        f'<li><div class="fk-attempt"><b>Attempt {attempt.attempt:,}</b>'
        f' <span class="fk-badge fk-{hue}">{text(attempt.outcome)}</span>'
        f' <span class="fk-dim">{" · ".join(filter(None, facts))}</span></div>{folds}</li>'
    )


def _files(details: JobDetails) -> str:
    if not details.files:
        return ""
    items = "".join(
        f"<li><bdi>{text(file.path[:NAME_CHARACTERS])}</bdi>"
        f' <span class="fk-dim">{"not there now" if file.size is None else in_bytes(file.size)}</span></li>'
        for file in details.files
    )
    note = ""
    if len(details.files) < details.total_files:
        note = f"The first {len(details.files):,} of {details.total_files:,} files."
    return _section("Files", f'<ul class="fk-files">{items}</ul>', note)


def _time(time: datetime | None, now: datetime) -> str:
    return in_time(time, ago(time, now)) if time is not None else ""
