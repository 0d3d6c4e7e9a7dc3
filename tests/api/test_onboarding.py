"""Onboarding over the real stores: questions, answers, rankings; nothing kept."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.fixtures.service import Service, problem_of

TOPICS = ("owls and the night", "ships and storms", "bread and butter")


def films(count: int = 30) -> list[dict[str, Any]]:
    return [
        {
            "id": f"f{n}",
            "title": f"{TOPICS[n % 3]} {n}",
            "attributes": {"topic": TOPICS[n % 3].split()[0], "year": 1990 + n},
        }
        for n in range(count)
    ]


def took(user: str, *items: int) -> list[dict[str, Any]]:
    return [{"type": "interaction", "data": {"user": user, "item": f"f{item}"}} for item in items]


@pytest.fixture(scope="module")
def filled(shared: Service) -> Service:
    shared.publish(*films())
    events = []
    for person in range(24):
        topic = person % 3
        events += took(f"p{person}", *(topic + 3 * ((person // 3 + step) % 8) for step in range(5)))
    answer = shared.client.post("/v1/events", json=events)
    assert answer.json()["rejected"] == 0
    return shared


def onboard(service: Service, said: dict[str, bool | None] | None = None, **ask: Any) -> Any:
    answers = [{"item": item, "liked": liked} for item, liked in (said or {}).items()]
    found = service.client.post("/v1/onboarding", json={"answers": answers, **ask})
    assert found.status_code == 200, found.text
    return found.json()


def test_an_answered_item_that_is_deleted_meanwhile_ends_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.publish(*films(12))
    assert onboard(service, {"f0": True, "f1": False})["notes"] == []
    service.client.delete("/v1/items/f0")
    service.work()
    monkeypatch.setattr("api.vectors.HISTORY_FRESH_S", -1.0)
    found = onboard(service, {"f0": True, "f1": False})
    assert found["notes"] == ["answers.0.item: item 'f0' is deleted, so it was left out"]
    assert len(found["ask"]) == 5
    assert found["results"]
    unknown = {"answers": [{"item": "never", "liked": True}]}
    problem_of(service.client.post("/v1/onboarding", json=unknown), 422)


def test_one_user_with_very_many_interactions_does_not_decide_what_is_asked(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.survey.LATEST_TAKEN", 60)
    monkeypatch.setattr("api.survey.MOST_OF_EACH", 5)
    service.publish(*films(60))
    events = []
    for person in range(24):
        events += took(f"p{person}", *((person + step) % 8 for step in range(5)))
    for sent in (events, took("bot", *range(60), *range(60))):
        # Of one arrival the order is that of the ids.
        sent = [{**one, "id": f"{one['data']['user']}-{n:03}"} for n, one in enumerate(sent)]
        assert service.client.post("/v1/events", json=sent).json()["accepted"] == 120
    asked = onboard(service, count=3)["ask"]
    assert {int(one["id"][1:]) for one in asked} <= set(range(8))
    assert all(one["known"] > 0.3 for one in asked)


def test_five_different_items_that_people_took_are_asked_about_first(filled: Service) -> None:
    found = onboard(filled)
    ids = [one["id"] for one in found["ask"]]
    assert len(set(ids)) == 5
    assert all(0 < one["known"] < 1 for one in found["ask"])
    assert all(one["title"] and one["attributes"]["topic"] for one in found["ask"])
    assert {int(one[1:]) for one in ids} <= set(range(24))  # nobody took the others
    assert len(found["results"]) == 10
    assert found["learned"] == 0.0


def test_nobody_is_asked_about_an_item_that_has_expired_or_is_gone(service: Service) -> None:
    until = datetime.now(UTC) + timedelta(seconds=3)
    brief, *others = films(8)
    service.publish({**brief, "expires_at": until.isoformat()}, *others)
    events = [event for n in range(6) for event in took(f"p{n}", 0, 1, 2 + n)]
    assert service.client.post("/v1/events", json=events).json()["rejected"] == 0
    before = {one["id"] for one in onboard(service, count=8)["ask"]}
    if datetime.now(UTC) < until - timedelta(seconds=1):
        assert before == {f"f{n}" for n in range(8)}
    space = service.parts.spaces.current()
    assert space is not None
    service.parts.index.delete(space.collection, [("f1", 1)])
    time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()))
    assert {one["id"] for one in onboard(service, count=5)["ask"]} <= {f"f{n}" for n in range(2, 8)}
    assert len(onboard(service, count=5)["ask"]) == 5


def test_asked_one_at_a_time_no_item_comes_twice_and_the_answers_tell_more_and_more(
    filled: Service,
) -> None:
    said: dict[str, bool | None] = {}
    learned = [0.0]
    for liked in (True, False, None, True, None, False, True):
        (asked,) = onboard(filled, said, count=1)["ask"]
        assert asked["id"] not in said
        said[asked["id"]] = liked
        learned.append(onboard(filled, said, count=0)["learned"])
    assert learned == sorted(learned)
    assert learned[-1] > learned[1] > 0


def test_answers_move_the_ranking_the_way_they_point(filled: Service) -> None:
    def score_of_topic(said: dict[str, bool | None], topic: int) -> float:
        found = onboard(filled, said, limit=30)["results"]
        scores = {one["id"]: one["score"] for one in found}
        own = [score for item, score in scores.items() if int(item[1:]) % 3 == topic]
        return float(np.mean(own) - np.mean(list(scores.values())))

    nothing = score_of_topic({}, 0)
    assert score_of_topic({"f0": True, "f3": True}, 0) > nothing
    assert score_of_topic({"f0": False, "f3": False}, 0) < nothing


def test_what_was_liked_or_not_is_not_recommended_and_what_is_unknown_may_be(
    filled: Service,
) -> None:
    found = onboard(filled, {"f0": True, "f1": False, "f2": None}, limit=30)
    ids = {one["id"] for one in found["results"]}
    assert {"f0", "f1"}.isdisjoint(ids)
    assert "f2" in ids


def test_every_score_is_the_sum_of_its_parts_and_answers_are_kept_nowhere(filled: Service) -> None:
    found = onboard(filled, {"f0": True, "f4": False}, profile="I like owls", limit=20)
    for one in found["results"]:
        assert one["score"] == sum(one["parts"].values())
    again = onboard(filled, limit=20)
    assert again["results"] == onboard(filled, limit=20)["results"]
    assert again["learned"] == 0.0


def test_a_profile_demographics_and_filters_count(filled: Service) -> None:
    found = onboard(
        filled,
        profile="I like owls, mail me: ann@example.com",
        interests=["ships"],
        demographics={"country": "IE", "age": 40},
        filters={"topic": "owls"},
    )
    assert {one["attributes"]["topic"] for one in found["results"]} == {"owls"}


def test_of_two_answers_about_one_item_the_last_counts(filled: Service) -> None:
    twice = [{"item": "f0", "liked": False}, {"item": "f0", "liked": True}]
    found = filled.client.post("/v1/onboarding", json={"answers": twice}).json()
    assert found["results"] == onboard(filled, {"f0": True})["results"]


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({"answers": [{"item": "nothing", "liked": True}]}, "answers.0.item"),
        ({"answers": [{"item": "f0"}]}, "answers.0.liked"),
        ({"answers": [{"item": "f0", "liked": 1}]}, "answers.0.liked"),
        ({"count": 21}, "count"),
        ({"count": -1}, "count"),
        ({"limit": 0}, "limit"),
        ({"user": "ada"}, "user"),
        ({"filters": {"nosuch": 1}}, "filters.nosuch"),
    ],
)
def test_what_is_wrong_is_told_by_field(filled: Service, ask: dict[str, Any], field: str) -> None:
    problem = problem_of(filled.client.post("/v1/onboarding", json=ask), 422)
    assert problem["errors"][0]["field"] == field


def test_before_anything_is_indexed_there_is_nothing_to_ask(service: Service) -> None:
    found = onboard(service)
    assert (found["ask"], found["results"]) == ([], [])
    assert found["notes"]


def test_where_nobody_has_taken_anything_the_questions_spread_over_the_catalogue(
    service: Service,
) -> None:
    service.publish(*films(9))
    found = onboard(service, count=3)
    assert len(found["ask"]) == 3
    assert all(one["known"] == 1.0 for one in found["ask"])
    said: dict[str, bool | None] = {}
    for liked in (True, False, True):
        (asked,) = onboard(service, said, count=1)["ask"]
        said[asked["id"]] = liked
    assert len(onboard(service, said)["results"]) == 9 - len(said)
    everything = {f"f{n}": None for n in range(9)}
    done = onboard(service, everything)
    assert done["ask"] == []
    assert any("nothing left" in note for note in done["notes"])
