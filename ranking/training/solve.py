"""A from the sums, in closed form; a penalty more costs one factorisation more.

    A = s A0 + t D (D G D + l1 tr(DGD)/d I)^-1 D (M - s G A0 H) E (E H E + l2 I)^-1 E,
    H = sum over the items of  h_i c_i c_i^T

(SCIENCE section 2, with D = E = I, t = 1 and h = 1; h: `ranking.training.statistics`). With t = 1
it minimises the ridge loss around the prior s A0: without interactions G = M = 0 and A = A0. C
carries a constant 1 in its last column, so that the level of a user's scores is fitted by it and
not by the content; it is dropped afterwards, for a constant per user ranks nothing.

The loss takes interactions for independent, but those of one user are not: of two people's tastes
it would make everybody's. t = n / (n + 20), for n users, is how far A leaves the prior for what
they say; it is 1 where A shrinks toward 0, for then it would change no order.

D and E put the ridge in another *metric*: with c' = E c the same penalty presses on c'. They are
diagonal, E on the item's side and D on the user's, whose history lies in the same coordinates: a
power of the fusion's whitening, undone direction by direction, times a scale for each block. The
smaller the scale, the heavier the penalty on the block. At 0 nothing is learned of it, neither of
the block in the history nor of the block in the item, and A has there what s A0 has: the prior's
values while A shrinks toward the prior, zeros else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from domain.vectors import BlockMap, Matrix
from ranking.layout import rank_dim
from ranking.training.concepts import low_rank
from ranking.training.data import Double
from ranking.training.statistics import Statistics
from ranking.training.users import UserLayout

EPSILON = 1e-12
PRIOR_USERS = 20
"""How many users the prior counts as."""


@dataclass(frozen=True, slots=True)
class Ridge:
    """The penalty.

    Attributes:
        users: l1, relative to the mean of G's diagonal, > 0.
        items: l2, in items, > 0.
        metric: power of the fusion's whitening that is undone: 0 keeps the served coordinates,
            1 the variances of the encoder's own.
        prior: whether A shrinks toward the prior (else toward 0).
        blocks: a scale >= 0 for each block of the fusion, in their order; empty: 1 for all.
        concepts: A goes through so many (`ranking.training.concepts`); 0: it has full rank.
    """

    users: float = 0.3
    items: float = 1.0
    metric: float = 1.0
    prior: bool = True
    blocks: tuple[float, ...] = ()
    concepts: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))  # JSON has lists


def item_gram(items: Matrix, weights: Double) -> Double:
    """H = sum of h [c; 1] [c; 1]^T, [d + 1, d + 1] float64, over the items that have content.

    Args:
        items: [n, d], c.
        weights: [n] >= 0, h.
    """
    dim = items.shape[1]
    gram = np.zeros((dim + 1, dim + 1))
    counted = np.flatnonzero(np.any(items != 0, axis=1) & (weights > 0))
    for start in range(0, len(counted), 16_384):
        at = counted[start : start + 16_384]
        rows = np.column_stack([items[at].astype(np.float64), np.ones(len(at))])
        rows *= np.sqrt(weights[at])[:, None]
        gram += rows.T @ rows
    return gram


def metric_of(blocks: Sequence[BlockMap], ridge: Ridge) -> Double:
    """E, [d]: what undoes each coordinate's whitening, its block's scale in the mean of a block."""
    scale = np.ones(rank_dim(blocks))
    scales = ridge.blocks or (1.0,) * len(blocks)
    for block, weight in zip(blocks, scales, strict=True):
        lengths = np.linalg.norm(block.projection.astype(np.float64), axis=0)
        inverse = 1.0 / np.maximum(lengths, EPSILON * max(float(lengths.max(initial=0.0)), 1.0))
        inverse = inverse**ridge.metric
        scale[block.start : block.stop] = weight * inverse / np.sqrt(np.mean(inverse**2))
    return scale


@dataclass
class Sums:
    """What A is solved from: G, M, H and the prior, whatever the penalty.

    Args:
        statistics: G and M.
        gram: H of `item_gram`.
        prior: A0 stacked by the parts of z, [d_u, d] float64.

    Attributes:
        scale: s, by which A0 explains M best, >= 0.
        kept: share of the predictions' second moment that concepts left in what was solved last.
    """

    statistics: Statistics
    gram: Double = field(repr=False)
    prior: Double = field(repr=False)

    def __post_init__(self) -> None:
        known = np.column_stack([self.prior, np.zeros(len(self.prior))])
        met = self.statistics.gram @ known @ self.gram
        energy = float(np.sum(known * met))
        self.scale = 1.0
        if energy > EPSILON:
            self.scale = max(float(np.sum(known * self.statistics.cross)) / energy, 0.0)
        self._pull = self.scale * met
        self.kept = 1.0

    def left(self, metric: Double) -> Double:
        """D, [d_u], of E."""
        found = np.ones(self.statistics.layout.dim)
        start, stop = self.statistics.layout.spans["history"]
        found[start:stop] = metric
        return found

    def users(self, ridge: Ridge, metric: Double) -> Double:
        """t D (D G D + l1 tr(DGD)/d I)^-1 D (M - s G A0 H) E, [d_u, d + 1]."""
        left, right = self.left(metric), np.append(metric, 1.0)
        gram = self.statistics.gram * left[:, None] * left[None, :]
        cross = self.statistics.cross - self._pull if ridge.prior else self.statistics.cross
        cross = cross * left[:, None] * right[None, :]
        unit = max(float(np.trace(gram)) / len(gram), EPSILON)
        gram[np.diag_indices_from(gram)] += ridge.users * unit
        found: Double = cho_solve(cho_factor(gram, overwrite_a=True), cross, overwrite_b=True)
        number = self.statistics.users
        trust = number / (number + PRIOR_USERS) if ridge.prior else 1.0
        return found * (trust * left)[:, None]

    def items(self, ridge: Ridge, metric: Double, candidates: Double) -> Double:
        """(E H E + l2 I)^-1 E c of some items c, [d + 1, n].

        Args:
            candidates: [n, d].
        """
        right = np.append(metric, 1.0)
        gram = self.gram * right[:, None] * right[None, :]
        gram[np.diag_indices_from(gram)] += ridge.items
        wanted = np.vstack([(candidates * metric[None, :]).T, np.zeros(len(candidates))])
        found: Double = cho_solve(cho_factor(gram, overwrite_a=True), wanted, overwrite_b=True)
        return found

    def solve(self, ridge: Ridge, metric: Double) -> Double:
        """A stacked by the parts of z: [d_u, d] float64, in the served coordinates."""
        every = np.eye(len(metric))
        found = self.users(ridge, metric) @ self.items(ridge, metric, every)
        if ridge.prior:
            found += self.scale * self.prior
        return self._through(found, ridge) if ridge.concepts else found

    def _through(self, a: Double, ridge: Ridge) -> Double:
        """A through its concepts, in the metric of what was learned from; the penalties keep what
        A says in directions that nobody has had yet."""
        users, items = self.statistics.gram.copy(), self.gram[:-1, :-1].copy()
        unit = max(float(np.trace(users)) / len(users), EPSILON)
        users[np.diag_indices_from(users)] += ridge.users * unit
        items[np.diag_indices_from(items)] += ridge.items
        found = low_rank(a, users, items, ridge.concepts)
        self.kept = found.kept
        return found.matrix.astype(np.float64)


def stacked(layout: UserLayout, matrices: Mapping[str, Matrix], dim: int) -> Double:
    """{part: [d_part, d]} as one [d_u, d] float64; zeros for a part that is not there."""
    found = np.zeros((layout.dim, dim))
    for part, (start, stop) in layout.spans.items():
        if part in matrices:
            found[start:stop] = matrices[part]
    return found
