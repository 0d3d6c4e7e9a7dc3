"""DELETE /v1/users/{id}: the receipt says what went, and it went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.service import Service, problem_of

PROFILE = {"profile": "I like owls at night", "interests": ["owls"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, make_service: Callable[..., Service]) -> Service:
    """A service on each of the ledger's engines, with items, two users and what they did."""
    groups: dict[str, Any] = {}
    if request.param == "postgresql":
        groups["catalog"] = {"url": request.getfixturevalue("postgres_database")}
    service = make_service(**groups)
    service.publish(*({"id": f"i{n}", "title": f"owls {n}"} for n in range(4)))
    for user in ("ada", "bob"):
        assert service.client.put(f"/v1/users/{user}", json=PROFILE).status_code == 202
        for item in ("i0", "i1", "i1"):
            done = service.client.post("/v1/interactions", json={"user": user, "item": item})
            assert done.status_code == 202
    return service


def test_the_receipt_says_what_there_was_and_all_of_it_is_gone(kept: Service) -> None:
    assert kept.recommend(user="ada")["results"]
    answer = kept.client.delete("/v1/users/ada")
    assert answer.status_code == 202
    receipt = answer.json()
    assert receipt["user"] == receipt["id"] == "ada"
    assert receipt["removed"]["profile"] is True
    assert receipt["removed"]["interactions"] == 3
    assert receipt["removed"]["cached_vectors"] == 1
    assert kept.client.get("/v1/users/ada").status_code == 404
    problem_of(kept.client.post("/v1/recommend", json={"user": "ada"}), 404)
    assert kept.parts.catalog.history("ada") == []
    assert kept.parts.models.forget("ada") == 0
    assert len(kept.parts.catalog.history("bob")) == 3
    assert kept.recommend(user="bob")["results"]


def test_deleting_again_finds_nothing_left(kept: Service) -> None:
    kept.client.delete("/v1/users/ada")
    answer = kept.client.delete("/v1/users/ada")
    assert answer.status_code == 200
    removed = answer.json()["removed"]
    assert (removed["profile"], removed["interactions"]) == (False, 0)
    assert removed["cached_vectors"] == 0


def test_the_event_forgets_the_same(kept: Service) -> None:
    kept.recommend(user="ada")
    event = {"type": "user.deleted", "data": {"id": "ada"}}
    assert kept.client.post("/v1/events", json=[event]).json()["accepted"] == 1
    assert kept.parts.models.forget("ada") == 0
    assert kept.parts.catalog.history("ada") == []


def test_somebody_without_a_profile_can_be_forgotten_and_nobody_cannot(kept: Service) -> None:
    kept.client.post("/v1/interactions", json={"user": "eve", "item": "i0"})
    removed = kept.client.delete("/v1/users/eve").json()["removed"]
    assert (removed["profile"], removed["interactions"]) == (False, 1)
    problem_of(kept.client.delete("/v1/users/nobody"), 404)


def test_a_process_that_did_not_delete_forgets_when_it_is_next_asked(kept: Service) -> None:
    kept.recommend(user="ada")
    kept.worker.catalog.accept(_deletion("ada"))
    problem_of(kept.client.post("/v1/recommend", json={"user": "ada"}), 404)
    assert kept.parts.models.forget("ada") == 0


def _deletion(user: str) -> list[Any]:
    from domain.events import UserDeleted

    return [UserDeleted.model_validate({"data": {"id": user}})]
