"""The space of rank vectors: what is put together comes apart again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranking import rank_space, vector_query, widened

from .conftest import make_fusion

FUSION = make_fusion()
DIM = 15


@given(
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 8),
    st.floats(0.05, 3.0),
    st.integers(0, 1000),
)
def test_every_part_comes_back_from_a_rank_vector(factors, graph, count, warm, seed):
    random = np.random.default_rng(seed)
    space = rank_space(FUSION.blocks, factors, graph)
    content = random.normal(size=(count, DIM)).astype(np.float32)
    gates = random.random(count) * 0.99 * (random.random(count) < 0.7)
    v = random.normal(size=(count, factors)).astype(np.float32)
    pi = random.normal(size=(count, graph)).astype(np.float32)
    rank = space.compose(content, gates, warm, v, pi)
    assert rank.shape == (count, space.dim)
    assert space.dim == DIM + 1 + factors + 1 + graph
    np.testing.assert_allclose(space.content_of(rank), content, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(space.gates_of(rank), gates, rtol=1e-6)
    np.testing.assert_allclose(space.weights_of(rank), 1 - gates + gates * warm, rtol=1e-6)
    np.testing.assert_allclose(
        space.factors_of(rank), v * (gates > 0)[:, None], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(space.graph_of(rank), pi)


def test_the_spans_follow_each_other_and_cover_the_vector():
    space = rank_space(FUSION.blocks, 4, 3)
    ends = 0
    for start, stop in space.spans.values():
        assert start == ends
        ends = stop
    assert ends == space.dim
    assert list(space.spans) == ["text", "image", "audio", "offset", "cf", "graph"]


def test_an_item_of_which_only_content_is_known_has_a_weight_of_one_and_zeros_behind():
    space = rank_space(FUSION.blocks, 4, 3)
    (rank,) = space.compose(np.full((1, DIM), 0.25, dtype=np.float32))
    assert rank.tolist() == [0.25] * DIM + [1.0] + [0.0] * 8


def test_a_query_on_content_alone_meets_nothing_else():
    space = rank_space(FUSION.blocks, 4, 3)
    random = np.random.default_rng(3)
    content, asked = random.normal(size=(2, DIM)).astype(np.float32)
    rank = space.compose(content[None], np.array([0.9]), 1.0, np.ones((1, 4), dtype=np.float32))
    query = widened(vector_query(asked), space)
    np.testing.assert_allclose(rank @ query.vector, [content @ asked], rtol=1e-5)
