"""Rows of user vectors z = [text; image_text; profile; demographics; history; 1], many at a time.

Row by row this is what `ranking.user.user_vector` serves; training has to see the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.vectors import BlockMap, Matrix
from ranking.layout import PARTS, SOURCE_BLOCKS, part_dims
from ranking.user import TINY, source_mean


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


def profile_rows(
    blocks: Sequence[BlockMap], profiles: Mapping[str, Matrix]
) -> dict[str, NDArray[np.float32]]:
    """Every profile part centred and scaled as it is served, before rho: {part: [n, d_part]}."""
    found = {}
    for part, raw in profiles.items():
        there = np.linalg.norm(raw, axis=1) > TINY
        block = next((one for one in blocks if one.name == SOURCE_BLOCKS.get(part)), None)
        if part in SOURCE_BLOCKS and (block is None or block.weight <= 0):
            found[part] = np.zeros_like(raw, dtype=np.float32)
            continue
        rows = raw if block is None else raw - source_mean(block, part)
        reached = rows if block is None else rows @ block.projection
        lengths = np.linalg.norm(reached, axis=1)
        there &= lengths > TINY
        found[part] = np.where(
            there[:, None], rows / np.where(there, lengths, 1.0)[:, None], 0.0
        ).astype(np.float32)
    return found


def user_rows(
    blocks: Sequence[BlockMap],
    layout: UserLayout,
    profiles: Mapping[str, NDArray[np.float32]],
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
    number = len(counts)
    rows = np.zeros((number, layout.dim))
    lengths = np.linalg.norm(history, axis=1)
    known = lengths > TINY
    rho = np.where(known, k0 / (k0 + counts), 1.0)
    reach = np.zeros(number)
    for part, matrix in profiles.items():
        for block in blocks:
            if SOURCE_BLOCKS.get(part) == block.name:
                reach += np.any(matrix != 0, axis=1) * block.weight**2
    reach = np.sqrt(np.where(reach > 0, reach, 1.0))
    for part, matrix in profiles.items():
        start, stop = layout.spans[part]
        scale = rho / reach if part in SOURCE_BLOCKS else rho
        rows[:, start:stop] = matrix * scale[:, None]
    start, stop = layout.spans["history"]
    share = np.where(known, (1.0 - rho) / np.where(known, lengths, 1.0), 0.0)
    rows[:, start:stop] = history * share[:, None]
    rows[:, layout.spans["one"][0]] = 1.0
    return rows
