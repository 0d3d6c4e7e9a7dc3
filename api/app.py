"""The HTTP API as an ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import auth, metrics, openapi, problems
from api.readiness import Readiness
from api.routes import console, events, items, onboarding, operations, ranking, uploads, users
from api.routes.direct import Shortcut
from api.state import Parts, open_parts
from domain.settings import Settings

DESCRIPTION = """
Publish items, users and interactions; ask for recommendations of what nobody has clicked yet.

Accepting is durable and idempotent: the newest version of an item or user wins, however often and
in whatever order events arrive. Every error is a problem document (RFC 9457) that names the field
and what to do.
"""


def create_app(settings: Settings, parts: Parts | None = None) -> FastAPI:
    """The app; it opens the stores when it starts and closes them when it ends.

    Args:
        parts: already opened, instead of opening those of the settings; closed all the same.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = parts or open_parts(settings)
        opened.models.start()
        app.state.parts = opened
        app.state.readiness = Readiness(opened)
        app.state.metrics.watch(opened)
        try:
            yield
        finally:
            app.state.readiness.close()
            opened.close()

    app = FastAPIOffline(  # /docs comes from here, not from a network of others
        title="Firstlight",
        version=version("firstlight"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.keys = auth.Keys(settings.api)
    app.state.metrics = metrics.Metrics()
    problems.install(app)
    parts_of_api = (ranking, events, items, users, uploads, onboarding, operations, console)
    for part in parts_of_api:
        app.include_router(part.router)
    app.add_middleware(
        Shortcut,
        routes=[route for part in parts_of_api for route in part.router.routes],
        handlers=app.exception_handlers,
    )
    app.add_middleware(metrics.Middleware, measured=app.state.metrics)
    openapi.install(app)
    return app
