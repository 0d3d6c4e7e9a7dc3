"""A from the sums, in closed form; many settings for the price of one factorisation.

    A = s A0 + (G + l1 tr(G)/d I)^-1 (M - s G A0 H) (H + l2 I)^-1,   H = C^T C

(SCIENCE section 2). It minimises the ridge loss around the prior s A0: without interactions
G = M = 0 and A = A0. C carries a constant 1 in its last column, so that the level of a user's
scores is fitted by it and not by the content; it is dropped afterwards, for a constant per user
ranks nothing.

The ridge may be put in another *metric*: with c' = D c the same penalty presses on c'. D undoes
part of the fusion's whitening, direction by direction; G, M and H only have to be scaled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from domain.vectors import BlockMap, Matrix
from ranking.layout import rank_dim
from ranking.training.data import Double
from ranking.training.statistics import Statistics
from ranking.training.users import UserLayout

EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Ridge:
    """The penalty.

    Attributes:
        users: l1, relative to the mean of G's diagonal.
        items: l2, in items.
        metric: power of the fusion's whitening that is undone: 0 keeps the served coordinates,
            1 the variances of the encoder's own.
        prior: whether A shrinks toward the prior (else toward 0).
    """

    users: float = 0.3
    items: float = 1.0
    metric: float = 1.0
    prior: bool = True


def item_gram(items: Matrix) -> Double:
    """H = [C, 1]^T [C, 1], [d + 1, d + 1] float64, over the items that have content."""
    dim = items.shape[1]
    gram = np.zeros((dim + 1, dim + 1))
    for start in range(0, len(items), 16_384):
        part = items[start : start + 16_384].astype(np.float64)
        part = part[np.any(part != 0, axis=1)]
        rows = np.column_stack([part, np.ones(len(part))])
        gram += rows.T @ rows
    return gram


def metric_of(blocks: Sequence[BlockMap], power: float) -> Double:
    """D, [d]: for each coordinate of c what undoes its whitening, 1 in the mean of its block."""
    scale = np.ones(rank_dim(blocks))
    for block in blocks:
        lengths = np.linalg.norm(block.projection.astype(np.float64), axis=0)
        inverse = 1.0 / np.maximum(lengths, EPSILON * max(float(lengths.max(initial=0.0)), 1.0))
        inverse = inverse**power
        scale[block.start : block.stop] = inverse / np.sqrt(np.mean(inverse**2))
    return scale


@dataclass
class Solver:
    """The factorised sums in one metric.

    Args:
        statistics: G and M.
        gram: H of `item_gram`.
        prior: A0 stacked by the parts of z, [d_u, d] float64, or None.
        metric: [d] of `metric_of`.
    """

    statistics: Statistics
    gram: Double = field(repr=False)
    prior: Double | None = field(repr=False)
    metric: Double = field(repr=False)

    def __post_init__(self) -> None:
        layout = self.statistics.layout
        self._right = np.append(self.metric, 1.0)
        self._left = np.ones(layout.dim)
        start, stop = layout.spans["history"]
        self._left[start:stop] = self.metric
        gram = self.statistics.gram * self._left[:, None] * self._left[None, :]
        cross = self.statistics.cross * self._left[:, None] * self._right[None, :]
        inner = self.gram * self._right[:, None] * self._right[None, :]
        self._users, self._user_axes = np.linalg.eigh(gram)
        self._items, self._item_axes = np.linalg.eigh(inner)
        self._unit = max(float(np.trace(gram)) / len(gram), EPSILON)
        self._cross = self._user_axes.T @ cross @ self._item_axes
        self.scale = 1.0
        self._pull = np.zeros_like(self._cross)
        if self.prior is not None:
            # In the metric A0 becomes D_u^-1 A0 D_i^-1: scores stay what they were.
            known = np.zeros_like(cross)
            known[:, :-1] = self.prior / self._left[:, None] / self.metric[None, :]
            rotated = self._user_axes.T @ known @ self._item_axes
            met = self._users[:, None] * rotated * self._items[None, :]
            energy = float(np.sum(rotated * met))
            if energy > EPSILON:
                self.scale = max(float(np.sum(rotated * self._cross)) / energy, 0.0)
            self._pull = self.scale * met

    def solve(self, ridge: Ridge) -> Double:
        """A stacked by the parts of z: [d_u, d] float64, in the served coordinates."""
        left = self._users[:, None] + ridge.users * self._unit
        right = np.maximum(self._items, 0.0)[None, :] + ridge.items
        cross = self._cross - self._pull if ridge.prior else self._cross
        found = self._user_axes @ (cross / (left * right)) @ self._item_axes.T
        found = found * self._left[:, None] * self._right[None, :]
        content: Double = found[:, :-1]
        if ridge.prior and self.prior is not None:
            content = content + self.scale * self.prior
        return content


def stacked(layout: UserLayout, matrices: Mapping[str, Matrix], dim: int) -> Double:
    """{part: [d_part, d]} as one [d_u, d] float64; zeros for a part that is not there."""
    found = np.zeros((layout.dim, dim))
    for part, (start, stop) in layout.spans.items():
        if part in matrices:
            found[start:stop] = matrices[part]
    return found
