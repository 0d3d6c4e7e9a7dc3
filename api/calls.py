"""Every call of the HTTP API as a value: what to send and how to read the answer.

Both clients (sync and async) have a method of the same name, arguments and docstring for each call,
and send it; nothing here does I/O.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel

from api.ranking_schemas import OnboardingAnswer, RankedAnswer, Target
from api.schemas import (
    EventsAnswer,
    ForgetReceipt,
    HealthAnswer,
    ItemAnswer,
    ItemsAnswer,
    Problem,
    ReadyAnswer,
    Receipt,
    State,
    StatusAnswer,
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


def _json(value: Any, field_name: str = "") -> bytes:
    """JSON in which NaN and lone surrogates are kept, for the API to refuse by their field.

    Raises:
        RejectedError: a value that JSON has no form for.
    """
    try:
        body = orjson.dumps(value, option=orjson.OPT_UTC_Z)
        # orjson writes NaN as null, as if nothing had been given.
        if b"null" not in body or not _has_unwritten(value):
            return body
    except TypeError:
        pass  # the slower encoder takes more, or it is told below which field it is
    try:
        return json.dumps(_plain(value, field_name)).encode()
    except (RecursionError, ValueError) as error:
        raise RejectedError(
            f"cannot be written as JSON: {error}", field=field_name, remedy="send flat objects"
        ) from None


def _has_unwritten(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_unwritten, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_unwritten, value))
    return isinstance(value, float) and not math.isfinite(value)


def _plain(value: Any, field_name: str) -> Any:
    """A value as `json.dumps` takes it. Raises RejectedError naming the field it does not."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise RejectedError(f"{key!r} is no name", field=field_name, remedy="name by text")
        return {key: _plain(one, f"{field_name}.{key}".lstrip(".")) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, f"{field_name}.{n}".lstrip(".")) for n, one in enumerate(value)]
    if value is None or isinstance(value, str | int | float):
        return value
    try:
        return orjson.loads(orjson.dumps(value, option=orjson.OPT_UTC_Z))
    except TypeError:
        raise RejectedError(
            f"a {type(value).__name__} has no form in JSON",
            field=field_name,
            remedy="give text, a number, true or false, a time, a list or an object",
        ) from None


def _given(**values: Any) -> bytes:
    return _json({name: value for name, value in values.items() if value is not None})


def _path(kind: str, subject: str) -> str:
    return f"/v1/{kind}/{quote(_encodable(subject, 'id'), safe='')}"


def _encodable(text: str, field_name: str) -> str:
    """Text that can stand in a URL. Raises RejectedError where it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RejectedError(
            f"{text!r} holds a lone surrogate", field=field_name, remedy="send valid Unicode"
        ) from None
    return text


def _id_of(body: Mapping[str, Any]) -> str:
    if "id" not in body:
        raise RejectedError("missing", field="id", remedy='name it, such as {"id": "owl-guide"}')
    return str(body["id"])


def publish(events: Sequence[Mapping[str, Any]]) -> Call[EventsAnswer]:
    """POST /v1/events with up to 1,000 events, each answered for itself."""
    return Call("POST", "/v1/events", EventsAnswer, _json(list(events), "events"))


def publish_in_batches(
    events: Sequence[Mapping[str, Any]], size: int
) -> Iterator[Call[EventsAnswer]]:
    """Events in requests of at most `size`."""
    for start in range(0, len(events), size):
        yield publish(events[start : start + size])


def put_item(item: Mapping[str, Any]) -> Call[Receipt]:
    """Publish one item; without a version it gets the next one. PUT /v1/items/{id}."""
    return Call("PUT", _path("items", _id_of(item)), Receipt, _json(item))


def item(item_id: str) -> Call[ItemAnswer]:
    """An item and how far it has come. GET /v1/items/{id}."""
    return Call("GET", _path("items", item_id), ItemAnswer)


def _up_to(version: int | str | None) -> dict[str, str]:
    return {} if version is None else {"version": _encodable(str(version), "version")}


def delete_item(item_id: str, *, version: int | str | None = None) -> Call[Receipt]:
    """Delete an item; it comes back only with a newer version. DELETE /v1/items/{id}."""
    return Call("DELETE", _path("items", item_id), Receipt, params=_up_to(version))


def items(
    *, state: State | None = None, limit: int = 100, after: str | None = None
) -> Call[ItemsAnswer]:
    """One page of items by id; give `next` as `after` for the following page. GET /v1/items."""
    params = {"limit": str(limit)}
    if state is not None:
        params["state"] = state
    if after is not None:
        params["after"] = _encodable(after, "after")
    return Call("GET", "/v1/items", ItemsAnswer, params=params)


def upload(content: bytes) -> Call[UploadAnswer]:
    """Store one picture or clip; `reference` goes into an item's media. POST /v1/uploads."""
    return Call(
        "POST", "/v1/uploads", UploadAnswer, content, content_type="application/octet-stream"
    )


def put_user(user: Mapping[str, Any]) -> Call[Receipt]:
    """Publish one user's profile. PUT /v1/users/{id}."""
    return Call("PUT", _path("users", _id_of(user)), Receipt, _json(user))


def user(user_id: str) -> Call[UserAnswer]:
    """A user's profile as published. GET /v1/users/{id}."""
    return Call("GET", _path("users", user_id), UserAnswer)


def delete_user(user_id: str, *, version: int | str | None = None) -> Call[ForgetReceipt]:
    """Forget a user; `removed` tells what there was. DELETE /v1/users/{id}."""
    return Call("DELETE", _path("users", user_id), ForgetReceipt, params=_up_to(version))


def interactions(bodies: Sequence[Mapping[str, Any]]) -> Call[EventsAnswer]:
    """Record interactions; one with an `id` counts once however often it is sent.

    POST /v1/interactions.
    """
    return Call("POST", "/v1/interactions", EventsAnswer, _json(list(bodies), "interactions"))


def recommend(
    *,
    user: str | None = None,
    profile: str | None = None,
    interests: Sequence[str] | None = None,
    demographics: Mapping[str, Any] | None = None,
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
    """Items for a stored user, a sentence, liked items, or any mix; best first. POST /v1/recommend.

    Args:
        diversity: strength of MMR, 0 to 1.
        rules: exclude, pin, boost, bury, at_most and freshness, as in docs/api.md.
        explore: share of the results that tries what is unsure, 0 to 1.
        seed: makes what explores the same each time.
        explain: whether each result tells in full what made up its score.
    """
    body = _given(
        user=user,
        profile=profile,
        interests=list(interests) if interests is not None else None,
        demographics=demographics,
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
    """What to ask a new user next, and the ranking by the answers so far. POST /v1/onboarding.

    Args:
        answers: {item id: liked (True), not (False), or not known (None)}, all so far.
    """
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
    exact: bool | None = None,
) -> Call[RankedAnswer]:
    """Items like one item, in one modality or all of them fused. POST /v1/similar."""
    body = _given(item=item, within=within, filters=filters, limit=limit, exact=exact)
    return Call("POST", "/v1/similar", RankedAnswer, body)


def search(
    *,
    text: str | None = None,
    image: str | None = None,
    audio: str | None = None,
    within: Target = "all",
    filters: Mapping[str, Any] | None = None,
    limit: int = 10,
    exact: bool | None = None,
) -> Call[RankedAnswer]:
    """Items by words, or by a picture or clip given as upload:SHA256 or base64. POST /v1/search."""
    example = {"text": text, "image": image, "audio": audio, "in": within}
    body = _given(**example, filters=filters, limit=limit, exact=exact)
    return Call("POST", "/v1/search", RankedAnswer, body)


def status() -> Call[StatusAnswer]:
    """Counts by state, queues, collection, models. GET /v1/status."""
    return Call("GET", "/v1/status", StatusAnswer)


def healthy() -> Call[HealthAnswer]:
    """Whether the API process lives. GET /healthz."""
    return Call("GET", "/healthz", HealthAnswer)


def ready() -> Call[ReadyAnswer]:
    """Whether a ranking could be answered now; each check with its time, also when one failed.

    GET /readyz.
    """
    return Call("GET", "/readyz", ReadyAnswer)
