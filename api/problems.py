"""Every error as RFC 9457 problem details, naming the field and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from domain.errors import (
    FirstlightError,
    NotFoundError,
    RejectedError,
    RetryableError,
)
from domain.events import REMEDIES, FieldProblem, problems_of
from domain.log import logger

log = logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2

TITLES = {
    "malformed": "The body is not JSON",
    "unauthorized": "A key is needed",
    "forbidden": "The key may not do this",
    "not-found": "There is no such thing",
    "method": "The method does not fit the path",
    "conflict": "The item is not in a state for this",
    "too-large": "The body is too large",
    "media-type": "The body's type is not read here",
    "invalid": "The request is not valid",
    "unavailable": "Try again later",
    "internal": "A fault of the service",
}
BY_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method",
    413: "too-large",
}
NAMED = re.compile(r"([a-z_]+): (.+)", re.DOTALL)
FIX_IT = "correct it and send it again"


def printable(text: str) -> str:
    """Text that can be encoded: what a caller sent may hold lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def field_error(field: str, message: str, remedy: str = "") -> dict[str, str]:
    """One entry of a problem's `errors`."""
    return {"field": printable(field), "message": printable(message), "remedy": printable(remedy)}


def from_field_problem(problem: FieldProblem, prefix: str = "") -> dict[str, str]:
    """A domain's field problem, its message split where the remedy begins."""
    field, message = problem.field.removeprefix(prefix), problem.message
    named = NAMED.match(message)
    if named:
        # A model's own check cannot place itself; it begins with the field's name instead.
        field, message = f"{field}.{named[1]}" if field else named[1], named[2]
    message, _, remedy = message.partition("; ")
    return field_error(field, message, remedy or FIX_IT)


def errors_of(error: ValidationError) -> list[dict[str, str]]:
    """Every problem of a request, with a remedy."""
    found = []
    for problem in problems_of(error):
        where = "" if problem.field == "event" else problem.field
        one = from_field_problem(replace(problem, field=where))
        one["field"] = one["field"] or "body"
        found.append(one)
    return found


class ProblemError(Exception):
    """A problem to be answered with, status and all."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        field: str = "",
        remedy: str = "",
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
        if field and not self.errors:
            self.errors = [field_error(field, detail, remedy)]
        self.headers = dict(headers or {})
        super().__init__(detail)


def invalid(error: ValidationError) -> ProblemError:
    """422 with every wrong field of a request."""
    return invalid_fields(errors_of(error))


def invalid_fields(errors: Sequence[Mapping[str, str]]) -> ProblemError:
    """422 with these fields; the detail says the first."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first['field']}: {first['message']}{more}"
    return ProblemError(422, "invalid", detail, errors=errors)


def from_error(error: FirstlightError) -> ProblemError:
    """The problem that stands for one of the project's errors, by its kind."""
    if isinstance(error, NotFoundError):
        status, kind = 404, "not-found"
    elif isinstance(error, RetryableError):
        status, kind = 503, "unavailable"
    else:
        status, kind = 422, "invalid"
    return ProblemError(
        status,
        kind,
        str(error),
        errors=[field_error(error.field, error.message, error.remedy)],
        headers={"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None,
    )


def respond(request: Request, problem: ProblemError) -> Response:
    """The answer for a problem."""
    body = {
        "type": f"urn:firstlight:problem:{problem.kind}",
        "title": TITLES[problem.kind],
        "status": problem.status,
        "detail": printable(problem.detail),
        "instance": printable(request.url.path),
        "errors": problem.errors,
    }
    return Response(
        orjson.dumps(body),
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return respond(request, error)


async def _on_firstlight(request: Request, error: Exception) -> Response:
    assert isinstance(error, FirstlightError)
    if not isinstance(error, RejectedError):
        log.warning("request failed", path=printable(request.url.path), error=str(error))
    return respond(request, from_error(error))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    kind = BY_STATUS.get(status, "invalid" if status < 500 else "internal")
    detail, remedy = str(error.detail), "see /docs for what there is"
    if status == 404:
        detail = f"there is nothing at {request.url.path}"
    elif status == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{request.method} is not possible at {request.url.path}"
        remedy = f"use {allowed}"
    problem = ProblemError(
        status, kind, detail, field="request", remedy=remedy, headers=error.headers
    )
    return respond(request, problem)


async def _on_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = []
    for entry in error.errors():
        where = [str(part) for part in entry["loc"][1:]] or [str(entry["loc"][0])]
        message, _, remedy = str(entry["msg"]).removeprefix("Value error, ").partition("; ")
        remedy = remedy or REMEDIES.get(entry["type"], FIX_IT)
        errors.append(field_error(".".join(where), message, remedy))
    return respond(request, invalid_fields(errors))


async def _on_anything(request: Request, error: Exception) -> Response:
    log.error("fault", path=printable(request.url.path), kind=type(error).__name__)
    problem = ProblemError(
        500,
        "internal",
        f"an unexpected {type(error).__name__}; the log says more",
        field="request",
        remedy="report it with the log line",
    )
    return respond(request, problem)


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(FirstlightError, _on_firstlight)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_query)
    app.add_exception_handler(HTTPStatus.INTERNAL_SERVER_ERROR, _on_anything)
