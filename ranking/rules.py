"""What business rules do to scores and to the choice of results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.filters import passes
from domain.rules import AtMost, Rules

DAY_S = 86_400.0

RULES = "rules"
"""The part of a score that the rules make up."""


def addends(
    rules: Rules, attributes: Sequence[Mapping[str, Any]], indexed_at: ArrayLike, now: float
) -> NDArray[np.float64]:
    """What the rules add to each item's score: boosts, minus buries, plus freshness.

    Args:
        attributes: of n items.
        indexed_at: [n] seconds since 1970; what lies in the future has age 0.
        now: seconds since 1970.

    Returns:
        [n] float64.
    """
    found = np.zeros(len(attributes))
    for sign, lifts in ((1.0, rules.boost), (-1.0, rules.bury)):
        for lift in lifts:
            found += sign * lift.by * np.array([passes(one, lift.where) for one in attributes])
    if rules.freshness is not None:
        ages_s = np.maximum(now - np.asarray(indexed_at, dtype=np.float64), 0.0)
        half_life_s = rules.freshness.half_life_days * DAY_S
        found += rules.freshness.strength * np.exp2(-ages_s / half_life_s)
    return found


class Quota:
    """Counts attribute values of the items taken so far against "at most n with one value"."""

    def __init__(self, limits: Sequence[AtMost]) -> None:
        self._limits = limits
        self._taken: Counter[tuple[str, bool, Any]] = Counter()

    def admits(self, attributes: Mapping[str, Any]) -> bool:
        """Whether another item with these attributes may come."""
        return all(
            self._taken[key] < limit.count
            for limit in self._limits
            for key in _keys(limit.attribute, attributes)
        )

    def take(self, attributes: Mapping[str, Any]) -> None:
        """Count an item."""
        for limit in self._limits:
            self._taken.update(set(_keys(limit.attribute, attributes)))


def _keys(name: str, attributes: Mapping[str, Any]) -> Iterator[tuple[str, bool, Any]]:
    value = attributes.get(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return ((name, isinstance(one, bool), one) for one in values)
