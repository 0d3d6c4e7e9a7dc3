"""Parts of a score beside those that the query makes: what rules and exploration add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ranking.explain import Explained, on_a_grid


def with_parts(told: Sequence[Explained], more: Mapping[str, ArrayLike]) -> list[Explained]:
    """Each score with further parts added; it is again exactly the sum of all its parts.

    Args:
        told: n scores, all with the same parts.
        more: {part: [n] finite}.
    """
    if not told or not more:
        return list(told)
    names = [*told[0].parts, *more]
    columns = [np.asarray(values, dtype=np.float64) for values in more.values()]
    rows = np.array([list(one.parts.values()) for one in told], dtype=np.float64)
    parts = on_a_grid(np.column_stack([rows.reshape(len(told), -1), *columns]))
    return [
        Explained(score, dict(zip(names, row, strict=True)))
        for score, row in zip(parts.sum(axis=1).tolist(), parts.tolist(), strict=True)
    ]
