"""Rows of user vectors z = [text; image_text; profile; demographics; history; 1], many at a time.

Row by row this is what `ranking.user.user_vector` serves, made by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.vectors import BlockMap, Matrix
from ranking.layout import PARTS, part_dims
from ranking.user import TINY, row_lengths, user_parts


@dataclass(frozen=True)
class UserLayout:
    """Where each part lies in z.

    Attributes:
        spans: {part: (start, stop)}, in the order of PARTS.
    """

    spans: Mapping[str, tuple[int, int]]

    @property
    def dim(self) -> int:
        """Length of z."""
        return max(stop for _, stop in self.spans.values())

    def split(self, rows: NDArray[np.floating]) -> dict[str, Matrix]:
        """[d_u, d] by part: {part: [d_part, d] float32}."""
        return {
            part: np.ascontiguousarray(rows[start:stop], dtype=np.float32)
            for part, (start, stop) in self.spans.items()
        }


def user_layout(blocks: Sequence[BlockMap], profiles: Mapping[str, Matrix]) -> UserLayout:
    """The parts that there are: history, one, and the profile parts of which there is any."""
    dims = part_dims(blocks)
    spans: dict[str, tuple[int, int]] = {}
    start = 0
    for part in PARTS:
        if part not in ("history", "one") and part not in profiles:
            continue
        dim = profiles[part].shape[1] if part in profiles else dims[part]
        spans[part] = (start, start + dim)
        start += dim
    return UserLayout(spans)


def user_rows(
    blocks: Sequence[BlockMap],
    layout: UserLayout,
    profiles: Mapping[str, Matrix],
    history: NDArray[np.floating],
    counts: NDArray[np.floating],
    k0: float,
) -> NDArray[np.float64]:
    """z of n users, [n, dim] float64.

    Args:
        profiles: {part: [n, d_part]} of `profile_rows`.
        history: [n, rank_dim], the (weighted) sum or mean of each user's item vectors.
        counts: [n], how many items each history holds.
    """
    lengths = row_lengths(history)
    lengths[lengths <= TINY] = np.inf
    unit = history / lengths[:, None]
    rows = np.zeros((len(counts), layout.dim))
    for part, values in user_parts(blocks, profiles, unit, counts, k0).items():
        start, stop = layout.spans[part]
        rows[:, start:stop] = values
    rows[:, layout.spans["one"][0]] = 1.0
    return rows
