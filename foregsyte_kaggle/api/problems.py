"""The one place where errors become answers: a status, and ``{"detail": …}`` that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from foregsyte_kaggle.errors import (
    ForegsyteError,
    LedgerError,
    RunError,
    WorkspaceError,
)

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

__all__ = ["answer_problems", "status_of"]

#: The first that an error is; all others are about what was asked.
STATUSES: dict[type[ForegsyteError], int] = {WorkspaceError: 503, LedgerError: 503, RunError: 409}
#: So many wrong values does an answer name.
SHOWN = 5


def answer_problems(app: FastAPI) -> None:
    """Have an app answer our errors, and requests that do not fit its models."""
    app.add_exception_handler(ForegsyteError, _answer)
    app.add_exception_handler(RequestValidationError, _answer_unfit)


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error of ours."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)


def _answer(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": _clean(str(error))}, status_of(error))


def _answer_unfit(request: Request, error: Exception) -> JSONResponse:
    if request.method == "POST" and "json" not in request.headers.get("content-type", ""):
        detail = "the body is not sent as JSON; add the header 'Content-Type: application/json'"
        return JSONResponse({"detail": detail}, 422)
    # What was sent is not repeated: it may hold what JSON cannot.
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found[:SHOWN]]
    more = f"; and {len(found) - SHOWN:,} more" if found[SHOWN:] else ""
    return JSONResponse({"detail": _clean("; ".join(told)) + more}, 422)


def _clean(text: str) -> str:
    """Return text that can be encoded, whatever was in a request."""
    return text.encode(errors="backslashreplace").decode()
