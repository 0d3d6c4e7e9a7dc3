"""Requests and answers: JSON in Qdrant's envelope, errors in Qdrant's words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import FirstlightError
from domain.log import logger
from index.server.engine import engine_errors
from index.server.errors import RefusedError, wrong
from index.server.registry import Registry

log = logger(__name__)

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Any]]

_JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_QUERY_PARAMETERS = {"wait", "ordering", "consistency", "timeout"}
"""Of one node they change nothing: a write always waits, a read always sees it."""


def answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a handler that returns a result: envelope, timing, errors."""

    async def run(request: Request) -> Response:
        started = time.perf_counter()
        status: Any = "ok"
        result, code = None, 200
        try:
            unknown = request.query_params.keys() - _QUERY_PARAMETERS
            if unknown:
                raise wrong(f"unknown query parameter {', '.join(sorted(unknown))}")
            with engine_errors():
                result = await handler(request)
        except RefusedError as error:
            code, status = int(error.status), {"error": str(error)}
        except FirstlightError as error:
            log.error("request failed", path=request.url.path, error=str(error))
            code, status = 500, {"error": f"Service internal error: {error}"}
        except Exception as error:
            log.exception("request failed", path=request.url.path)
            code, status = 500, {"error": f"Service internal error: {error!r}"}
        return reply(code, status, result, time.perf_counter() - started)

    return run


def reply(code: int, status: Any, result: Any, time_s: float) -> Response:
    """An answer in Qdrant's envelope."""
    body: dict[str, Any] = {"status": status, "time": time_s}
    if status == "ok":
        body["result"] = result
    return Response(orjson.dumps(body, option=_JSON_OPTIONS), code, media_type="application/json")


async def read_json_body(request: Request) -> Any:
    """The body of a request, parsed.

    Raises:
        RefusedError: 400, it is not JSON (NaN and infinity are not).
    """
    content = await request.body()
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise wrong(f"Format error in JSON body: {error}") from None


def registry_of(request: Request) -> Registry:
    """What the server holds."""
    found: Registry = request.app.state.registry
    return found


async def done(future: Future[T]) -> T:
    """Wait for another thread without blocking the event loop."""
    return await asyncio.wrap_future(future)
