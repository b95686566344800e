"""A run as HTML: no script, no network, and every value escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from foregsyte_kaggle.notices import counted
from foregsyte_kaggle.widgets.html import style_to_html
from foregsyte_kaggle.widgets.markup import text
from foregsyte_kaggle.widgets.run_state import KINDS, RunState, roughly
from foregsyte_kaggle.widgets.words import duration, moment

__all__ = ["failures_to_html", "note_to_html", "run_to_html", "state_to_html"]


def run_to_html(state: RunState, paths: Mapping[str, str]) -> str:
    """Return a run as a fragment that stands for itself, for a notebook's output.

    Parameters
    ----------
    paths
        The inputs of the jobs that failed last, by id.
    """
    content = _progress(state) + _failures(state, paths)
    if not state.has_ended:
        now = moment(datetime.now(UTC).replace(microsecond=0))
        content += f'<p class="fk-note fk-dim">As of <time>{now}</time> UTC, while it worked</p>'
    return f'<div class="fk-jobs fk-saved fk-run">{style_to_html()}{content}</div>'


def state_to_html(state: RunState) -> str:
    """Return the bar, the numbers and the times, for a place with the style beside it."""
    return f'<div class="fk-jobs fk-page fk-run">{_progress(state)}</div>'


def failures_to_html(state: RunState, paths: Mapping[str, str]) -> str:
    """Return what failed, likewise; nothing where nothing did."""
    failures = _failures(state, paths)
    return f'<div class="fk-jobs fk-page fk-run">{failures}</div>' if failures else ""


def note_to_html(note: str) -> str:
    """Return a line that tells something; nothing for no text."""
    if not note:
        return ""
    return f'<div class="fk-jobs fk-page fk-run"><p class="fk-told" role="status">{text(note)}</p></div>'


def _progress(state: RunState) -> str:
    return f"{_head(state)}{_bar(state)}{_counts(state)}{_facts(state)}"


def _head(state: RunState) -> str:
    said = state.ended or ("stopping…" if state.is_stopping else "working")
    return (
        f'<p class="fk-head"><b>Run of <bdi>{text(state.label)}</bdi></b>'
        f'<span class="fk-ended">{text(said)}</span></p>'
    )


def _bar(state: RunState) -> str:
    shown = {status.value: jobs for status, jobs in state.counts.items() if jobs}
    parts = "".join(
        f'<span class="fk-{name}" style="width: {jobs / state.total:.3%}"></span>'
        for name, jobs in shown.items()
    )
    label = ", ".join(f"{jobs:,} {name}" for name, jobs in shown.items()) or "no jobs"
    return f'<div class="fk-bar" role="img" aria-label="{label}">{parts}</div>'


def _counts(state: RunState) -> str:
    items = "".join(
        f'<li class="fk-badge fk-{status.value}">{status.value} <b>{jobs:,}</b></li>'
        for status, jobs in state.counts.items()
        if jobs or not state.has_ended
    )
    return (
        f'<ul class="fk-counts" aria-label="Jobs by status">{items}'
        f"<li>of {counted(state.total, 'job')}</li></ul>"
    )


def _facts(state: RunState) -> str:
    mean = f"{state.jobs_per_second:,.1f}"
    if state.has_ended:
        facts = {"Took": duration(state.seconds), "Speed": f"{mean} jobs/s"}
    else:
        left = state.seconds_left
        facts = {
            "Speed": f"{state.recent_jobs_per_second:,.1f} jobs/s, {mean} on average",
            "Time left": roughly(left) if left is not None else "not known yet",
            "Workers": f"{state.busy:,} of {state.workers:,} busy",
            "So far": duration(state.seconds),
        }
        if state.limit_left is not None:
            facts["Time limit"] = f"in {roughly(state.limit_left)}".replace("in about", "in")
        if state.session_left is not None:
            facts["Session ends"] = f"in {roughly(state.session_left)}".replace("in about", "in")
    items = "".join(
        f"<div><dt>{name}</dt><dd>{text(said)}</dd></div>" for name, said in facts.items()
    )
    return f'<dl class="fk-facts">{items}</dl>'


def _failures(state: RunState, paths: Mapping[str, str]) -> str:
    if not state.kinds:
        return ""
    kinds = "".join(
        f"<li><b>{number:,} x {text(kind)}</b></li>" for kind, number, _ in state.kinds[:KINDS]
    )
    more = len(state.kinds) - KINDS
    kinds += f"<li>and {counted(more, 'other kind')}</li>" if more > 0 else ""
    kinds += f"<li>{state.retried:,} of them retried</li>" if state.retried else ""
    rows = "".join(
        f'<li><bdi class="fk-path">{text(paths.get(job_id, job_id))}</bdi>'
        f'<div class="fk-error"><b>{text(kind)}</b>{": " if message else ""}'
        f"<bdi>{text(message)}</bdi></div></li>"
        for job_id, kind, message in state.recent
    )
    return (
        f'<ul class="fk-counts fk-kinds" aria-label="Failures by kind">{kinds}</ul>'
        f'<p class="fk-dim fk-note">Last failures</p><ol class="fk-failures">{rows}</ol>'
    )
