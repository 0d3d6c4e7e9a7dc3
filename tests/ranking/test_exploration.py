"""Exploration: how many places, how unsure a score is, and what a draw tends to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.exploration import leverage, places, posterior_sd, spread_of


@given(st.integers(0, 100), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_places_are_whole_and_never_more_than_there_are(count, explore, cold, seed):
    exploring, untried = places(count, explore, cold, np.random.default_rng(seed))
    assert 0 <= untried <= exploring <= count
    assert abs(exploring - count * explore) < 1
    assert abs(untried - exploring * cold) < 1


def test_the_share_is_exact_on_average():
    draw = np.random.default_rng(0)
    found = np.array([places(10, 0.13, 0.4, draw) for _ in range(20_000)])
    assert found[:, 0].mean() == pytest.approx(1.3, abs=0.02)
    assert found[:, 1].mean() == pytest.approx(0.52, abs=0.02)


def test_the_variance_is_that_of_a_gaussian_mean_after_n_observations():
    """Golden: the conjugate posterior by its precisions, prior k observations of variance 1."""
    counts, k, spread = np.array([0, 1, 10, 90]), 10.0, 0.5
    observation = spread**2 * k
    by_precision = 1.0 / (1.0 / spread**2 + counts / observation)
    assert posterior_sd(counts, k, spread) ** 2 == pytest.approx(by_precision)


def test_leverage_is_that_of_the_inverse_gram_and_only_its_direction_counts():
    random = np.random.default_rng(0)
    content = random.normal(size=(20, 5))
    gram = content.T @ content + np.eye(5)
    factor = np.linalg.cholesky(np.linalg.inv(gram))
    found = leverage(content.astype(np.float32), factor.astype(np.float32))
    by_hand = np.einsum("nd,de,ne->n", content, np.linalg.inv(gram), content)
    assert found == pytest.approx(by_hand, rel=1e-4)
    sd = posterior_sd(np.zeros(20), 10.0, 1.0, found)
    assert (sd**2).mean() == pytest.approx(1.0)
    assert np.argmax(sd) == np.argmax(by_hand)


def test_a_spread_is_never_zero():
    assert spread_of([]) == spread_of([2.0, 2.0]) == 1.0
    assert spread_of([0.1] * 3) == 1.0, "the deviation of equal numbers, rounded, is not a scale"
    assert spread_of([1.0, 3.0]) == 1.0


def test_sampling_tries_an_item_about_as_often_as_it_may_be_the_best():
    """Two items, means 0 and d, equal deviations: P(first wins) = Phi(-d / (sd sqrt 2))."""
    draw = np.random.default_rng(1)
    sd = posterior_sd([0, 0], 10.0, 1.0)
    samples = np.array([0.0, 1.0]) + sd * draw.standard_normal((50_000, 2))
    assert (samples[:, 0] > samples[:, 1]).mean() == pytest.approx(0.2398, abs=0.01)
