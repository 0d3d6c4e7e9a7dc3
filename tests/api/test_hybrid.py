"""A trained hybrid behind the API: one query, parts that add up, content where content is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from domain.events import InteractionRecorded
from domain.vectors import RANK
from ranking import Gate, Hybrid
from tests.fixtures.hybrids import random_hybrid
from tests.fixtures.service import Service
from workers.refresh import Refresher

IDS = [f"p{number:02}" for number in range(40)]


def trained(service: Service, gate: Gate) -> Hybrid:
    space = service.parts.spaces.current()
    assert space is not None
    stored = service.parts.index.fetch(space.collection, IDS, with_vectors=[RANK])
    content = space.rank.content_of(np.stack([stored[one].vectors[RANK] for one in IDS]))
    made = random_hybrid(space.fusion, space.rank, IDS, content, gate=gate, source="files")
    service.worker.composer.hybrids.publish(made, space.fusion)
    Refresher.of(service.worker).all()
    return made


@pytest.fixture
def filled(make_service: Callable[..., Service]) -> Service:
    service = make_service()
    words = ("owl", "sea", "night", "stone", "river")
    service.publish(
        *(
            {"id": one, "title": f"{words[at % 5]} {words[at // 5 % 5]} {at}"}
            for at, one in enumerate(IDS)
        )
    )
    return service


def took(service: Service, user: str, *items: str) -> None:
    service.worker.catalog.accept(
        [
            InteractionRecorded.model_validate(
                {"id": f"{user}-{item}", "data": {"user": user, "item": item}}
            )
            for item in items
        ]
    )


def test_a_new_hybrid_serves_at_once_and_every_score_is_the_sum_of_its_parts(
    filled: Service,
) -> None:
    hybrid = trained(filled, Gate(k=5.0, warm=0.6, kappa=1.0))
    warm = [one for one in IDS if hybrid.trained_counts([one])[0]]
    took(filled, "ada", *warm[:4])
    found = filled.recommend(user="ada", profile="owls at night", limit=40, exclude_seen=False)
    assert found["model"]["projection"] == hybrid.version
    space = filled.parts.spaces.current()
    assert space is not None
    stored = filled.parts.index.fetch(space.collection, IDS, with_vectors=[RANK])
    for one in found["results"]:
        assert sum(one["parts"].values()) == one["score"]
        gate = space.rank.gates_of(stored[one["id"]].vectors[RANK][None])[0]
        assert (one["parts"]["cf"] != 0) == (gate > 0)
    scores = [one["score"] for one in found["results"]]
    assert scores == sorted(scores, reverse=True)


def test_a_user_who_just_acted_is_ranked_with_it_without_retraining(filled: Service) -> None:
    hybrid = trained(filled, Gate(k=5.0, warm=0.6, kappa=1.0))
    warm = [one for one in IDS if hybrid.trained_counts([one])[0]]

    def cf(**ask: Any) -> dict[str, float]:
        found = filled.recommend(limit=40, exclude_seen=False, **ask)
        return {one["id"]: one["parts"]["cf"] for one in found["results"]}

    took(filled, "ada", warm[0])
    before = cf(user="ada")
    took(filled, "ada", warm[1], warm[2])
    after = cf(user="ada")
    assert any(before[one] != after[one] for one in warm)
    assert not any(cf(profile="owls").values())


@pytest.mark.parametrize("warm", [0.05, 0.5, 2.0])
def test_similar_items_are_ranked_by_content_however_far_apart_the_gates_lie(
    filled: Service, warm: float
) -> None:
    trained(filled, Gate(k=5.0, warm=warm, kappa=1.0))
    space = filled.parts.spaces.current()
    assert space is not None
    stored = filled.parts.index.fetch(space.collection, IDS, with_vectors=[RANK])
    content = {
        one: space.rank.content_of(item.vectors[RANK][None])[0] for one, item in stored.items()
    }
    for asked in ("p00", "p07", "p23"):
        answer = filled.client.post("/v1/similar", json={"item": asked, "limit": 5})
        assert answer.status_code == 200, answer.text
        found = answer.json()["results"]
        by_hand = {one: float(content[one] @ content[asked]) for one in IDS if one != asked}
        best = sorted(by_hand.values(), reverse=True)[:5]
        assert [one["score"] for one in found] == pytest.approx(best, abs=1e-5)
        for one in found:
            assert one["score"] == pytest.approx(by_hand[one["id"]], abs=1e-5)
            assert sum(one["parts"].values()) == one["score"]


def test_a_rewritten_item_is_explained_as_it_is_stored_now(filled: Service) -> None:
    hybrid = trained(filled, Gate(k=5.0, warm=0.6, kappa=1.0))
    counts = dict(zip(IDS, hybrid.trained_counts(IDS), strict=True))
    few = min((one for one in IDS if counts[one]), key=lambda one: counts[one])
    first = filled.recommend(profile="owls at night", limit=40)
    took_by = [f"u{number}" for number in range(int(counts[few]) + 5)]
    for user in took_by:
        took(filled, user, few)
    assert Refresher.of(filled.worker).round().rewritten == 1
    second = filled.recommend(profile="owls at night", limit=40)
    old = {one["id"]: one["score"] for one in first["results"]}
    new = {one["id"]: one["score"] for one in second["results"]}
    assert [one for one in IDS if old[one] != new[one]] == [few]
