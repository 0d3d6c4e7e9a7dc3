"""The ASGI application: routes, the API key, the bound on bodies."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from index.server.bodies import FULL_QDRANT
from index.server.errors import RefusedError
from index.server.registry import Registry
from index.server.routes_collections import collection_routes
from index.server.routes_points import point_routes
from index.server.routes_search import search_routes
from index.server.wire import registry_of, reply

QDRANT_VERSION = "1.20.0"
"""The version of Qdrant's REST API that is spoken. Clients warn when theirs is more than one minor
version away."""

TITLE = "Firstlight embedded index server (Qdrant's engine)"
OPEN_PATHS = {"/", "/healthz", "/livez", "/readyz"}


async def root(request: Request) -> Response:
    """GET /"""
    del request
    return JSONResponse({"title": TITLE, "version": QDRANT_VERSION})


async def healthy(request: Request) -> Response:
    """GET /healthz, /livez: the process answers."""
    del request
    return PlainTextResponse("healthz check passed")


async def ready(request: Request) -> Response:
    """GET /readyz: every collection can be read and written."""
    for collection in registry_of(request).collections.values():
        if problem := collection.problem():
            return PlainTextResponse(problem, HTTPStatus.SERVICE_UNAVAILABLE)
    return PlainTextResponse("all shards are ready")


async def _no_route(request: Request, error: Exception) -> Response:
    del error
    what = f"{request.method} {request.url.path}"
    return reply(
        501,
        {"error": f"Not supported by the embedded index server: {what}; {FULL_QDRANT}"},
        None,
        0.0,
    )


class Guard:
    """Checks the API key and bounds the body before anything is read into memory."""

    def __init__(self, app: ASGIApp, *, api_key: str | None, max_bytes: int) -> None:
        self._app = app
        self._key = api_key.encode() if api_key else None
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._key is not None and scope["path"] not in OPEN_PATHS:
            given = headers.get(b"api-key") or headers.get(b"authorization", b"")[7:]
            if not secrets.compare_digest(given, self._key):
                problem = {"error": "Must provide an API key in the `api-key` header"}
                await reply(401, problem, None, 0.0)(scope, receive, send)
                return
        read = 0
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await reply(413, {"error": str(self._too_large())}, None, 0.0)(scope, receive, send)
            return

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._too_large()
            return message

        await self._app(scope, bounded, send)

    def _too_large(self) -> RefusedError:
        return RefusedError(
            f"Payload error: the body is larger than {self._max_bytes} bytes",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            remedy="send less at once",
        )


def create_app(registry: Registry, *, api_key: str | None, max_bytes: int) -> ASGIApp:
    """The application over an opened registry.

    Args:
        max_bytes: largest body of a request.
    """
    handlers: dict[Any, Any] = {404: _no_route, 405: _no_route}
    app = Starlette(
        routes=[
            Route("/", root),
            Route("/healthz", healthy),
            Route("/livez", healthy),
            Route("/readyz", ready),
            *collection_routes(),
            *search_routes(),
            *point_routes(),
        ],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False
    app.state.registry = registry
    return Guard(app, api_key=api_key, max_bytes=max_bytes)
