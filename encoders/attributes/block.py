"""The attributes block of a fusion: raw vectors of items, and which value carried a score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.fields import Scalar
from domain.vectors import BlockMap, Matrix, Vector
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


class Basis(NamedTuple):
    """One item's values, ready to be asked about.

    Attributes:
        values: [v] (name, value), as published.
        tokens: [t, dim] float32, what each token puts into the item's block.
        rest: [t], the share of each token in what the block's mean and a centred query add.
        shares: [v, t] float32, which part of each token is which value's.
    """

    values: tuple[tuple[str, Scalar], ...]
    tokens: Matrix
    rest: NDArray[np.float64]
    shares: Matrix

    def told(self, query: NDArray[np.floating], part: float) -> list[Told]:
        """What each value adds, largest first; together `part`. query: [dim]."""
        adds = (self.tokens @ query.astype(np.float32)).astype(np.float64)
        adds += (part - adds.sum()) * self.rest
        found = (self.shares @ adds).tolist()
        told = [Told(*value, share) for value, share in zip(self.values, found, strict=True)]
        return sorted(told, key=lambda one: (-one.share, one.name, str(one.value)))


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
        query: NDArray[np.floating],
        vectors: Matrix,
        attributes: Sequence[Attributes],
        parts: Sequence[float] | None = None,
    ) -> list[list[Told]]:
        """What each value of each item adds to the block's part of a score, largest first.

        The block is linear in the item's tokens: with weights w_t (sum of squares 1), directions
        d_t, mean m and projection P it is scale * sum_t (w_t d_t - w_t^2 m) @ P, so each token's
        share of query . block is exact, its part of the mean taken off. What else the part holds
        (a query that is centred) is spread by w_t^2 as well. Values of a name that share a token
        share what it adds.

        Args:
            query: [dim], the query's span of this block.
            vectors: [n, dim], the same span of the items' vectors in the index.
            attributes: of the n items.
            parts: [n], what the shares add up to; query . vector where None.

        Returns:
            Nothing for an item whose block was imputed, or does not come from these attributes.
        """
        bases = self.bases(vectors, attributes)
        found: list[list[Told]] = [[] for _ in attributes]
        for at, basis in enumerate(bases):
            if basis is not None:
                part = float(query @ vectors[at]) if parts is None else parts[at]
                found[at] = basis.told(query, part)
        return found

    def bases(self, vectors: Matrix, attributes: Sequence[Attributes]) -> list[Basis | None]:
        """What `told` knows of each item before anybody asks; see there for the arguments."""
        rows = self.mapping.rows(attributes)
        found: list[Basis | None] = [None] * len(attributes)
        raws = {at: raw for at, raw in enumerate(rows.vectors()) if raw is not None}
        if not raws:
            return found
        mapped = (np.stack(list(raws.values())) - self.block.mean) @ self.block.projection
        for at, own in zip(raws, mapped.astype(np.float64), strict=True):
            if scale := _scale(own, vectors[at]):
                found[at] = self._basis(rows, at, attributes[at], scale)
        return found

    def _basis(self, rows: Rows, at: int, attributes: Attributes, scale: float) -> Basis:
        start, stop = rows.weights.indptr[at], rows.weights.indptr[at + 1]
        columns = rows.weights.indices[start:stop]
        weights = rows.weights.data[start:stop].astype(np.float64)
        into = (scale * weights)[:, None] * (rows.directions[columns] @ self.block.projection)
        place = {column: token for token, column in enumerate(columns.tolist())}
        owners: dict[int, list[tuple[str, Scalar]]] = defaultdict(list)
        for name, value in attributes.items():
            for one in values_of(value):
                for token in value_tokens(name, one):
                    column = rows.tokens.get(token)
                    if column is not None and column in place:
                        owners[place[column]].append((name, one))
        values = list(dict.fromkeys(owner for several in owners.values() for owner in several))
        number = {value: position for position, value in enumerate(values)}
        shares = np.zeros((len(values), len(columns)), dtype=np.float32)
        for row, several in owners.items():
            for owner in several:
                shares[number[owner], row] += 1.0 / len(several)
        squares = weights**2
        return Basis(tuple(values), into.astype(np.float32), squares / squares.sum(), shares)


def _scale(own: NDArray[np.float64], vector: Vector) -> float:
    """How long the item's block is beside the mapped raw vector; 0 if it is not that one."""
    square = float(own @ own)
    if not square:
        return 0.0
    scale = float(own @ vector) / square
    off = float(np.linalg.norm(scale * own - vector))
    return scale if scale > 0 and off <= _SAME * float(np.linalg.norm(vector)) else 0.0
