"""The Python clients, sync and async, against a running system."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import get_type_hints

import pytest

from api import calls
from api.client import AsyncFirstlightClient, FirstlightClient
from api.ranking_schemas import RankedAnswer
from domain.errors import NotFoundError, RejectedError, RetryableError
from tests.fixtures.media import jpeg
from tests.fixtures.system import System


def wait_indexed(client: FirstlightClient, item_id: str) -> None:
    deadline = time.monotonic() + 60.0
    while client.item(item_id).state != "indexed":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in vars(kind).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }

    assert methods(FirstlightClient) == methods(AsyncFirstlightClient)


def test_a_call_is_documented_and_signed_the_same_wherever_it_is_made() -> None:
    for client in (FirstlightClient(""), AsyncFirstlightClient("")):
        for name in ("put_item", "item", "items", "delete_user", "recommend", "onboarding"):
            method, call = getattr(client, name), getattr(calls, name)
            said = inspect.signature(method)
            assert said.parameters == inspect.signature(call).parameters
            assert inspect.getdoc(method) == inspect.getdoc(call)
            assert method.__name__ == name
        assert inspect.signature(client.similar).return_annotation is RankedAnswer
        assert get_type_hints(client.similar)["return"] is RankedAnswer
    assert inspect.iscoroutinefunction(AsyncFirstlightClient.similar)


def test_an_item_goes_in_and_a_sentence_gets_it_out(system: System) -> None:
    with system.client() as client:
        reference = client.upload(jpeg()).reference
        receipt = client.put_item(
            {"id": "client/1 ä", "title": "A clock", "media": {"images": [reference]}}
        )
        assert receipt.status == "accepted"
        wait_indexed(client, "client/1 ä")
        state = client.item("client/1 ä")
        assert state.latency_s is not None
        ids = [r.id for r in client.recommend(profile="clocks", limit=100).results]
        assert "client/1 ä" in ids
        ids = [r.id for r in client.search(text="A clock", within="text", limit=1).results]
        assert ids == ["client/1 ä"]
        assert client.delete_item("client/1 ä").status == "accepted"
        assert client.item("client/1 ä").state == "deleted"


def test_users_and_interactions(system: System) -> None:
    with system.client() as client:
        client.put_item({"id": "liked", "title": "A kite"})
        wait_indexed(client, "liked")
        client.put_user({"id": "ann", "profile": "I fly kites"})
        one = {"id": "i-1", "user": "ann", "item": "liked", "kind": "like"}
        assert client.interactions([one]).accepted == 1
        assert client.interactions([one]).duplicate == 1
        results = client.recommend(user="ann", limit=100).results
        assert "liked" not in [result.id for result in results]
        results = client.recommend(user="ann", limit=100, exclude_seen=False).results
        assert "liked" in [result.id for result in results]
        found = client.onboarding(answers={"liked": True}, profile="I fly kites", count=1, limit=3)
        assert "liked" not in [one.id for one in [*found.ask, *found.results]]
        removed = client.delete_user("ann").removed
        assert removed is not None
        assert (removed.profile, removed.interactions) == (True, 1)
        with pytest.raises(NotFoundError, match="ann"):
            client.user("ann")


def test_publish_splits_long_lists_and_counts_positions_on(system: System) -> None:
    client = FirstlightClient(system.url, batch_events=2)
    events = [{"type": "item.created", "data": {"id": f"s{n}", "title": "x"}} for n in range(4)]
    answer = client.publish([*events, {"type": "item.created", "data": {"id": "bad"}}])
    client.close()
    assert (answer.accepted, answer.rejected) == (4, 1)
    assert [result.index for result in answer.results] == [0, 1, 2, 3, 4]
    assert answer.results[4].errors[0].field == "data"


def test_errors_are_of_the_kind_that_says_what_to_do(system: System) -> None:
    with system.client() as client:
        with pytest.raises(NotFoundError, match="nobody"):
            client.recommend(user="nobody")
        with pytest.raises(RejectedError, match="limit"):
            client.recommend(profile="x", limit=0)
    with (
        FirstlightClient("http://127.0.0.1:9") as away,
        pytest.raises(RetryableError, match=r"`firstlight up`.*FirstlightClient\(url\)"),
    ):
        away.status()


def test_the_async_client_speaks_the_same(system: System) -> None:
    async def talk() -> None:
        async with AsyncFirstlightClient(system.url) as client:
            await client.put_item({"id": "async", "title": "A lamp"})
            deadline = time.monotonic() + 60.0
            while (await client.item("async")).state != "indexed":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            answers = await asyncio.gather(
                client.recommend(profile="lamps"), client.similar("async"), client.ready()
            )
            assert answers[0].results
            assert answers[2].ready
            with pytest.raises(NotFoundError):
                await client.item("no-such")

    asyncio.run(talk())
