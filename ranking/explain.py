"""A score and the parts that make it up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.vectors import Matrix, Vector
from ranking.layout import Layout
from ranking.query import NOT_CONTENT, Query
from ranking.space import CF, GRAPH

BIAS = "bias"
FINEST_STEP = -40
"""Parts are whole multiples of 2^-40 (about 1e-12), or of a coarser power for huge scores."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One item's score.

    Attributes:
        score: exactly sum(parts.values()), in any order of summation.
        parts: {block name: contribution} for every block of the fused vector, then "bias"; then,
            of a rank vector, "cf" and "graph".
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
            if name in modalities or (name in (BIAS, CF, GRAPH) and value != 0.0)
        }
        return max(told or self.parts, key=self.parts.__getitem__)


def contributions(query: Query, items: Matrix, layout: Layout) -> dict[str, NDArray[np.float64]]:
    """What each part of u contributes through each block: {part: [n, n_blocks] float64}.

    "cf" and "graph" go through no block and are not there.
    """
    exact = items.astype(np.float64)
    return {
        part: through_blocks(exact, vector.astype(np.float64), query.centre, layout)
        for part, vector in query.by_part.items()
        if part not in (CF, GRAPH)
    }


def through_blocks(
    items: NDArray[np.float64], asked: NDArray[np.float64], centre: Vector | None, layout: Layout
) -> NDArray[np.float64]:
    """What each block of each item contributes, [n, n_blocks]. Where the query is centred, a
    block is too: what its mean would contribute, times the item's weight of content, is taken
    off, and all of this together is the number that the query holds against that weight."""
    starts = [start for start, _ in layout.values()]
    length = _length(layout)
    parts: NDArray[np.float64] = np.add.reduceat(items[:, :length] * asked[:length], starts, axis=1)
    if centre is not None:
        parts -= items[:, length : length + 1] * np.add.reduceat(asked[:length] * centre, starts)
    return parts


def _length(layout: Layout) -> int:
    return max(stop for _, stop in layout.values())


def explain(query: Query, items: Matrix, layout: Layout) -> list[Explained]:
    """The score of each item, split by content block, bias, collaborative part and graph.

    The parts are rounded to whole multiples of one power of two, small enough to be out of sight
    and large enough for every partial sum to be exact in float64. So the parts shown add up to the
    score shown, bit by bit, in any order and after a JSON round trip.

    Args:
        items: [n, dim] float32: rank vectors, or content vectors alone. The query is as long.
        layout: the content blocks in order of position.
    """
    if len(items) == 0:
        return []
    exact = items.astype(np.float64)
    asked = np.zeros(items.shape[1])
    for part, vector in query.by_part.items():
        if part not in NOT_CONTENT:
            asked += vector
    told = NOT_CONTENT if items.shape[1] > _length(layout) else NOT_CONTENT[:1]
    parts = np.zeros((len(items), len(layout) + len(told)))
    parts[:, : len(layout)] = through_blocks(exact, asked, query.centre, layout)
    for column, part in enumerate(told, len(layout)):
        if part in query.by_part:
            parts[:, column] = exact @ query.by_part[part].astype(np.float64)
    parts = on_a_grid(parts)
    names = [*layout, BIAS, CF, GRAPH][: parts.shape[1]]
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
    steps = grid_step(np.abs(parts).sum(axis=1))[:, None]
    rounded: NDArray[np.float64] = np.rint(parts / steps) * steps + 0.0
    return rounded


def grid_step(sizes: ArrayLike) -> NDArray[np.float64]:
    """The power of two whose multiples are added exactly while their absolute sum is below about
    `sizes`; never finer than 2^FINEST_STEP."""
    _, exponents = np.frexp(sizes)
    return np.asarray(np.ldexp(1.0, np.maximum(exponents - 52, FINEST_STEP)))
