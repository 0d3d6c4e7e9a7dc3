"""Methods that learn nothing: random, popularity, raw and whitened cosine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from evaluation.methods.histories import mean_of_history, popularity, unit_rows
from evaluation.methods.task import Task
from ranking.layout import SOURCE_BLOCKS
from ranking.user import source_mean


class Random:
    """Every user gets the items in an order of their own."""

    name = "random"

    def fit(self, task: Task) -> None:
        """Remember the seed."""
        self._seed = task.seed
        self._items = len(task.items)

    def scores(self, users: NDArray[np.int64], _history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items], the same for the same user whatever others are asked for."""
        rows = [
            np.random.default_rng((self._seed, int(user))).random(self._items) for user in users
        ]
        return np.asarray(rows, dtype=np.float32).reshape(len(users), self._items)


class Popularity:
    """The number of users who have the item in the training interactions."""

    name = "popularity"

    def fit(self, task: Task) -> None:
        """Count."""
        self._counts = popularity(task.train)

    def scores(self, users: NDArray[np.int64], _history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items], all rows alike."""
        return np.repeat(self._counts[None], len(users), axis=0)


class RawCosine:
    """Mean cosine, over the modalities, of raw item vectors to the mean of the user's history.

    A user without history is compared by their profile where it lies in an item's space.
    """

    name = "raw-cosine"

    def fit(self, task: Task) -> None:
        """Scale the vectors to unit length."""
        self._task = task
        self._units = {name: unit_rows(matrix) for name, matrix in task.raw.items()}

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items] within -1 and 1."""
        task = self._task
        total = np.zeros((len(users), len(task.items)), dtype=np.float32)
        for name, units in self._units.items():
            wanted = unit_rows(mean_of_history(history, units))
            for part, block in SOURCE_BLOCKS.items():
                if block == name and part in task.profiles:
                    new = ~wanted.any(axis=1)
                    wanted[new] = unit_rows(task.profiles[part][users[new]])
            total += wanted @ units.T
        return np.asarray(total / max(len(self._units), 1), dtype=np.float32)


class WhitenedCosine:
    """Cosine of fused vectors to the mean of the user's history: the product before training.

    A user without history is compared by their profile, sent into the block of the same space by
    that block's own whitening (the prior A0 of docs/ranking.md).
    """

    name = "whitened-cosine"

    def fit(self, task: Task) -> None:
        """Send the profiles into the items' space."""
        self._task = task
        self._profiles = profiles_in_item_space(task)

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items] within -1 and 1."""
        task = self._task
        wanted = unit_rows(mean_of_history(history, task.items))
        new = ~wanted.any(axis=1)
        wanted[new] = self._profiles[users[new]]
        return np.asarray(wanted @ task.items.T, dtype=np.float32)


def profiles_in_item_space(task: Task) -> Matrix:
    """[n_users, d] float32, unit norm: profiles through the whitening of the block they reach."""
    reached = np.zeros((len(task.dataset.users), task.items.shape[1]), dtype=np.float32)
    for part, name in SOURCE_BLOCKS.items():
        vectors = task.profiles.get(part)
        block = next((block for block in task.blocks if block.name == name), None)
        if vectors is None or block is None:
            continue
        there = vectors.any(axis=1)
        whitened = (vectors[there] - source_mean(block, part)) @ block.projection
        reached[there, block.start : block.stop] = (
            unit_rows(whitened.astype(np.float32)) * block.weight
        )
    return unit_rows(reached)
