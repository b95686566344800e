"""The one page for a browser: the job table by the server, with a form for its filters, following by itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from foregsyte_kaggle.models import JobStatus
from foregsyte_kaggle.widgets.choices import load_choices
from foregsyte_kaggle.widgets.html import page_to_html
from foregsyte_kaggle.widgets.markup import text
from foregsyte_kaggle.widgets.paging import load_page

if TYPE_CHECKING:
    from foregsyte_kaggle.widgets.page import JobPage, PageQuery
    from foregsyte_kaggle.workspace import Workspace

__all__ = ["POLICY", "live_page"]

#: Puts the table of now in the place of the one that is shown, unless somebody reads an error or nobody looks.
SCRIPT = """
const follow = async () => {
  const shown = document.getElementById("jobs"), lost = document.getElementById("lost");
  if (!document.hidden && !shown.querySelector("details[open]")) {
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.getElementById("jobs");
      if (!shown.isEqualNode(now)) shown.replaceWith(now);
      lost.hidden = true;
    } catch { lost.hidden = false; }
  }
  setTimeout(follow, 2000);
};
setTimeout(follow, 2000);
"""
_digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()

#: Nothing of a row can load or run even if an escape were missing: this script alone may.
POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_digest}'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def live_page(workspace: Workspace, query: PageQuery) -> str:
    """Return a page of the job table as a document.

    Raises
    ------
    LedgerError
        If the ledger cannot be read.
    """
    page = load_page(workspace.database, query)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(f'Jobs of {workspace.directory.name}')}</title>\n</head>\n"
        '<body class="fk-document">\n'
        f'<div class="fk-jobs" style="min-height: 0">{_form(workspace, query)}'
        '<p id="lost" class="fk-alert" role="alert" hidden>The kernel does not answer; this is what it said last.'
        "</p></div>\n"
        f'<main id="jobs">{page_to_html(page)}{_pager(page)}</main>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _form(workspace: Workspace, query: PageQuery) -> str:
    known = load_choices(workspace.database)
    status = query.statuses[0].value if query.statuses else None
    return (
        '<form method="get" action="/" role="search">'
        + _select("status", "any status", (one.value for one in JobStatus), status)
        + _select("pipeline_id", "any pipeline", known.pipelines, query.pipeline_id)
        + _select("source", "any source", known.sources, query.source)
        + f'<input type="search" name="search" value="{text(query.search)}" maxlength="500"'
        ' placeholder="path or error" aria-label="Search in paths and errors">'
        ' <button>Show</button> <a href="/">All</a></form>'
    )


def _select(name: str, every: str, values: Iterable[str], chosen: str | None) -> str:
    options = "".join(
        f'<option value="{text(value)}"{" selected" if value == chosen else ""}>{text(value)}</option>'
        for value in values
    )
    return f'<select name="{name}" aria-label="{name}"><option value="">{every}</option>{options}</select> '


def _pager(page: JobPage) -> str:
    number = page.query.number
    links = []
    for wanted, label in ((number - 1, "Before"), (number + 1, "Next")):
        if 1 <= wanted <= page.pages:
            links.append(f'<a href="/?{text(_asked(page.query, wanted))}">{label}</a>')
    return f'<nav class="fk-jobs" style="min-height: 0">{" · ".join(links)}</nav>' if links else ""


def _asked(query: PageQuery, number: int) -> str:
    asked = {
        "status": query.statuses[0].value if query.statuses else "",
        "pipeline_id": query.pipeline_id or "",
        "source": query.source or "",
        "search": query.search,
    }
    return urlencode({name: value for name, value in asked.items() if value} | {"number": number})
