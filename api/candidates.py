"""What an answer is chosen from: hits with their vectors and the scores that were told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from api.ranked import Space
from api.vectors import ItemVectors
from domain.vectors import Matrix
from index import Hit
from ranking import Query, explain
from ranking.explain import Explained


@dataclass(frozen=True, slots=True)
class Candidates:
    """n items in the order that equal scores are shown in.

    Attributes:
        hits: what the index says of them.
        versions: those that `vectors` are of: newer than the hit's where it was written since.
        vectors: [n, rank_dim] float32.
        content: [n, content] float32, unit length.
        told: their scores. Without a query 0, and no parts.
    """

    hits: list[Hit]
    versions: list[int]
    vectors: Matrix
    content: Matrix
    told: list[Explained]

    def __len__(self) -> int:
        return len(self.hits)


def candidates(
    space: Space, query: Query | None, hits: Sequence[Hit], vectors: ItemVectors
) -> Candidates:
    """The hits, best first; of equal scores, and without a query, in their own order.

    A hit whose item is gone by now is left out.
    """
    held = vectors.of_hits(space.collection, hits)
    kept = [hit for hit in hits if hit.id in held]
    dim = space.rank.dim
    matrix = np.zeros((0, dim), dtype=np.float32)
    if kept:
        matrix = np.stack([held[hit.id].vector for hit in kept])
    content = space.rank.content_of(matrix)
    if query is None:
        told = [Explained(0.0, {})] * len(kept)
    else:
        on_content = len(query.vector) == space.rank.content
        told = explain(query, content if on_content else matrix, space.rank.blocks)
        order = sorted(range(len(kept)), key=lambda at: (-told[at].score, kept[at].id))
        kept, told = [kept[at] for at in order], [told[at] for at in order]
        matrix, content = matrix[order], content[order]
    return Candidates(kept, [held[hit.id].version for hit in kept], matrix, content, told)
