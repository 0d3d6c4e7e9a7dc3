"""Queries that are kept: the same as made anew, and gone when what they were made of is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from api.history import History, composed
from api.models import Said
from api.profiles import Encoded
from api.queries import Queries
from api.ranked import Space
from ranking import Query, rank_space, untrained, user_vector
from tests.fixtures.hybrids import random_hybrid
from tests.ranking.conftest import make_fusion

FUSION = make_fusion()
RANKS = rank_space(FUSION.blocks, 8, 4)
SPACE = Space("items-1", FUSION, RANKS, untrained(FUSION, RANKS))  # type: ignore[arg-type]
NOTHING_DONE = History()


def said(seed: int = 0, demographics: np.ndarray | None = None) -> Said:
    random = np.random.default_rng(seed)
    text = random.normal(size=12).astype(np.float32)
    return Said(Encoded({"text": text}), demographics)


def anew(space: Space, what: Said) -> Query:
    user = user_vector(space.fusion.blocks, what.vectors, None, 0, 3.0)
    return composed(space, user, NOTHING_DONE)


def same(one: Query, other: Query) -> bool:
    return np.array_equal(one.vector, other.vector) and one.by_part.keys() == other.by_part.keys()


def test_words_asked_with_again_give_the_query_that_was_made() -> None:
    queries, ada = Queries(3.0), said()
    first = queries.of(SPACE, ada, NOTHING_DONE)
    assert same(first, anew(SPACE, ada))
    assert queries.of(SPACE, Said(ada.words, None), NOTHING_DONE) is first


def test_what_is_new_makes_a_new_query() -> None:
    queries, ada = Queries(3.0), said()
    random = np.random.default_rng(1)
    ids = [f"i{at}" for at in range(80)]
    content = np.stack([FUSION.fuse({"text": random.normal(size=12)}) for _ in ids])
    hybrid = random_hybrid(FUSION, RANKS, ids, content, beta=0.5)
    spaces = [
        SPACE,
        dataclasses.replace(SPACE, hybrid=hybrid),
        dataclasses.replace(SPACE, hybrid=dataclasses.replace(hybrid, graph=None)),
    ]
    made = [queries.of(space, ada, NOTHING_DONE) for space in spaces]
    assert all(same(one, anew(space, ada)) for one, space in zip(made, spaces, strict=True))
    assert not same(made[0], made[1])
    assert not same(made[1], made[2])
    for age in (1.0, 2.0):
        told = Said(ada.words, np.full(8, age, dtype=np.float32))
        assert same(queries.of(SPACE, told, NOTHING_DONE), anew(SPACE, told))


def test_with_a_history_every_query_is_made_anew() -> None:
    queries, ada = Queries(3.0), said()
    rank = np.zeros(RANKS.dim, dtype=np.float32)
    rank[: RANKS.content] = FUSION.fuse({"text": np.ones(12)})
    rank[RANKS.content] = 1.0
    history = History.of(SPACE, ["a"], [rank], ["A"], [{}], [1.0], [0.0], 86_400.0)
    alone = queries.of(SPACE, ada, NOTHING_DONE)
    assert not same(queries.of(SPACE, ada, history), alone)
    assert queries.of(SPACE, ada, NOTHING_DONE) is alone


def test_a_query_is_forgotten_with_the_words_it_was_made_of() -> None:
    queries, ada, bob = Queries(3.0), said(1), said(2)
    queries.of(SPACE, ada, NOTHING_DONE)
    queries.of(SPACE, bob, NOTHING_DONE)
    assert len(queries) == 2
    del ada
    assert len(queries) == 1


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_queries_are_kept_than_may_be(most: int) -> None:
    queries = Queries(3.0, most)
    people = [said(seed) for seed in range(7)]
    for one in people:
        assert same(queries.of(SPACE, one, NOTHING_DONE), anew(SPACE, one))
        assert len(queries) <= most
