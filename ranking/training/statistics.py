"""The sums over users that A is solved from. Adding and forgetting users is exact arithmetic.

Each user gives rows z (what is known of them) with one target vector t (what they took):

    t_u = 1/n_u * sum over their items i of  w_ui h_i pop_i^-alpha [c_i; 1]
    G = sum of  omega z z^T,   M = sum of  omega z t^T,   omega_u = n_u times the row's share

One row has the whole history. Further rows have only k of its items, k drawn from the lengths
that new users are served at, and all of the targets ("history dropout"): a user with one known
item is then asked with an A that has seen such users.

h_i = pop_i / (pop_i + young) is the weight of item i in the loss. That nobody else took an item
which three people took says little as long as most people have not met it; without h, A counts all
of them against it, and an item loses places by its first interaction. An item that nobody took yet
has no weight at all.

pop, and the item vectors c, are frozen when the sums are begun: what a user adds depends on
nobody else, so forgetting them is subtracting the same numbers again.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import BlockMap, Matrix
from ranking.training.data import Double, Sparse, TrainingData
from ranking.training.pairs import only, owners, turns
from ranking.training.users import UserLayout, user_layout, user_rows
from ranking.user import profile_rows

USERS_AT_ONCE = 2048

LENGTHS = (0, 1, 3, 5, 10)
"""Histories that dropout leaves; `Recipe.dropout` rows of a user take one each, at random."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How users become rows.

    Attributes:
        alpha: how far popular items are damped as targets, 0 to 1.
        dropout: rows with a shortened history per user.
        share: omega of a shortened row, as a share of the full row's.
        k0: how slowly history takes over from the profile, as it is served.
        young: interactions at which an item has half of its weight, >= 0.
    """

    alpha: float = 0.25
    dropout: int = 2
    share: float = 0.1
    k0: float = 3.0
    young: float = 10.0

    def weights(self, popularity: NDArray[np.integer]) -> Double:
        """h of items that so many users took, [n]; 0 where nobody did."""
        return np.asarray(popularity / np.maximum(popularity + self.young, 1.0), dtype=np.float64)


@dataclass
class Statistics:
    """G and M of some users, and what their rows were made with.

    Attributes:
        layout: of z.
        recipe: how rows are made.
        damping: [n_items] float32, h_i pop_i^-alpha; 0 for an item without interactions.
        gram: G, [d_u, d_u] float64.
        cross: M, [d_u, d + 1] float64; the last column belongs to the constant 1.
        users: how many users are in it.
        interactions: how many interactions.
    """

    layout: UserLayout
    recipe: Recipe
    damping: NDArray[np.float32] = field(repr=False)
    gram: Double = field(repr=False)
    cross: Double = field(repr=False)
    users: int = 0
    interactions: int = 0
    _gram_stays: bool = field(default=False, init=False, repr=False)
    _targets: Double | None = field(default=None, init=False, repr=False)

    @classmethod
    def begin(cls, data: TrainingData, recipe: Recipe) -> Statistics:
        """No user yet; popularity as it is in `data`."""
        popularity = data.popularity()
        damping = recipe.weights(popularity) * np.maximum(popularity, 1.0) ** -recipe.alpha
        layout = user_layout(data.blocks, data.profiles)
        width = data.items.shape[1] + 1
        return cls(
            layout,
            recipe,
            damping.astype(np.float32),
            np.zeros((layout.dim, layout.dim)),
            np.zeros((layout.dim, width)),
        )

    @classmethod
    def of(cls, data: TrainingData, recipe: Recipe) -> Statistics:
        """Of all users; time linear in interactions, memory bounded by blocks of users."""
        made = cls.begin(data, recipe)
        made.add(data.blocks, data.items, data.interactions, data.profiles)
        return made

    def damped(self, data: TrainingData, alpha: float) -> Statistics:
        """The same users' with another alpha; G stays, which knows nothing of it."""
        made = Statistics.begin(data, replace(self.recipe, alpha=alpha))
        made._gram_stays = True
        made.add(data.blocks, data.items, data.interactions, data.profiles)
        made.gram, made._gram_stays = self.gram, False
        return made

    def toward(self, data: TrainingData, targets: Double) -> Statistics:
        """The same users' with other targets; G stays, which knows nothing of them.

        Args:
            targets: [n_items, d + 1], what an item that was taken adds to its user's target in
                the place of h pop^-alpha [c; 1].
        """
        made = Statistics.begin(data, self.recipe)
        made._gram_stays, made._targets = True, targets
        made.add(data.blocks, data.items, data.interactions, data.profiles)
        made.gram, made._gram_stays = self.gram, False
        return made

    def add(
        self,
        blocks: Sequence[BlockMap],
        items: Matrix,
        interactions: Sparse,
        profiles: Mapping[str, Matrix],
        *,
        sign: float = 1.0,
    ) -> None:
        """Add users, or subtract them (sign = -1) with the very rows that they added.

        Args:
            items: [n_items, d] float32, as they were when the sums were begun.
            interactions: [n, n_items], the users' own, whole.
            profiles: {part: [n, d_part]}, raw.
        """
        prepared = profile_rows(blocks, profiles)
        weighted = items * self.damping[:, None]
        for start in range(0, interactions.shape[0], USERS_AT_ONCE):
            part = interactions[start : start + USERS_AT_ONCE]
            active = np.flatnonzero(np.diff(part.indptr) > 0)
            if not len(active):
                continue
            block = csr_matrix(part[active])
            mine = {name: rows[start + active] for name, rows in prepared.items()}
            self._add_block(
                blocks,
                items,
                weighted,
                block,
                mine,
                sign,
            )
            self.users += int(sign) * len(active)
            self.interactions += int(sign) * block.nnz

    def _add_block(
        self,
        blocks: Sequence[BlockMap],
        items: Matrix,
        weighted: Matrix,
        block: csr_matrix,
        profiles: Mapping[str, NDArray[np.float32]],
        sign: float,
    ) -> None:
        counts = np.diff(block.indptr).astype(np.float64)
        sums = block @ items
        if self._targets is not None:
            targets = block @ self._targets
        else:
            targets = np.empty((len(counts), items.shape[1] + 1))
            targets[:, :-1] = block @ weighted
            targets[:, -1] = block @ self.damping
        targets /= counts[:, None]
        k0, seeds = self.recipe.k0, _seeds_of(block)
        rows = user_rows(blocks, self.layout, profiles, sums, counts, k0)
        together = self._sum(rows, counts, sign)
        for draw in range(self.recipe.dropout):
            kept = _shortened(block, seeds, draw)
            fewer = np.diff(kept.indptr).astype(np.float64)
            rows = user_rows(blocks, self.layout, profiles, kept @ items, fewer, k0)
            together += self._sum(rows, counts * self.recipe.share, sign)
        self.cross += sign * (together.T @ targets)  # all rows of a user have one target

    def _sum(self, rows: Double, omega: Double, sign: float) -> Double:
        """Add rows to G; omega z, which M still lacks."""
        if not self._gram_stays:
            halves = rows * np.sqrt(omega)[:, None]
            self.gram += sign * (halves.T @ halves)
        return rows * omega[:, None]


def _seeds_of(interactions: csr_matrix) -> NDArray[np.uint32]:
    """A seed for each user's dropout that depends on nothing but their interactions, [n]."""
    bounds = interactions.indptr
    return np.array(
        [
            zlib.crc32(interactions.indices[a:b].astype("<i8").tobytes())
            for a, b in pairwise(bounds)
        ],
        dtype=np.uint32,
    )


def _shortened(block: csr_matrix, seeds: NDArray[np.uint32], draw: int) -> csr_matrix:
    """At most k items of each row, k and the items drawn by the row's own seed."""
    owner = owners(block)
    lengths = np.asarray(LENGTHS)[_mixed(seeds, 2 * draw + 1) % len(LENGTHS)]
    lots = _mixed(
        seeds[owner] ^ (block.indices.astype(np.uint32) * np.uint32(2654435761)), 2 * draw + 2
    )
    return only(block, turns(owner, lots, block.shape[0]) < lengths[owner])


def _mixed(values: NDArray[np.uint32], salt: int) -> NDArray[np.uint32]:
    """MurmurHash3's finaliser: well-spread 32-bit numbers, the same on every machine."""
    mixed = values.astype(np.uint32) + np.uint32(salt * 0x9E3779B9 & 0xFFFFFFFF)
    mixed ^= mixed >> np.uint32(16)
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed
