"""Bounds on what one item can make of itself.

Fused vectors have at most unit length, so no item can be loud; near-duplicates are limited in an
answer (`ranking/diversity.py`); and the predicted popularity of an item, its bias, counts only so
many standard deviations above the mean of the catalogue: it is the one direction in which an item
that is made for it climbs for everybody at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domain.vectors import Matrix
from ranking.explain import BIAS, Explained, on_a_grid
from ranking.hybrid import Hybrid
from ranking.moments import Moments
from ranking.query import Query

RIDGE = 1e-3
"""l of (Cov + l * trace/d * I)^-1: keeps directions that no item varies in from being infinite."""


def bias_rate(hybrid: Hybrid) -> float | None:
    """The standard deviation of the bias a_1 . c over the catalogue, for a_1 of length 1.

    One product of [d, d]: ask once for a hybrid. None where there is no bias, or no moments to
    measure it by.
    """
    matrix = hybrid.projection.matrices.get("one")
    if hybrid.moments is None or matrix is None:
        return None
    length = float(np.linalg.norm(matrix[0]))
    if length == 0.0:
        return None
    return hybrid.moments.of_scores(matrix[0] / np.float32(length))[1]


def bias_bound(query: Query, content: int, rate: float, limit: float) -> float:
    """The largest bias that counts: `limit` standard deviations over the mean, which is 0.

    Args:
        content: length of the content vector.
        rate: of `bias_rate`.
    """
    return limit * rate * float(np.linalg.norm(query.by_part["one"][:content]))


def bounded(told: Sequence[Explained], bound: float) -> tuple[list[Explained], bool]:
    """Scores whose bias is above the bound, with the bound instead; and whether there was any.
    The others are as they were, bit by bit."""
    if not any(one.parts[BIAS] > bound for one in told):
        return list(told), False
    return [_bounded(one, bound) if one.parts[BIAS] > bound else one for one in told], True


def _bounded(told: Explained, bound: float) -> Explained:
    parts = {**told.parts, BIAS: bound}
    (row,) = on_a_grid(np.array([list(parts.values())])).tolist()
    return Explained(float(sum(row)), dict(zip(parts, row, strict=True)))


def direction_factor(moments: Moments) -> Matrix:
    """F with F F^T = (Cov + l I)^-1, [d, d] float32: how unsure A is along each direction of c,
    for `ranking.exploration.leverage`. One eigendecomposition: ask once for a hybrid."""
    covariance = moments.covariance.astype(np.float64)
    dim = len(covariance)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0.0) + RIDGE * np.trace(covariance) / dim + 1e-12
    return np.asarray(vectors / np.sqrt(values), dtype=np.float32)
