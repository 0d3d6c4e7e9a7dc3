"""Every call of the HTTP API as a value: what to send and how to read the answer.

Both clients (sync and async) send these; nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel

from api.schemas import (
    EventsAnswer,
    ForgetReceipt,
    HealthAnswer,
    ItemAnswer,
    ItemsAnswer,
    OnboardingAnswer,
    Problem,
    RankedAnswer,
    ReadyAnswer,
    Receipt,
    State,
    StatusAnswer,
    Target,
    UploadAnswer,
    UserAnswer,
)
from domain.errors import NotFoundError, RejectedError, RetryableError

A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[A]):
    """One request and the type of its answer."""

    method: str
    path: str
    answer: type[A]
    body: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def read(self, status: int, content: bytes) -> A:
        """The answer, or the error that the status and the problem document stand for.

        Raises:
            NotFoundError, RejectedError: the request was wrong; the message names the field.
            RetryableError: the service could not answer now.
        """
        if status < 400 or (status == 503 and self.path == "/readyz"):
            return self.answer.model_validate_json(content)
        raise _error(status, content)


def _error(status: int, content: bytes) -> RejectedError | RetryableError:
    try:
        problem = Problem.model_validate_json(content)
    except ValueError:
        text = content[:200].decode(errors="replace")
        return RetryableError(f"the API answered {status}: {text}")
    field_name, message, remedy = "", problem.detail or problem.title, ""
    if problem.errors:
        first = problem.errors[0]
        field_name, message, remedy = first.field, first.message, first.remedy
        if len(problem.errors) > 1:
            message += f" (and {len(problem.errors) - 1} more)"
    if status >= 500 or status == 429:
        return RetryableError(message, field=field_name, remedy=remedy)
    kind = NotFoundError if status == 404 else RejectedError
    return kind(message, field=field_name, remedy=remedy)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def _given(**values: Any) -> bytes:
    return _json({name: value for name, value in values.items() if value is not None})


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def publish(events: Sequence[Mapping[str, Any]]) -> Call[EventsAnswer]:
    """POST /v1/events with up to 1,000 events, each answered for itself."""
    return Call("POST", "/v1/events", EventsAnswer, _json(list(events)))


def put_item(item: Mapping[str, Any]) -> Call[Receipt]:
    """PUT /v1/items/{id}."""
    return Call("PUT", _path("items", str(item["id"])), Receipt, _json(item))


def get_item(item_id: str) -> Call[ItemAnswer]:
    """GET /v1/items/{id}: the item and how far it has come."""
    return Call("GET", _path("items", item_id), ItemAnswer)


def delete_item(item_id: str) -> Call[Receipt]:
    """DELETE /v1/items/{id}."""
    return Call("DELETE", _path("items", item_id), Receipt)


def list_items(state: State | None, limit: int, after: str | None) -> Call[ItemsAnswer]:
    """GET /v1/items, one page."""
    params = {"limit": str(limit)}
    if state is not None:
        params["state"] = state
    if after is not None:
        params["after"] = after
    return Call("GET", "/v1/items", ItemsAnswer, params=params)


def upload(content: bytes) -> Call[UploadAnswer]:
    """POST /v1/uploads with the raw bytes of one picture or clip."""
    return Call(
        "POST", "/v1/uploads", UploadAnswer, content, content_type="application/octet-stream"
    )


def put_user(user: Mapping[str, Any]) -> Call[Receipt]:
    """PUT /v1/users/{id}."""
    return Call("PUT", _path("users", str(user["id"])), Receipt, _json(user))


def get_user(user_id: str) -> Call[UserAnswer]:
    """GET /v1/users/{id}."""
    return Call("GET", _path("users", user_id), UserAnswer)


def delete_user(user_id: str) -> Call[ForgetReceipt]:
    """DELETE /v1/users/{id}."""
    return Call("DELETE", _path("users", user_id), ForgetReceipt)


def interactions(bodies: Sequence[Mapping[str, Any]]) -> Call[EventsAnswer]:
    """POST /v1/interactions."""
    return Call("POST", "/v1/interactions", EventsAnswer, _json(list(bodies)))


def recommend(
    *,
    user: str | None = None,
    profile: str | None = None,
    interests: Sequence[str] | None = None,
    liked: Sequence[str] | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int = 10,
    exclude_seen: bool | None = None,
    exact: bool | None = None,
    diversity: float | None = None,
    rules: Mapping[str, Any] | None = None,
    explore: float | None = None,
    seed: int | None = None,
    explain: bool | None = None,
) -> Call[RankedAnswer]:
    """POST /v1/recommend."""
    body = _given(
        user=user,
        profile=profile,
        interests=list(interests) if interests is not None else None,
        liked=list(liked) if liked is not None else None,
        filters=filters,
        limit=limit,
        exclude_seen=exclude_seen,
        exact=exact,
        diversity=diversity,
        rules=rules,
        explore=explore,
        seed=seed,
        explain=explain,
    )
    return Call("POST", "/v1/recommend", RankedAnswer, body)


def onboarding(
    *,
    answers: Mapping[str, bool | None] | None = None,
    profile: str | None = None,
    interests: Sequence[str] | None = None,
    demographics: Mapping[str, Any] | None = None,
    count: int = 5,
    filters: Mapping[str, Any] | None = None,
    limit: int = 10,
    exact: bool | None = None,
) -> Call[OnboardingAnswer]:
    """POST /v1/onboarding."""
    body = _given(
        answers=[{"item": item, "liked": liked} for item, liked in (answers or {}).items()],
        profile=profile,
        interests=list(interests) if interests is not None else None,
        demographics=demographics,
        count=count,
        filters=filters,
        limit=limit,
        exact=exact,
    )
    return Call("POST", "/v1/onboarding", OnboardingAnswer, body)


def similar(
    item: str,
    *,
    within: Target = "all",
    filters: Mapping[str, Any] | None = None,
    limit: int = 10,
) -> Call[RankedAnswer]:
    """POST /v1/similar."""
    body = _given(item=item, within=within, filters=filters, limit=limit)
    return Call("POST", "/v1/similar", RankedAnswer, body)


def search(
    *,
    text: str | None = None,
    image: str | None = None,
    audio: str | None = None,
    within: Target = "all",
    filters: Mapping[str, Any] | None = None,
    limit: int = 10,
) -> Call[RankedAnswer]:
    """POST /v1/search: by words, or by a picture or clip as upload:SHA256 or base64."""
    given = {"text": text, "image": image, "audio": audio, "in": within}
    return Call("POST", "/v1/search", RankedAnswer, _given(**given, filters=filters, limit=limit))


def status() -> Call[StatusAnswer]:
    """GET /v1/status."""
    return Call("GET", "/v1/status", StatusAnswer)


def healthy() -> Call[HealthAnswer]:
    """GET /healthz."""
    return Call("GET", "/healthz", HealthAnswer)


def ready() -> Call[ReadyAnswer]:
    """GET /readyz; a service that is not ready answers too, saying which check failed."""
    return Call("GET", "/readyz", ReadyAnswer)
