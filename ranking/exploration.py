"""Exploration by posterior (Thompson) sampling over the top candidates.

A score is an estimate. Where an item has had N interactions, and a prior as strong as k of them
speaks for its content alone, what is left to be learned of its score has variance
sigma^2 k / (N + k): the posterior variance of a Gaussian mean, and sigma^2 (1 - g) in the terms of
the gate g = N / (N + k). A trained ridge adds the direction: the posterior of A is
N(A, s^2 G^-1) with the regularised Gram G = C^T C + l I, so that the variance of u^T A c grows
with c^T G^-1 c, the leverage of c (Agrawal and Goyal, 2013). A sampled score is drawn from that
posterior, and the best sampled ones get the places set aside for exploration: an item is tried
about as often as it may be among the best.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.vectors import Matrix

EXPLORE = "explore"
"""The part of a score that was drawn."""
SAME = 1e-6
"""Scores whose deviation is at most this share of the largest count as equal."""


def places(
    count: int, explore: float, cold_share: float, draw: np.random.Generator
) -> tuple[int, int]:
    """How many of `count` results explore, and how many of those are for items without
    interactions: count * explore and that * cold_share on average, whole numbers each time."""
    exploring = min(count, _whole(count * explore, draw))
    return exploring, min(exploring, _whole(exploring * cold_share, draw))


def _whole(expected: float, draw: np.random.Generator) -> int:
    below = int(np.floor(expected))
    return below + int(draw.random() < expected - below)


def posterior_sd(
    interactions: ArrayLike,
    prior_count: float,
    spread: float,
    leverage: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """How unsure each item's score is: [n] float64, one standard deviation.

    Args:
        interactions: [n], N of each item.
        prior_count: k > 0, how many interactions the content is worth.
        spread: sigma, the deviation for an item without interactions.
        leverage: [n], c^T G^-1 c; its mean counts as 1, so that `spread` keeps its meaning.
    """
    counts = np.maximum(np.asarray(interactions, dtype=np.float64), 0.0)
    variance = prior_count / (prior_count + counts)
    if leverage is not None and len(leverage) and leverage.mean() > 0:
        variance = variance * leverage / leverage.mean()
    return np.asarray(spread * np.sqrt(variance), dtype=np.float64)


def leverage(content: Matrix, factor: Matrix) -> NDArray[np.float64]:
    """c^T G^-1 c of each item, [n] float64.

    Args:
        content: [n, d] float32.
        factor: [d, r] float32, F with F F^T = G^-1 (or its r leading directions).
    """
    through = np.asarray(content @ factor, dtype=np.float64)
    found: NDArray[np.float64] = (through * through).sum(axis=1)
    return found


def spread_of(scores: ArrayLike) -> float:
    """The standard deviation of the candidates' scores, the scale that exploration is told on;
    1 where they differ by no more than `SAME` of their size (rounding, or items that came in one
    batch)."""
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        return 1.0
    found = float(values.std())
    return found if found > SAME * float(np.abs(values).max()) else 1.0
