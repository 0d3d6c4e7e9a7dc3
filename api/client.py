"""Python clients of the HTTP API, sync and async, with the same methods.

with FirstlightClient() as firstlight:
    firstlight.put_item({"id": "a", "title": "A field guide to owls"})
    answer = firstlight.recommend(profile="I watch birds at night")
    print(answer.results[0].title)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpcore

from api import calls
from api.calls import A, Call
from api.connections import FAILURES, LIMITS, Service
from api.schemas import (
    EventsAnswer,
    ForgetReceipt,
    HealthAnswer,
    ItemAnswer,
    ItemsAnswer,
    OnboardingAnswer,
    RankedAnswer,
    ReadyAnswer,
    Receipt,
    State,
    StatusAnswer,
    Target,
    UploadAnswer,
    UserAnswer,
)
from domain.errors import RetryableError

DEFAULT_URL = "http://127.0.0.1:7300"


def _unreachable(service: Service, error: Exception) -> RetryableError:
    return RetryableError(
        f"no answer from {service.url} ({str(error) or type(error).__name__})",
        remedy="start the API (`firstlight up`) or give its URL (FIRSTLIGHT_API_URL)",
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
        answers = []
        for start in range(0, len(events), self.batch_events):
            batch = events[start : start + self.batch_events]
            answers.append(self.send(calls.publish(batch)))
        return merge(answers)

    def put_item(self, item: Mapping[str, Any]) -> Receipt:
        """Publish one item; without a version it gets the next one."""
        return self.send(calls.put_item(item))

    def item(self, item_id: str) -> ItemAnswer:
        """An item and how far it has come."""
        return self.send(calls.get_item(item_id))

    def delete_item(self, item_id: str) -> Receipt:
        """Delete an item; it comes back only with a newer version."""
        return self.send(calls.delete_item(item_id))

    def items(
        self, *, state: State | None = None, limit: int = 100, after: str | None = None
    ) -> ItemsAnswer:
        """One page of items by id; give `next` as `after` for the following page."""
        return self.send(calls.list_items(state, limit, after))

    def upload(self, content: bytes) -> UploadAnswer:
        """Store one picture or clip; `reference` goes into an item's media."""
        return self.send(calls.upload(content))

    def put_user(self, user: Mapping[str, Any]) -> Receipt:
        """Publish one user's profile."""
        return self.send(calls.put_user(user))

    def user(self, user_id: str) -> UserAnswer:
        """A user's profile as published."""
        return self.send(calls.get_user(user_id))

    def delete_user(self, user_id: str) -> ForgetReceipt:
        """Forget a user; `removed` tells what there was."""
        return self.send(calls.delete_user(user_id))

    def interactions(self, bodies: Sequence[Mapping[str, Any]]) -> EventsAnswer:
        """Record interactions; one with an `id` counts once however often it is sent."""
        return self.send(calls.interactions(bodies))

    def recommend(
        self,
        *,
        user: str | None = None,
        profile: str | None = None,
        interests: Sequence[str] | None = None,
        liked: Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
        exclude_seen: bool | None = None,
        exact: bool | None = None,
        diversity: float | None = None,
        rules: Mapping[str, Any] | None = None,
        explore: float | None = None,
        seed: int | None = None,
        explain: bool | None = None,
    ) -> RankedAnswer:
        """Items for a stored user, a sentence, liked items, or any mix; best first.

        Args:
            diversity: strength of MMR, 0 to 1.
            rules: exclude, pin, boost, bury, at_most and freshness, as in docs/api.md.
            explore: share of the results that tries what is unsure, 0 to 1.
            seed: makes what explores the same each time.
            explain: whether each result tells in full what made up its score.
        """
        return self.send(
            calls.recommend(
                user=user,
                profile=profile,
                interests=interests,
                liked=liked,
                filters=filters,
                limit=limit,
                exclude_seen=exclude_seen,
                exact=exact,
                diversity=diversity,
                rules=rules,
                explore=explore,
                seed=seed,
                explain=explain,
            )
        )

    def onboarding(
        self,
        *,
        answers: Mapping[str, bool | None] | None = None,
        profile: str | None = None,
        interests: Sequence[str] | None = None,
        demographics: Mapping[str, Any] | None = None,
        count: int = 5,
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
        exact: bool | None = None,
    ) -> OnboardingAnswer:
        """What to ask a new user next, and the ranking by the answers so far.

        Args:
            answers: {item id: liked (True), not (False), or not known (None)}, all so far.
        """
        return self.send(
            calls.onboarding(
                answers=answers,
                profile=profile,
                interests=interests,
                demographics=demographics,
                count=count,
                filters=filters,
                limit=limit,
                exact=exact,
            )
        )

    def similar(
        self,
        item: str,
        *,
        within: Target = "all",
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
    ) -> RankedAnswer:
        """Items like one item, in one modality or all of them fused."""
        return self.send(calls.similar(item, within=within, filters=filters, limit=limit))

    def search(
        self,
        *,
        text: str | None = None,
        image: str | None = None,
        audio: str | None = None,
        within: Target = "all",
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
    ) -> RankedAnswer:
        """Items by words, or by a picture or clip given as upload:SHA256 or base64."""
        return self.send(
            calls.search(
                text=text, image=image, audio=audio, within=within, filters=filters, limit=limit
            )
        )

    def status(self) -> StatusAnswer:
        """Counts by state, queues, collection, models."""
        return self.send(calls.status())

    def healthy(self) -> HealthAnswer:
        """Whether the API process lives."""
        return self.send(calls.healthy())

    def ready(self) -> ReadyAnswer:
        """Whether a ranking could be answered now; each check with its time."""
        return self.send(calls.ready())


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
        answers = []
        for start in range(0, len(events), self.batch_events):
            batch = events[start : start + self.batch_events]
            answers.append(await self.send(calls.publish(batch)))
        return merge(answers)

    async def put_item(self, item: Mapping[str, Any]) -> Receipt:
        """Publish one item; without a version it gets the next one."""
        return await self.send(calls.put_item(item))

    async def item(self, item_id: str) -> ItemAnswer:
        """An item and how far it has come."""
        return await self.send(calls.get_item(item_id))

    async def delete_item(self, item_id: str) -> Receipt:
        """Delete an item; it comes back only with a newer version."""
        return await self.send(calls.delete_item(item_id))

    async def items(
        self, *, state: State | None = None, limit: int = 100, after: str | None = None
    ) -> ItemsAnswer:
        """One page of items by id; give `next` as `after` for the following page."""
        return await self.send(calls.list_items(state, limit, after))

    async def upload(self, content: bytes) -> UploadAnswer:
        """Store one picture or clip; `reference` goes into an item's media."""
        return await self.send(calls.upload(content))

    async def put_user(self, user: Mapping[str, Any]) -> Receipt:
        """Publish one user's profile."""
        return await self.send(calls.put_user(user))

    async def user(self, user_id: str) -> UserAnswer:
        """A user's profile as published."""
        return await self.send(calls.get_user(user_id))

    async def delete_user(self, user_id: str) -> ForgetReceipt:
        """Forget a user; `removed` tells what there was."""
        return await self.send(calls.delete_user(user_id))

    async def interactions(self, bodies: Sequence[Mapping[str, Any]]) -> EventsAnswer:
        """Record interactions; one with an `id` counts once however often it is sent."""
        return await self.send(calls.interactions(bodies))

    async def recommend(
        self,
        *,
        user: str | None = None,
        profile: str | None = None,
        interests: Sequence[str] | None = None,
        liked: Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
        exclude_seen: bool | None = None,
        exact: bool | None = None,
        diversity: float | None = None,
        rules: Mapping[str, Any] | None = None,
        explore: float | None = None,
        seed: int | None = None,
        explain: bool | None = None,
    ) -> RankedAnswer:
        """Items for a stored user, a sentence, liked items, or any mix; best first.

        Args:
            diversity: strength of MMR, 0 to 1.
            rules: exclude, pin, boost, bury, at_most and freshness, as in docs/api.md.
            explore: share of the results that tries what is unsure, 0 to 1.
            seed: makes what explores the same each time.
            explain: whether each result tells in full what made up its score.
        """
        return await self.send(
            calls.recommend(
                user=user,
                profile=profile,
                interests=interests,
                liked=liked,
                filters=filters,
                limit=limit,
                exclude_seen=exclude_seen,
                exact=exact,
                diversity=diversity,
                rules=rules,
                explore=explore,
                seed=seed,
                explain=explain,
            )
        )

    async def onboarding(
        self,
        *,
        answers: Mapping[str, bool | None] | None = None,
        profile: str | None = None,
        interests: Sequence[str] | None = None,
        demographics: Mapping[str, Any] | None = None,
        count: int = 5,
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
        exact: bool | None = None,
    ) -> OnboardingAnswer:
        """What to ask a new user next, and the ranking by the answers so far.

        Args:
            answers: {item id: liked (True), not (False), or not known (None)}, all so far.
        """
        return await self.send(
            calls.onboarding(
                answers=answers,
                profile=profile,
                interests=interests,
                demographics=demographics,
                count=count,
                filters=filters,
                limit=limit,
                exact=exact,
            )
        )

    async def similar(
        self,
        item: str,
        *,
        within: Target = "all",
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
    ) -> RankedAnswer:
        """Items like one item, in one modality or all of them fused."""
        return await self.send(calls.similar(item, within=within, filters=filters, limit=limit))

    async def search(
        self,
        *,
        text: str | None = None,
        image: str | None = None,
        audio: str | None = None,
        within: Target = "all",
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
    ) -> RankedAnswer:
        """Items by words, or by a picture or clip given as upload:SHA256 or base64."""
        return await self.send(
            calls.search(
                text=text, image=image, audio=audio, within=within, filters=filters, limit=limit
            )
        )

    async def status(self) -> StatusAnswer:
        """Counts by state, queues, collection, models."""
        return await self.send(calls.status())

    async def healthy(self) -> HealthAnswer:
        """Whether the API process lives."""
        return await self.send(calls.healthy())

    async def ready(self) -> ReadyAnswer:
        """Whether a ranking could be answered now; each check with its time."""
        return await self.send(calls.ready())
