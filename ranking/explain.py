"""A score and the parts that make it up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.vectors import Matrix
from ranking.layout import Layout
from ranking.projection import Query

BIAS = "bias"
FINEST_STEP = -40
"""Parts are whole multiples of 2^-40 (about 1e-12), or of a coarser power for huge scores."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One item's score.

    Attributes:
        score: exactly sum(parts.values()), in any order of summation.
        parts: {block name: contribution} for every block of the fused vector, then "bias".
    """

    score: float
    parts: dict[str, float]

    def reason(self, modalities: frozenset[str] | set[str]) -> str:
        """The modality that carried the score most, of those the item has; or "bias".

        A block that was imputed for the item is a linear function of the modalities it has, so
        what such a block contributes is not a reason of its own.
        """
        told = {
            name: value
            for name, value in self.parts.items()
            if name in modalities or (name == BIAS and value != 0.0)
        }
        return max(told or self.parts, key=self.parts.__getitem__)


def contributions(query: Query, items: Matrix, layout: Layout) -> dict[str, NDArray[np.float64]]:
    """What each part of u contributes through each block: {part: [n, n_blocks] float64}."""
    starts = [start for start, _ in layout.values()]
    exact = items.astype(np.float64)
    return {
        part: np.add.reduceat(exact * vector.astype(np.float64), starts, axis=1)
        for part, vector in query.by_part.items()
    }


def explain(query: Query, items: Matrix, layout: Layout) -> list[Explained]:
    """The score of each item, split by block and bias.

    The parts are rounded to whole multiples of one power of two, small enough to be out of sight
    and large enough for every partial sum to be exact in float64. So the parts shown add up to the
    score shown, bit by bit, in any order and after a JSON round trip.

    Args:
        items: [n, rank_dim] float32, the items' fused vectors.
        layout: the blocks in order of position; they cover the whole vector.
    """
    if len(items) == 0:
        return []
    exact = items.astype(np.float64)
    asked = np.zeros(items.shape[1])
    for part, vector in query.by_part.items():
        if part != "one":
            asked += vector
    parts = np.zeros((len(items), len(layout) + 1))
    starts = [start for start, _ in layout.values()]
    parts[:, :-1] = np.add.reduceat(exact * asked, starts, axis=1)
    if "one" in query.by_part:
        parts[:, -1] = exact @ query.by_part["one"].astype(np.float64)
    parts = on_a_grid(parts)
    names = [*layout, BIAS]
    scores = parts.sum(axis=1).tolist()
    rows = parts.tolist()
    return [
        Explained(score, dict(zip(names, row, strict=True)))
        for score, row in zip(scores, rows, strict=True)
    ]


def on_a_grid(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row rounded to multiples of one power of two such that every sum of it is exact.

    With |row|_1 < 2^e the multiples of 2^(e-52) need at most 52 bits and a carry: float64 has 53.
    """
    _, exponents = np.frexp(np.abs(parts).sum(axis=1))
    steps = np.ldexp(1.0, np.maximum(exponents - 52, FINEST_STEP))[:, None]
    rounded: NDArray[np.float64] = np.rint(parts / steps) * steps + 0.0
    return rounded
