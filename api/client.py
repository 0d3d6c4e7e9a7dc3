"""Python clients of the HTTP API, sync and async, with the same methods.

with FirstlightClient() as firstlight:
    firstlight.put_item({"id": "a", "title": "A field guide to owls"})
    answer = firstlight.recommend(profile="I watch birds at night")
    print(answer.results[0].title)

A call, its arguments and what it is for stand once, in `api.calls`; the clients only send it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, get_args, get_type_hints

import httpcore

from api import calls
from api.calls import A, Call
from api.connections import FAILURES, LIMITS, Service
from api.schemas import EventsAnswer, Receipt
from domain.errors import RetryableError

DEFAULT_URL = "http://127.0.0.1:7300"

P = ParamSpec("P")


def _unreachable(service: Service, error: Exception) -> RetryableError:
    return RetryableError(
        f"no answer from {service.url} ({str(error) or type(error).__name__})",
        remedy="start the API (`firstlight up`), or name its URL: FirstlightClient(url) in Python,"
        " FIRSTLIGHT_API_URL for the command line",
    )


def merge(answers: Sequence[EventsAnswer]) -> EventsAnswer:
    """One answer for events that were sent in several requests, positions counted on."""
    results: list[Receipt] = []
    for answer in answers:
        start = len(results)
        results += [r.model_copy(update={"index": start + r.index}) for r in answer.results]
    totals = {
        name: sum(getattr(answer, name) for answer in answers)
        for name in ("accepted", "duplicate", "stale", "rejected")
    }
    return EventsAnswer(**totals, results=results)


def _document(method: Any, call: Callable[..., Call[Any]]) -> None:
    """What `help` and notebooks show of a method: the call's own words, and the answer."""
    types = get_type_hints(call)
    (types["return"],) = get_args(types["return"])
    said = inspect.signature(call)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__annotations__ = types
    method.__signature__ = said.replace(
        parameters=[self, *said.parameters.values()], return_annotation=types["return"]
    )


def _sent(call: Callable[P, Call[A]]) -> Callable[Concatenate[FirstlightClient, P], A]:
    """The method that makes a call and returns its answer."""

    @wraps(call)
    def method(self: FirstlightClient, /, *args: P.args, **kwargs: P.kwargs) -> A:
        return self.send(call(*args, **kwargs))

    _document(method, call)
    return method


def _awaited(
    call: Callable[P, Call[A]],
) -> Callable[Concatenate[AsyncFirstlightClient, P], Coroutine[Any, Any, A]]:
    """The same for asyncio."""

    @wraps(call)
    async def method(self: AsyncFirstlightClient, /, *args: P.args, **kwargs: P.kwargs) -> A:
        return await self.send(call(*args, **kwargs))

    _document(method, call)
    return method


class FirstlightClient:
    """Blocking client; thread-safe, keeps its connections open.

    Every method raises NotFoundError or RejectedError when the request was wrong (the message
    names the field) and RetryableError when the service did not answer.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        batch_events: int = 1000,
    ) -> None:
        self.batch_events = batch_events
        self._service = Service(url, api_key, timeout_s)
        self._pool = httpcore.ConnectionPool(**LIMITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def send(self, call: Call[A]) -> A:
        """Send one call and read its answer."""
        try:
            answer = self._pool.request(**self._service.request(call))
        except FAILURES as error:
            raise _unreachable(self._service, error) from error
        return call.read(answer.status, answer.content)

    def publish(self, events: Sequence[Mapping[str, Any]]) -> EventsAnswer:
        """Publish events, in requests of at most `batch_events`; each is answered for itself."""
        batches = calls.publish_in_batches(events, self.batch_events)
        return merge([self.send(call) for call in batches])

    put_item = _sent(calls.put_item)
    item = _sent(calls.item)
    delete_item = _sent(calls.delete_item)
    items = _sent(calls.items)
    upload = _sent(calls.upload)
    put_user = _sent(calls.put_user)
    user = _sent(calls.user)
    delete_user = _sent(calls.delete_user)
    interactions = _sent(calls.interactions)
    recommend = _sent(calls.recommend)
    onboarding = _sent(calls.onboarding)
    similar = _sent(calls.similar)
    search = _sent(calls.search)
    status = _sent(calls.status)
    healthy = _sent(calls.healthy)
    ready = _sent(calls.ready)


class AsyncFirstlightClient:
    """The same for asyncio."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        batch_events: int = 1000,
    ) -> None:
        self.batch_events = batch_events
        self._service = Service(url, api_key, timeout_s)
        self._pool = httpcore.AsyncConnectionPool(**LIMITS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def send(self, call: Call[A]) -> A:
        """Send one call and read its answer."""
        try:
            answer = await self._pool.request(**self._service.request(call))
        except FAILURES as error:
            raise _unreachable(self._service, error) from error
        return call.read(answer.status, answer.content)

    async def publish(self, events: Sequence[Mapping[str, Any]]) -> EventsAnswer:
        """Publish events, in requests of at most `batch_events`; each is answered for itself."""
        batches = calls.publish_in_batches(events, self.batch_events)
        return merge([await self.send(call) for call in batches])

    put_item = _awaited(calls.put_item)
    item = _awaited(calls.item)
    delete_item = _awaited(calls.delete_item)
    items = _awaited(calls.items)
    upload = _awaited(calls.upload)
    put_user = _awaited(calls.put_user)
    user = _awaited(calls.user)
    delete_user = _awaited(calls.delete_user)
    interactions = _awaited(calls.interactions)
    recommend = _awaited(calls.recommend)
    onboarding = _awaited(calls.onboarding)
    similar = _awaited(calls.similar)
    search = _awaited(calls.search)
    status = _awaited(calls.status)
    healthy = _awaited(calls.healthy)
    ready = _awaited(calls.ready)
