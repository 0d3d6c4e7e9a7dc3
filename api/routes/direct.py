"""Routes without FastAPI's injection, and the short way to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class DirectRoute(APIRoute):
    """For endpoints and dependencies that take the request alone, where the endpoint answers with
    a finished Response. Nothing is to be injected, and working that out anew for every request
    takes as long as reading it.

    Raises:
        TypeError: when it is declared, an endpoint or dependency takes anything else.
    """

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


class Shortcut:
    """Finds direct routes by method and path and calls them; all else goes on to `app`, which
    tries its routes in turn, and opens for each request what a direct route never uses.

    Args:
        routes: those of the app that may be direct ones; one with a parameter in its path is not
            found by name.
        handlers: the app's exception handlers, which answer errors here, too.
    """

    def __init__(
        self, app: ASGIApp, *, routes: Iterable[BaseRoute], handlers: Mapping[Any, Any]
    ) -> None:
        self._app = app
        self._handlers = handlers
        self._direct = {
            (method, route.path): (route, route.get_route_handler())
            for route in routes
            if isinstance(route, DirectRoute) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        direct = None
        if scope["type"] == "http" and not scope.get("root_path"):
            direct = self._direct.get((scope["method"], scope["path"]))
        if direct is None:
            await self._app(scope, receive, send)
            return
        scope["route"], handle = direct
        request = Request(scope, receive, send)
        try:
            response = await handle(request)
        except Exception as error:
            kinds = type(error).__mro__
            answer = next((self._handlers[kind] for kind in kinds if kind in self._handlers), None)
            if answer is None:
                raise
            response = await answer(request, error)
        await response(scope, receive, send)
