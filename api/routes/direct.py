"""Routes without FastAPI's injection: they are called as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send


class DirectRoute(APIRoute):
    """For endpoints and dependencies that take the request alone, where the endpoint answers with
    a finished Response. Nothing is to be injected and nothing to be cleaned up afterwards, and
    working that out anew for every request takes as long as reading it. Errors go to the app's
    exception handlers.

    Raises:
        TypeError: when it is declared, an endpoint or dependency takes anything else.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        handle = self.get_route_handler()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handle(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = app

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The dependencies in turn, then the endpoint."""
        endpoint = self.endpoint
        checks = [one.dependency for one in self.dependencies if one.dependency is not None]
        for called in (endpoint, *checks):
            if list(inspect.signature(called).parameters) != ["request"]:
                raise TypeError(f"{called} of {self.path} takes more than the request")

        async def handle(request: Request) -> Response:
            for check in checks:
                await check(request)
            response: Response = await endpoint(request)
            return response

        return handle
