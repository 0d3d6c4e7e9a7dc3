"""Getting to know a new user: a few questions, and a ranking after each answer."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.auth import READ
from api.openapi import body, problem_answers, ref
from api.ranking_schemas import OnboardingAnswer, OnboardingRequest
from api.routes.direct import DirectRoute
from api.state import parts_of
from api.wire import answer, check_limit, read_json, validated

router = APIRouter(tags=["ask"], dependencies=READ, route_class=DirectRoute)

REPLIES = [{"item": "film-1", "liked": True}, {"item": "film-7", "liked": None}]


@router.post(
    "/v1/onboarding",
    response_model=OnboardingAnswer,
    responses=problem_answers(400, 401, 413, 415, 422, 503),
    openapi_extra=body(
        ref("OnboardingRequest"),
        {
            "the first questions": {"count": 5},
            "with what is known": {
                "profile": "I like quiet films about the sea.",
                "demographics": {"country": "IE"},
            },
            "after two answers": {"answers": REPLIES, "count": 1},
        },
    ),
)
async def onboarding(request: Request) -> Response:
    """The items whose answers tell most about a new user, and a ranking by the answers so far.

    Nothing is kept: send all answers every time. Ask one item at a time (`count` 1) and each
    question follows from the answers before it.
    """
    parts = parts_of(request)
    limits = parts.settings.limits
    ask = validated(OnboardingRequest, await read_json(request, limits), limits)
    check_limit(ask.limit, parts.settings.api.max_limit)
    return answer(await parts.run(parts.onboarding.onboard, ask))
