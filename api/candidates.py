"""What an answer is chosen from: hits with their vectors and the scores that were told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from api.ranked import Space
from api.vectors import ItemVectors
from domain.vectors import Matrix
from index import Hit
from ranking import Query, RankSpace, explain
from ranking.explain import Explained
from ranking.guards import bounded


@dataclass(frozen=True, slots=True)
class Candidates:
    """n items in the order that equal scores are shown in.

    Attributes:
        hits: what the index says of them.
        versions: those that `vectors` are of: newer than the hit's where it was written since.
        vectors: [n, rank_dim] float32.
        told: their scores. Without a query 0, and no parts.
        bounded: whether the bias of any was beyond what counts, so that the index may have held
            better ones back.
    """

    space: RankSpace
    hits: list[Hit]
    versions: list[int]
    vectors: Matrix
    told: list[Explained]
    bounded: bool = False

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def content(self) -> Matrix:
        """[n, content] float32, the fused vectors."""
        return self.space.content_of(self.vectors)


def candidates(
    space: Space,
    query: Query | None,
    hits: Sequence[Hit],
    vectors: ItemVectors,
    bias_bound: float = float("inf"),
) -> Candidates:
    """The hits, best first; of equal scores, and without a query, in their own order.

    A hit whose item is gone by now is left out. A bias counts up to its bound.
    """
    held = vectors.of_hits(space.collection, hits)
    kept = [hit for hit in hits if hit.id in held]
    dim = space.rank.dim
    matrix = np.zeros((0, dim), dtype=np.float32)
    if kept:
        matrix = np.concatenate([held[hit.id].vector for hit in kept]).reshape(-1, dim)
    cut = False
    if query is None:
        told = [Explained(0.0, {})] * len(kept)
    else:
        told, cut = bounded(explain(query, matrix, space.rank.blocks), bias_bound)
        order = sorted(range(len(kept)), key=lambda at: (-told[at].score, kept[at].id))
        if order != list(range(len(kept))):
            kept, told, matrix = (
                [kept[at] for at in order],
                [told[at] for at in order],
                matrix[order],
            )
    versions = [held[hit.id].version for hit in kept]
    return Candidates(space.rank, kept, versions, matrix, told, cut)
