"""Whatever a hybrid is made of, scores, parts and sources add up exactly, after JSON too."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import explain, rank_space, user_vector
from ranking.guards import bounded
from ranking.parts import with_parts
from ranking.sources import history_asks, sources
from ranking.user import decayed, history_vector
from tests.fixtures.hybrids import random_hybrid
from tests.ranking.conftest import make_fusion

FUSION = make_fusion()
SPACE = rank_space(FUSION.blocks, 4, 3)
COUNT = 30
IDS = [f"i{number}" for number in range(COUNT)]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    method=st.sampled_from(["als", "ease"]),
    newcomers=st.booleans(),
    past=st.sampled_from([0, 1, 5, 25]),
    speaks=st.booleans(),
    bias_bound=st.sampled_from([0.0, 0.3, float("inf")]),
    size=st.integers(-3, 5),
)
def test_scores_are_the_sums_of_their_parts_and_of_their_sources(
    seed, method, newcomers, past, speaks, bias_bound, size
):
    random = np.random.default_rng(seed)
    content = random.normal(size=(COUNT, SPACE.content))
    content = (content / np.linalg.norm(content, axis=1)[:, None]).astype(np.float32)
    hybrid = random_hybrid(
        FUSION, SPACE, IDS, content, seed=seed, beta=0.7, method=method, newcomers=newcomers
    )
    places = random.normal(size=(COUNT, SPACE.graph)).astype(np.float32)
    ranks, _ = hybrid.rank_vectors(IDS, content, places=places)
    weights, ages_s = random.uniform(0.5, 3, past), random.uniform(0, 1e6, past)
    history = history_vector(content[:past], weights, ages_s, 1e5) if past else None
    lengths = {"text": 12, "image_text": 10, "demographics": 64}
    said = {part: random.normal(size=length) for part, length in lengths.items()}
    query = hybrid.query(
        user_vector(FUSION.blocks, said if speaks else {}, history, past, 3.0),
        collaborative=hybrid.fold_in(IDS[:past], ranks[:past], weights) if past else None,
        graph=hybrid.graph_profile(ranks[:past], weights) if past else None,
    )
    told, _ = bounded(explain(query, ranks, SPACE.blocks), bias_bound)
    more = {
        "rules": random.normal(size=COUNT) * 10.0**size,
        "explore": random.normal(size=COUNT),
    }
    told = with_parts(told, more)
    asks = None
    if "history" in query.by_part:
        shares = decayed(weights, ages_s, 1e5)
        asks = history_asks(hybrid.projection, query, SPACE.content_of(ranks[:past]), shares)
    for before, (one, rows) in zip(
        told, sources(query, ranks, SPACE.blocks, told, asks), strict=True
    ):
        shown = json.loads(json.dumps([row.parts for row in rows]))
        scores = [sum(parts.values()) for parts in shown]
        assert sum(one.parts.values()) == sum(reversed(one.parts.values())) == one.score
        assert sum(scores) == math.fsum(scores) == one.score
        assert abs(one.score - before.score) < 1e-9 * max(1.0, abs(before.score))
        for name, value in one.parts.items():
            column = [parts.get(name, 0.0) for parts in shown]
            assert sum(column) == math.fsum(column) == value


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(["als", "ease"]))
def test_an_explained_score_is_the_inner_product_that_the_index_orders_by(seed, method):
    random = np.random.default_rng(seed)
    content = random.normal(size=(COUNT, SPACE.content))
    content = (content / np.linalg.norm(content, axis=1)[:, None]).astype(np.float32)
    hybrid = random_hybrid(FUSION, SPACE, IDS, content, seed=seed, beta=0.7, method=method)
    places = random.normal(size=(COUNT, SPACE.graph)).astype(np.float32)
    ranks, _ = hybrid.rank_vectors(IDS, content, places=places)
    history = history_vector(content[:5], np.ones(5), np.zeros(5), 1e5)
    query = hybrid.query(
        user_vector(FUSION.blocks, {}, history, 5, 3.0),
        collaborative=hybrid.fold_in(IDS[:5], ranks[:5], np.ones(5)),
        graph=hybrid.graph_profile(ranks[:5], np.ones(5)),
    )
    told = explain(query, ranks, SPACE.blocks)
    expected = ranks.astype(np.float64) @ query.vector.astype(np.float64)
    np.testing.assert_allclose([one.score for one in told], expected, rtol=1e-5, atol=1e-5)
