"""What stands behind the ? of a path: nothing that its route does not know."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute

from api.problems import field_error, invalid_fields


async def known_parameters(request: Request) -> None:
    """Raise ProblemError 422 naming every query parameter that the route does not declare."""
    if not request.scope.get("query_string"):
        return
    route: APIRoute = request.scope["route"]
    known = [one.alias for one in route.dependant.query_params]
    remedy = f"use {', '.join(known)}" if known else "leave it out; there are none here"
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise invalid_fields([field_error(one, "unknown parameter", remedy) for one in unknown])
