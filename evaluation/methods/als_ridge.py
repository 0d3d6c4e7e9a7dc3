"""ALS, and ridge maps from content to its factors for whoever has none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from evaluation.methods.factors import ImplicitAls
from evaluation.methods.histories import ridge_map, with_one
from evaluation.methods.task import Task


class AlsRidge:
    """Collaborative factors where there are interactions, mapped from content where there are none.

    Gantner et al., "Learning Attribute-to-Feature Mappings for Cold-Start Recommendations", ICDM
    2010, with ALS in the place of BPR and ridge regression as the map. A user without history gets
    factors mapped from their profile; without one, the mean user's.
    """

    name = "als-ridge"

    def __init__(
        self, factors: int = 128, regularization: float = 1.0, alpha: float = 1.0, map: float = 1.0
    ) -> None:
        """
        Args:
            factors, regularization, alpha: of ALS, see ImplicitAls.
            map: strength of the ridge, relative to the mean variance of the content's dimensions.
        """
        self.als = ImplicitAls(factors, regularization, alpha)
        self.map = map

    def fit(self, task: Task) -> None:
        """Factorise, then map."""
        self.als.fit(task)
        self._known = np.asarray(task.train.getnnz(axis=1) > 0)
        self._factors = self.als.user_factors(task.train[self._known])
        self.refit(task)

    def refit(self, task: Task) -> None:
        """Map again, with the factors that are there."""
        content, warm = with_one(task.items), task.warm
        learned = ridge_map(content[warm], self.als.item_factors[warm], self.map)
        self._items = self.als.item_factors.copy()
        self._items[~warm] = content[~warm] @ learned
        self._newcomers: Matrix = np.repeat(
            self._factors.mean(axis=0, keepdims=True), len(self._known), axis=0
        )
        if task.profiles:
            people = with_one(np.hstack([task.profiles[name] for name in sorted(task.profiles)]))
            learned = ridge_map(people[self._known], self._factors, self.map)
            self._newcomers = people @ learned

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        wanted = self.als.user_factors(history)
        new = history.getnnz(axis=1) == 0
        wanted[new] = self._newcomers[users[new]]
        return np.asarray(wanted @ self._items.T, dtype=np.float32)
