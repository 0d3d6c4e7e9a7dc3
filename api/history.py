"""What somebody has done, as the vectors that a query is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from api.ranked import Space
from domain.vectors import Matrix, Vector
from ranking import Query, UserVector, history_vector
from ranking.user import decayed


@dataclass(frozen=True, slots=True)
class History:
    """The items of somebody's history that are indexed, each once, in order.

    Attributes:
        ids, titles, attributes: of the items.
        ranks: [n, dim], their rank vectors.
        weights: [n] > 0, what was done with each, added up.
        decayed: [n] > 0, what each counts in `content`.
        content: [content] float32, the decayed mean of their content; None where there is none.
    """

    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    attributes: list[Mapping[str, Any]] = field(default_factory=list)
    ranks: Matrix = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    weights: list[float] = field(default_factory=list)
    decayed: list[float] = field(default_factory=list)
    content: Vector | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls,
        space: Space,
        ids: Sequence[str],
        ranks: Sequence[Vector],
        titles: Sequence[str],
        attributes: Sequence[Mapping[str, Any]],
        weights: Sequence[float],
        ages_s: Sequence[float],
        half_life_s: float,
    ) -> History:
        """Of n things done, several of which may be about one item.

        Args:
            ranks: n rank vectors, [dim] each.
            weights: n numbers > 0.
            ages_s: n ages in seconds.
        """
        if not ids:
            return cls()
        first: dict[str, int] = {}
        total: dict[str, float] = {}
        share: dict[str, float] = {}
        shares = decayed(list(weights), list(ages_s), half_life_s).tolist()
        for at, item_id in enumerate(ids):
            first.setdefault(item_id, at)
            total[item_id] = total.get(item_id, 0.0) + weights[at]
            share[item_id] = share.get(item_id, 0.0) + shares[at]
        matrix = np.stack(ranks)
        return cls(
            ids=list(first),
            titles=[titles[at] for at in first.values()],
            attributes=[attributes[at] for at in first.values()],
            ranks=matrix[list(first.values())],
            weights=list(total.values()),
            decayed=list(share.values()),
            content=history_vector(
                space.rank.content_of(matrix), list(weights), list(ages_s), half_life_s
            ),
        )


def composed(space: Space, user: UserVector, history: History) -> Query:
    """The one query of somebody: their user vector, and what their history says in the
    collaborative factors and in the graph."""
    return space.hybrid.query(
        user,
        collaborative=space.hybrid.fold_in(history.ids, history.ranks, history.weights),
        graph=space.hybrid.graph_profile(history.ranks, history.weights),
    )
