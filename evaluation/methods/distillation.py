"""The product's learned option of distillation: the ridge with EASE's predictions as targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.methods.learned import training_data
from evaluation.methods.task import Task
from ranking.training import choose
from ranking.training.distillation import Distillation
from ranking.training.options import fit_options, sums_of


class EaseDistillation:
    """u^T A c_i, A solved for what an EASE teacher predicts (`ranking.training.distillation`).

    Penalties are those of the ridge, chosen inside the training pairs as for `bilinear`; strength
    and mix are chosen on the harness's validation.
    """

    name = "ease-distillation"

    def __init__(self, strength: float = 300.0, mix: float = 0.5) -> None:
        """As `ranking.training.distillation.Distillation`."""
        self.strength = strength
        self.mix = mix

    def fit(self, task: Task) -> None:
        """Choose the ridge's penalties, then distil.

        Raises:
            ValueError: the run has no features.
        """
        self._data, first = training_data(task, "distillation")
        self._setting, _ = choose(self._data, first, seed=task.seed)
        self._sums = sums_of(self._data, self._setting.recipe, first)
        self.refit(task)

    def refit(self, _task: Task) -> None:
        """Distil again, with the penalties that are there."""
        option = Distillation(self.strength, self.mix)
        [(_, self._a)] = fit_options([option], self._data, self._sums, self._setting.ridge)

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        queries = (self._data.user_rows(users, history) @ self._a).astype(np.float32)
        return np.asarray(queries @ self._data.items.T, dtype=np.float32)
