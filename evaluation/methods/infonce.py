"""The product's learned option InfoNCE: a bilinear form by gradient descent, alone or mixed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.methods.learned import training_data
from evaluation.methods.task import Task
from ranking.training import choose, stacked, user_layout
from ranking.training.infonce import InfoNce as Recipe
from ranking.training.infonce import fit_infonce
from ranking.training.options import fit_options, sums_of


class InfoNce:
    """u^T A c_i from the features of the closed form; only the fitting differs.

    The implementation is the one that `firstlight train` sets beside the ridge
    (`ranking.training.infonce`); here its decay is chosen on the harness's validation.
    """

    name = "infonce"

    def __init__(
        self,
        decay: float = 1e-2,
        temperature: float = 0.2,
        learning_rate: float = 1e-3,
        epochs: int = 20,
    ) -> None:
        """As `ranking.training.infonce.InfoNce`."""
        self.recipe = Recipe(decay, temperature, learning_rate, epochs)

    def fit(self, task: Task) -> None:
        """Descend from the prior; the order of users and items is the seed's.

        Raises:
            ValueError: the run has no features.
        """
        self._data, first = training_data(task, "infonce")
        layout = user_layout(task.blocks, task.profiles)
        start = stacked(layout, first, task.items.shape[1])
        self._a = fit_infonce(self._data, start, self.recipe, seed=task.seed)

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        queries = (self._data.user_rows(users, history) @ self._a).astype(np.float32)
        return np.asarray(queries @ self._data.items.T, dtype=np.float32)


class RidgeInfoNce:
    """The closed form and InfoNCE in one A, in equal shares (`ranking.training.infonce.mixed`).

    Penalties are those of the ridge, chosen inside the training pairs as for `bilinear`; the decay
    is chosen on the harness's validation.
    """

    name = "ridge-infonce"

    def __init__(self, decay: float = 1e-4, mix: float = 0.5) -> None:
        """As `ranking.training.infonce.InfoNce`."""
        self.decay = decay
        self.mix = mix

    def fit(self, task: Task) -> None:
        """Choose the ridge's penalties, solve, descend, mix.

        Raises:
            ValueError: the run has no features.
        """
        self._data, first = training_data(task, "ridge-infonce")
        self._setting, _ = choose(self._data, first, seed=task.seed)
        self._sums = sums_of(self._data, self._setting.recipe, first)
        self.refit(task)

    def refit(self, task: Task) -> None:
        """Descend again and mix, with the penalties that are there."""
        option = Recipe(self.decay, mix=self.mix)
        ridge = self._setting.ridge
        [(_, self._a)] = fit_options([option], self._data, self._sums, ridge, seed=task.seed)

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        queries = (self._data.user_rows(users, history) @ self._a).astype(np.float32)
        return np.asarray(queries @ self._data.items.T, dtype=np.float32)
