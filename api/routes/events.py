"""Publishing: events of any kind, and interactions on their own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.accepting import many_answer, receipts_of
from api.auth import WRITE
from api.openapi import body, problem_answers, ref
from api.problems import ProblemError, invalid_fields
from api.routes.direct import DirectRoute
from api.schemas import EventsAnswer
from api.state import parts_of
from api.wire import read_json

router = APIRouter(tags=["publish"], dependencies=WRITE, route_class=DirectRoute)

ITEM_EVENT = {
    "type": "item.created",
    "data": {
        "id": "film-1",
        "version": 1,
        "title": "The Lighthouse Keeper",
        "description": "A keeper and his daughter wait out a winter of storms.",
        "tags": ["drama", "sea"],
        "attributes": {"genre": ["drama"], "year": 2026},
        "media": {"images": ["https://example.org/poster.jpg"]},
    },
}
BAD_EVENT = {"type": "item.created", "data": {"id": "film-2"}}
INTERACTION = {"user": "ada", "item": "film-1", "kind": "like", "id": "click-8731"}
PROBLEMS = problem_answers(400, 401, 403, 413, 415, 422, 503)
one_or_many = {"anyOf": [ref("Event"), {"type": "array", "items": ref("Event"), "minItems": 1}]}


@router.post(
    "/v1/events",
    status_code=202,
    response_model=EventsAnswer,
    responses=PROBLEMS,
    openapi_extra=body(
        one_or_many, {"one": ITEM_EVENT, "several, one of them wrong": [ITEM_EVENT, BAD_EVENT]}
    ),
)
async def post_events(request: Request) -> Response:
    """Publish one event or a list of them.

    A list is answered with 202 and every event's own outcome: a wrong event harms no neighbour.
    A single event that is wrong is answered with 422.
    """
    raw = await read_json(request, parts_of(request).settings.limits)
    return await _publish(request, raw, "events")


@router.post(
    "/v1/interactions",
    status_code=202,
    response_model=EventsAnswer,
    responses=PROBLEMS,
    openapi_extra=body(
        {"anyOf": [ref("InteractionBody"), {"type": "array", "items": ref("InteractionBody")}]},
        {"one": INTERACTION, "several": [INTERACTION, {"user": "ada", "item": "film-7"}]},
    ),
)
async def post_interactions(request: Request) -> Response:
    """Record one interaction or a list. One with an `id` counts once however often it is sent."""
    raw = await read_json(request, parts_of(request).settings.limits)
    wrapped = [_wrapped(one) for one in raw] if isinstance(raw, list) else _wrapped(raw)
    return await _publish(request, wrapped, "interactions", "data.")


def _wrapped(raw: Any) -> Any:
    if not isinstance(raw, dict):
        return {"type": "interaction", "data": raw}
    data = {name: value for name, value in raw.items() if name != "id"}
    event = {"type": "interaction", "data": data}
    return event | {"id": raw["id"]} if "id" in raw else event


async def _publish(request: Request, raw: Any, name: str, prefix: str = "") -> Response:
    if not isinstance(raw, list):
        receipts = await receipts_of(request, [raw], prefix)
        if receipts[0].status == "rejected":
            raise invalid_fields([error.model_dump() for error in receipts[0].errors])
        return many_answer(receipts)
    most = parts_of(request).settings.limits.request_events
    if not 1 <= len(raw) <= most:
        raise ProblemError(
            422,
            "invalid",
            f"{len(raw)} {name} in one request",
            field=name,
            remedy=f"send 1 to {most} (the most is FIRSTLIGHT_LIMITS_REQUEST_EVENTS)",
        )
    return many_answer(await receipts_of(request, raw, prefix))
