"""u^T A c_i: the product's content term, trained in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.methods.learned import content_term, training_data
from evaluation.methods.task import Task


class Bilinear:
    """The bilinear ridge A of SCIENCE section 2, as `firstlight train` makes it.

    Penalties are chosen inside the training pairs, on items held out as if they were cold, not on
    the harness's validation: that is what a running service can do.

    Attributes:
        detail: what was chosen, for the run's file.
    """

    name = "bilinear"

    def fit(self, task: Task) -> None:
        """Solve for A around the prior of the fusion."""
        self._data, first = training_data(task, "the bilinear method")
        self.fitted = content_term(task, self._data, first)
        self.detail: dict[str, Any] = {"projection": self.fitted.report()}

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        return self.fitted.queries(self._data, users, history) @ self._data.items.T
