"""The attributes block of a fusion: raw vectors of items, and which value carried a score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.fields import Scalar
from domain.vectors import BlockMap, Vector
from encoders.attributes.tokens import value_tokens, values_of
from encoders.attributes.vocabulary import AttributeMap, Attributes, Rows

_SAME = 1e-3
"""How far the block of an item may be off what its attributes give (rounding is about 1e-6)."""


class Told(NamedTuple):
    """One value's part of a score.

    Attributes:
        name: of the attribute, as published.
        value: as published.
        share: what it adds to the score; the shares of an item's values sum to the block's part.
    """

    name: str
    value: Scalar
    share: float


class AttributeBlock:
    """How one fusion reads attributes. Immutable, safe to share between threads."""

    def __init__(self, mapping: AttributeMap, block: BlockMap) -> None:
        """block: the fusion's map of the raw vectors that `mapping` gives."""
        self.mapping = mapping
        self.block = block

    def encode(self, items: Sequence[Attributes]) -> list[Vector | None]:
        """The raw vector of the block for each item, in order; None where nothing is known.

        Values that the fit did not see are passed over; an item with no other is None, and
        fusion treats its block as missing.

        Returns:
            [raw_dim] float32 each, finite, not zero.
        """
        return self.mapping.rows(items).vectors()

    def told(
        self,
        query: Vector,
        items: Sequence[tuple[Attributes, Vector]],
    ) -> list[list[Told]]:
        """What each value of each item adds to query . item within the block, largest first.

        The block is linear in the item's tokens: with weights w_t (sum of squares 1), directions
        d_t, mean m and projection P it is scale * sum_t (w_t d_t - w_t^2 m) @ P, so each token's
        share is exact, its part of the mean taken off. Values of a name that share a token share
        its part.

        Args:
            query: [dim], the query's span of this block.
            items: attributes, and the same span [dim] of the item's vector in the index.

        Returns:
            Nothing for an item whose block was imputed, or does not come from these attributes.
        """
        if not items:
            return []
        rows = self.mapping.rows([attributes for attributes, _ in items])
        back = self.block.projection.astype(np.float64) @ query.astype(np.float64)
        centre = float(self.block.mean @ back)
        found: list[list[Told]] = []
        for at, raw in enumerate(rows.vectors()):
            attributes, vector = items[at]
            scale = self._scale(raw, vector) if raw is not None else 0.0
            found.append(
                _shares(rows, at, attributes, scale * back, scale * centre) if scale else []
            )
        return found

    def _scale(self, raw: Vector, vector: Vector) -> float:
        """How long the item's block is beside the mapped raw vector; 0 if it is not that one."""
        mapped = (raw - self.block.mean).astype(np.float64) @ self.block.projection
        square = float(mapped @ mapped)
        if not square:
            return 0.0
        scale = float(mapped @ vector) / square
        off = float(np.linalg.norm(scale * mapped - vector))
        return scale if scale > 0 and off <= _SAME * float(np.linalg.norm(vector)) else 0.0


def _shares(
    rows: Rows, at: int, attributes: Attributes, back: NDArray[np.float64], centre: float
) -> list[Told]:
    start, stop = rows.weights.indptr[at], rows.weights.indptr[at + 1]
    columns = rows.weights.indices[start:stop]
    weights = rows.weights.data[start:stop].astype(np.float64)
    parts = weights * (rows.directions[columns] @ back) - weights**2 * centre
    by_column = dict(zip(columns.tolist(), parts.tolist(), strict=True))
    owners: dict[int, list[tuple[str, Scalar]]] = defaultdict(list)
    for name, value in attributes.items():
        for one in values_of(value):
            for token in value_tokens(name, one):
                column = rows.tokens.get(token)
                if column is not None and column in by_column:
                    owners[column].append((name, one))
    shares: dict[tuple[str, Scalar], float] = defaultdict(float)
    for column, several in owners.items():
        for owner in several:
            shares[owner] += by_column[column] / len(several)
    told = [Told(name, value, share) for (name, value), share in shares.items()]
    return sorted(told, key=lambda one: (-one.share, one.name, str(one.value)))
