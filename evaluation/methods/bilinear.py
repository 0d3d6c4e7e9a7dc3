"""u^T A c_i: the product's content term, trained in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.methods.task import Task
from ranking import prior
from ranking.training import (
    Fitted,
    TrainingData,
    fit_projection,
    profile_rows,
    stacked,
    user_rows,
)


class Bilinear:
    """The bilinear ridge A of SCIENCE section 2, as `firstlight train` makes it.

    Penalties are chosen inside the training pairs, on items held out as if they were cold, not on
    the harness's validation: that is what a running service can do.
    """

    name = "bilinear"

    def fit(self, task: Task) -> None:
        """Solve for A around the prior of the fusion."""
        if task.fusion is None:
            raise ValueError("the bilinear method needs features")
        self._task = task
        data = TrainingData(task.blocks, task.items, task.train, task.profiles)
        self.fitted: Fitted = fit_projection(data, prior(task.fusion).matrices, seed=task.seed)
        self._layout = self.fitted.statistics.layout
        self._stacked = stacked(self._layout, self.fitted.matrices, task.items.shape[1])
        self._profiles = profile_rows(task.blocks, task.profiles)

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        rows = user_rows(
            self._task.blocks,
            self._layout,
            {part: matrix[users] for part, matrix in self._profiles.items()},
            history @ self._task.items,
            np.diff(history.indptr).astype(np.float64),
            self.fitted.statistics.recipe.k0,
        )
        return np.asarray(
            (rows @ self._stacked).astype(np.float32) @ self._task.items.T, dtype=np.float32
        )
