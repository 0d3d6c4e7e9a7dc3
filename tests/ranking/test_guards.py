"""A bias counts up to its bound, and uncertainty follows the directions nobody has seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking import Hybrid, Moments, explain, prior, projection, rank_space, user_vector
from ranking.explain import Explained
from ranking.exploration import leverage
from ranking.guards import bias_bound, bias_rate, bounded, direction_factor

from .conftest import make_fusion

FUSION = make_fusion()
SPACE = rank_space(FUSION.blocks, 4, 3)
DIM = SPACE.content


def unit(random, count):
    rows = random.normal(size=(count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def trained(content, random):
    made = projection(
        FUSION,
        {
            "history": np.eye(DIM, dtype=np.float32),
            "one": random.normal(size=(1, DIM)).astype(np.float32),
        },
    )
    return Hybrid("h", made, SPACE, moments=Moments.of(content))


def test_the_bound_is_so_many_deviations_of_the_bias_over_the_catalogue():
    random = np.random.default_rng(0)
    content = unit(random, 500)
    hybrid = trained(content, random)
    query = hybrid.query(user_vector(FUSION.blocks, {}, content[0], 3, 3.0))
    told = explain(query, SPACE.compose(content), SPACE.blocks)
    biases = np.array([one.parts["bias"] for one in told])
    bound = bias_bound(query, DIM, bias_rate(hybrid), 2.0)
    assert bound == pytest.approx(2.0 * biases.std(), rel=1e-4)
    assert biases.mean() == pytest.approx(0.0, abs=1e-4)
    shown, cut = bounded(told, bound)
    assert cut == (biases.max() > bound)
    for before, after in zip(told, shown, strict=True):
        assert after.parts["bias"] <= bound * (1 + 1e-12)
        assert sum(after.parts.values()) == after.score
        if before.parts["bias"] <= bound:
            assert after is before


def test_an_item_made_for_the_bias_gains_no_more_than_the_bound():
    random = np.random.default_rng(1)
    content = unit(random, 500)
    hybrid = trained(content, random)
    query = hybrid.query(user_vector(FUSION.blocks, {}, content[0], 3, 3.0))
    row = hybrid.projection.matrices["one"]
    hostile = SPACE.compose(row / np.linalg.norm(row))
    (loud,) = explain(query, hostile, SPACE.blocks)
    bound = bias_bound(query, DIM, bias_rate(hybrid), 3.0)
    assert loud.parts["bias"] > bound
    ((quiet,), cut) = bounded([loud], bound)
    assert cut
    assert quiet.score == pytest.approx(loud.score - loud.parts["bias"] + bound)


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=4), st.floats(0, 1e3))
def test_bounded_scores_are_still_exactly_their_parts(rows, bound):
    told = [Explained(0.0, {"text": a, "bias": b, "cf": c}) for a, b, c in rows]
    shown, cut = bounded(told, bound)
    for before, after in zip(told, shown, strict=True):
        if before.parts["bias"] > bound:
            assert cut
            assert sum(after.parts.values()) == after.score == sum(reversed(after.parts.values()))


def test_without_a_learned_bias_there_is_no_bound():
    assert bias_rate(Hybrid("p", prior(FUSION), SPACE)) is None
    content = unit(np.random.default_rng(2), 50)
    assert bias_rate(Hybrid("p", prior(FUSION), SPACE, moments=Moments.of(content))) is None


def test_scores_are_least_sure_in_the_directions_that_no_item_lies_in():
    random = np.random.default_rng(3)
    content = unit(random, 400)
    content[:, -5:] *= 0.05
    factor = direction_factor(Moments.of(content))
    known, unknown = np.zeros((2, 1, DIM), dtype=np.float32)
    known[0, 0] = unknown[0, -1] = 1.0
    assert leverage(unknown, factor)[0] > 20 * leverage(known, factor)[0]
    covariance = np.cov(content.T, bias=True)
    ridge = 1e-3 * np.trace(covariance) / DIM
    by_hand = np.linalg.inv(covariance + ridge * np.eye(DIM))
    assert factor @ factor.T == pytest.approx(by_hand, rel=1e-2, abs=1e-2 * by_hand.max())
