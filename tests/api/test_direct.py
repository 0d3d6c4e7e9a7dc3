"""Routes that are called as they are."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import APIRouter, Depends, Request, Response

from api.routes.direct import DirectRoute


async def refuse(request: Request) -> None:
    raise PermissionError(request.url.path)


async def answer(request: Request) -> Response:
    return Response(request.method)


def request_to(path: str) -> Request:
    return Request({"type": "http", "method": "POST", "path": path, "headers": []})


def test_the_dependencies_are_asked_before_the_endpoint() -> None:
    open_route = DirectRoute("/open", answer, methods=["POST"])
    locked = DirectRoute("/locked", answer, methods=["POST"], dependencies=[Depends(refuse)])
    answered = asyncio.run(open_route.get_route_handler()(request_to("/open")))
    assert answered.body == b"POST"
    with pytest.raises(PermissionError, match="/locked"):
        asyncio.run(locked.get_route_handler()(request_to("/locked")))


def test_an_endpoint_that_wants_more_than_the_request_is_refused_when_it_is_declared() -> None:
    router = APIRouter(route_class=DirectRoute)

    async def item(request: Request, item_id: str) -> Response:
        return Response(item_id)

    with pytest.raises(TypeError, match="item_id"):
        router.get("/items/{item_id}")(item)
