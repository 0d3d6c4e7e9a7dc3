"""What is worked out once for each hybrid: how far a bias counts, how unsure A is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from api.cache import LruCache
from api.ranked import Space
from domain.vectors import Matrix
from ranking import Query
from ranking.exploration import leverage
from ranking.guards import bias_bound, bias_rate, direction_factor

KEPT = 2
"""Hybrids: the one that serves, and the one before."""

UNBOUNDED = float("inf")


class Uncertainty:
    """Thread-safe; two threads may work the same out."""

    def __init__(self, bias_limit: float) -> None:
        self._limit = bias_limit
        self._rates: LruCache[str, float] = LruCache(KEPT)
        self._factors: LruCache[str, Matrix] = LruCache(KEPT)

    def bias_bound(self, space: Space, query: Query) -> float:
        """The largest bias that counts for this query; infinity where none is learned."""
        if not self._limit or "one" not in query.by_part or space.hybrid.moments is None:
            return UNBOUNDED
        rate = self._rates.get(space.hybrid.version)
        if rate is None:
            rate = bias_rate(space.hybrid) or 0.0
            self._rates.put(space.hybrid.version, rate)
        return bias_bound(query, space.rank.content, rate, self._limit) if rate else UNBOUNDED

    def leverage(self, space: Space, content: Matrix) -> NDArray[np.float64] | None:
        """How unsure A is along each item's content, [n]; None before anything is learned.

        Args:
            content: [n, content] float32.
        """
        moments = space.hybrid.moments
        if moments is None:
            return None
        factor = self._factors.get(space.hybrid.version)
        if factor is None:
            factor = direction_factor(moments)
            self._factors.put(space.hybrid.version, factor)
        return leverage(content - moments.mean, factor)
