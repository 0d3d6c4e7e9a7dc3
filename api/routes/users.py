"""One user: publish the profile, read it, forget it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.accepting import one_answer, receipts_of
from api.auth import READ, WRITE
from api.openapi import body, problem_answers, ref
from api.routes.items import at, delete, no_such, with_id
from api.schemas import ForgetReceipt, Receipt, UserAnswer
from api.state import parts_of
from api.wire import answer, read_json

router = APIRouter(tags=["users"])

USER = {
    "profile": "I like slow films about people at sea, and anything with a lighthouse.",
    "interests": ["sailing", "folk music"],
    "demographics": {"country": "IE"},
}


@router.put(
    "/v1/users/{user_id:path}",
    status_code=202,
    dependencies=WRITE,
    response_model=Receipt,
    responses=problem_answers(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=body(ref("User"), {"a user": USER}),
)
async def put_user(request: Request, user_id: str) -> Response:
    """Publish a user's profile, whole. `id` may be left out of the body."""
    raw = await read_json(request, parts_of(request).settings.limits)
    event = {"type": "user.updated", "data": with_id(raw, user_id)}
    return one_answer((await receipts_of(request, [event], "data."))[0])


@router.get(
    "/v1/users/{user_id:path}",
    dependencies=READ,
    response_model=UserAnswer,
    responses=problem_answers(401, 404, 503),
)
async def get_user(request: Request, user_id: str) -> Response:
    """A user's profile as published."""
    parts = parts_of(request)
    record = await parts.run(parts.catalog.user, user_id)
    if record is None or record.user is None:
        raise no_such("user", user_id)
    return answer(
        UserAnswer(
            id=record.id,
            version=record.version,
            user=record.user,
            updated_at=at(record.updated_at),
        )
    )


@router.delete(
    "/v1/users/{user_id:path}",
    status_code=202,
    dependencies=WRITE,
    response_model=ForgetReceipt,
    responses=problem_answers(401, 403, 404, 422, 503),
)
async def delete_user(
    request: Request,
    user_id: str,
    version: Annotated[
        str | None, Query(description="Delete up to this version; the next one if left out.")
    ] = None,
) -> Response:
    """Forget a user: profile, interactions, and all that was made of them.

    `removed` says what there was. Deleting again is no error and finds nothing left.
    """
    return await delete(request, "user", user_id, version)
