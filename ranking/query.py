"""One inner-product query, and what each part of a user contributes to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.vectors import Vector
from ranking.space import RankSpace

NOT_CONTENT = ("one", "cf", "graph")
"""Parts of a query that are told by themselves; every other one is told by content block."""


@dataclass(frozen=True, slots=True)
class Query:
    """What one inner-product search is made with.

    Attributes:
        vector: [dim] float32, the sum of `by_part`.
        by_part: {part: [dim] float32}: text, image_text, profile, history, one ... of the user
            vector, then cf and graph.
        centre: [content] float32, the mean item vector that the content parts are centred by;
            None where they are not.
    """

    vector: Vector
    by_part: dict[str, Vector]
    centre: Vector | None = None

    @property
    def is_zero(self) -> bool:
        """Whether it prefers nothing: no search can rank by it."""
        return not self.vector.any()


def vector_query(vector: Vector) -> Query:
    """A ready fused vector, [content] float32, as a query: an item's own, or an example's."""
    return Query(vector, {"history": vector})


def widened(query: Query, space: RankSpace) -> Query:
    """A query on content alone, in the space of rank vectors: zeros against all the rest."""

    def wide(vector: Vector) -> Vector:
        found = np.zeros(space.dim, dtype=np.float32)
        found[: space.content] = vector
        return found

    return Query(wide(query.vector), {part: wide(vector) for part, vector in query.by_part.items()})
