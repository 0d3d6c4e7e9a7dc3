"""DELETE /v1/users/{id}: the receipt says what went, and it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import RetryableError
from domain.events import UserDeleted
from ranking import named
from tests.fixtures.service import Service, problem_of
from workers.forget import ForgottenPart
from workers.learning import OPTION, Learning
from workers.training import train

PROFILE = {"profile": "I like owls at night", "interests": ["owls"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, make_service: Callable[..., Service]) -> Service:
    """A service on each of the ledger's engines, with items, two users and what they did.

    No options are tried: on so few interactions chance decides whether one beats the ridge."""
    groups: dict[str, Any] = {"ranking": {"learned_options": []}}
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
    assert receipt["removed"]["statistics"] == "none"
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


def test_somebody_who_is_known_from_a_trained_file_alone_can_be_forgotten(
    kept: Service, tmp_path: Path
) -> None:
    kept.publish(*({"id": f"j{n}", "title": f"ships {n}"} for n in range(30)))
    took = [f"f{n},j{(n * 7 + step * 3) % 30}" for n in range(20) for step in range(5)]
    file = tmp_path / "took.csv"
    file.write_text("\n".join(["user,item", *took]) + "\n")
    train(kept.worker, file=file, whole=True)
    answer = kept.client.delete("/v1/users/f3")
    assert answer.status_code == 202, answer.text
    removed = answer.json()["removed"]
    assert (removed["statistics"], removed["learned_interactions"]) == ("subtracted", 5)
    assert not any(one.has("f3") for one in Learning(kept.settings, kept.worker.index).sums.all())
    problem_of(kept.client.delete("/v1/users/f33"), 404)


def test_a_process_that_did_not_delete_forgets_when_it_is_next_asked(kept: Service) -> None:
    kept.recommend(user="ada")
    kept.worker.catalog.accept(_deletion("ada"))
    problem_of(kept.client.post("/v1/recommend", json={"user": "ada"}), 404)
    assert kept.parts.models.forget("ada") == 0


def learned(service: Service) -> None:
    """A training on what some more users did."""
    service.publish(*({"id": f"j{n}", "title": f"ships {n}"} for n in range(30)))
    events = [
        {"type": "interaction", "data": {"user": f"u{n}", "item": f"j{(n * 7 + step * 3) % 30}"}}
        for n in range(20)
        for step in range(5)
    ]
    assert service.client.post("/v1/events", json=events).json()["rejected"] == 0
    train(service.worker)


def test_what_was_learned_of_the_user_is_subtracted_and_the_receipt_says_how_much(
    kept: Service,
) -> None:
    learned(kept)
    before = kept.parts.spaces.current()
    assert before is not None
    removed = kept.client.delete("/v1/users/ada").json()["removed"]
    assert removed["statistics"] == "subtracted"
    assert removed["learned_interactions"] == 2  # distinct items; i1 was taken twice
    assert removed["option"] is None
    after = kept.parts.spaces.current()
    assert after is not None
    assert removed["projection"] == after.hybrid.version != before.hybrid.version
    again = kept.client.delete("/v1/users/ada").json()["removed"]
    assert (again["statistics"], again["learned_interactions"]) == ("none", 0)


def test_the_receipt_names_the_learned_option_that_was_given_up(kept: Service) -> None:
    learned(kept)
    learning = Learning(kept.worker.settings, kept.worker.index)
    active = learning.served()
    assert active is not None
    hybrid = learning.hybrids.current(active.fusion, active.space)
    served = named(replace(hybrid, facts={**hybrid.facts, OPTION: "infonce"}))
    learning.hybrids.publish(served, active.fusion)  # as a training does that an option wins
    assert kept.client.delete("/v1/users/ada").json()["removed"]["option"] == "infonce"
    assert kept.client.delete("/v1/users/bob").json()["removed"]["option"] is None


@pytest.mark.parametrize(
    "error", [RetryableError("the index does not answer"), OSError(28, "No space left on device")]
)
def test_where_what_was_learned_cannot_be_reached_the_receipt_says_later(
    kept: Service, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def away(*_: object) -> None:
        raise error

    monkeypatch.setattr("api.forgetting.forget_users", away)
    receipt = kept.client.delete("/v1/users/ada").json()
    assert receipt["removed"]["statistics"] == "queued"
    assert "a little later" in receipt["note"]
    assert receipt["removed"]["interactions"] == 3


def test_many_deletions_in_one_request_are_forgotten_together(
    kept: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def counted(_: object, users: list[str]) -> ForgottenPart:
        asked.append(users)
        return ForgottenPart()

    monkeypatch.setattr("api.forgetting.forget_users", counted)
    for user in ("ada", "bob"):
        kept.recommend(user=user)
    events = [{"type": "user.deleted", "data": {"id": user}} for user in ("ada", "bob", "eve")]
    answer = kept.client.post("/v1/events", json=events).json()
    assert [one["status"] for one in answer["results"]] == ["accepted"] * 3
    assert asked == [["ada", "bob", "eve"]]
    assert kept.parts.models.forget("ada") == kept.parts.models.forget("bob") == 0


def _deletion(user: str) -> list[Any]:
    return [UserDeleted.model_validate({"data": {"id": user}})]
