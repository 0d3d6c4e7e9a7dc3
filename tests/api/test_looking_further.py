"""How far down the index an answer looks: past near-duplicates, and past what lowers scores."""

from __future__ import annotations

import numpy as np
import pytest

from domain.vectors import RANK
from index import ItemPoint
from workers.collection_fit import fit_fusion

WORDS = ["owl", "sea", "night", "stone", "river", "bread", "war", "jazz"]


def put(service, content, genre="", name="x"):
    """Items with these content vectors, [n, content]; their ids."""
    space = service.parts.spaces.current()
    content = content / np.linalg.norm(content, axis=1)[:, None]
    ids = [f"{name}{number}" for number in range(len(content))]
    points = [
        ItemPoint(id=key, version=1, vectors={RANK: rank}, attributes={"genre": genre})
        for key, rank in zip(ids, space.rank.compose(content.astype(np.float32)), strict=True)
    ]
    service.parts.index.upsert(space.collection, points)
    return ids


@pytest.fixture
def few_candidates(monkeypatch):
    monkeypatch.setattr("api.answer.LEAST_CANDIDATES", 20)
    monkeypatch.setattr("api.answer.MOST_CANDIDATES", 40)


@pytest.fixture
def fitted(make_service, few_candidates):
    service = make_service()
    random = np.random.default_rng(0)
    service.publish(
        *(
            {
                "id": f"i{number}",
                "title": " ".join(random.choice(WORDS, 4)),
                "description": " ".join(random.choice(WORDS, 8)),
            }
            for number in range(60)
        )
    )
    fit_fusion(service.worker, lambda due: service.worker.pipeline.run([one.pair for one in due]))
    service.work()
    return service


def flood(service, count):
    """Near-copies of i7."""
    space = service.parts.spaces.current()
    stored = service.parts.index.fetch(space.collection, ["i7"], with_vectors=[RANK])
    content = space.rank.content_of(stored["i7"].vectors[RANK][None])
    noise = np.random.default_rng(1).normal(size=(count, content.shape[1]))
    return put(service, content + 0.02 * noise / np.sqrt(content.shape[1]), name="copy")


def test_a_flood_of_near_copies_does_not_empty_an_answer(fitted):
    before = [one["id"] for one in fitted.recommend(liked=["i7"], limit=5)["results"]]
    copies = set(flood(fitted, 90))
    found = fitted.recommend(liked=["i7"], limit=5)
    ids = [one["id"] for one in found["results"]]
    assert len(ids) == 5
    assert len(copies.intersection(ids)) == 1
    assert ids[0] in copies
    assert ids[1:] == before[:4]
    assert found["notes"] == []


def test_where_even_further_searches_meet_only_copies_the_best_of_them_fill_up(fitted):
    copies = set(flood(fitted, 400))
    usual = fitted.recommend(liked=["i7"], limit=1)["results"]
    found = fitted.recommend(liked=["i7"], limit=5)
    results = found["results"]
    assert [one["id"] for one in results[:1]] == [one["id"] for one in usual]
    assert {one["id"] for one in results} <= copies
    assert len(results) == 5
    scores = [one["score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0.99
    (note,) = found["notes"]
    assert note == "4 of these are near-duplicates of others: little else was found"


def test_an_answer_that_copies_left_short_says_so(fitted):
    flood(fitted, 3)
    filters = {"genre": ""}
    found = fitted.recommend(liked=["i8"], limit=5, filters=filters)
    assert len(found["results"]) == 1
    (note,) = found["notes"]
    assert "near-duplicates" in note
    assert fitted.recommend(liked=["i8"], limit=1, filters=filters)["notes"] == []


@pytest.fixture
def genres(make_service):
    """150 of war that are nearest to what is liked, and 20 of drama, at cosine .9."""
    service = make_service()
    service.publish({"id": "seed", "title": "seed", "attributes": {"genre": "war"}})
    dim = service.parts.spaces.current().rank.content
    random = np.random.default_rng(0)
    war = np.eye(1, dim) + 0.05 * random.normal(size=(150, dim)) / np.sqrt(dim)
    drama = np.zeros((20, dim))
    drama[:, 0] = 0.9
    drama[np.arange(20), 1 + np.arange(20)] = np.sqrt(1 - 0.81)
    put(service, war, "war", "war")
    put(service, drama, "drama", "drama")
    return service


@pytest.mark.parametrize("diversity", [0.0, 0.2])
def test_what_is_buried_gives_way_to_what_lay_further_down(genres, diversity):
    bury = {"bury": [{"where": {"genre": "war"}, "by": 1}]}
    found = genres.recommend(liked=["war0"], rules=bury, limit=10, diversity=diversity)["results"]
    assert {one["attributes"]["genre"] for one in found} == {"drama"}
    assert min(one["score"] for one in found) > 0.8
