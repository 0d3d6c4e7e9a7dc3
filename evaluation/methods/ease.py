"""EASE: an item-item linear model in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from evaluation.methods.histories import binary, popular_where_unknown, popularity
from evaluation.methods.task import Task

MAX_ITEMS = 20_000
"""With more items the dense item-item matrix (float32) passes 1.6 GB, and its inverse hours."""


class Ease:
    """B = I - P / diag(P), P = (X^T X + l I)^-1; scores X B.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8. An item without
    interactions has no column and scores 0.
    """

    name = "ease"

    def __init__(self, strength: float = 300.0) -> None:
        """
        Args:
            strength: l, the L2 penalty.
        """
        self.strength = strength

    def fit(self, task: Task) -> None:
        """Invert the Gram matrix of the items that have interactions.

        Raises:
            RejectedError: more than MAX_ITEMS of them.
        """
        self._popularity = popularity(task.train)
        self._warm = np.flatnonzero(task.warm)
        if len(self._warm) > MAX_ITEMS:
            raise RejectedError(
                f"EASE inverts a matrix of {len(self._warm)} x {len(self._warm)} items,"
                f" the limit is {MAX_ITEMS}",
                field="--methods",
                remedy="leave ease out, or evaluate on a sample of the catalogue",
            )
        seen = binary(task.train)[:, self._warm]
        gram = (seen.T @ seen).toarray().astype(np.float32)
        gram[np.diag_indices_from(gram)] += np.float32(self.strength)
        factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        inverse = linalg.cho_solve(
            factor, np.eye(len(self._warm), dtype=np.float32), overwrite_b=True, check_finite=False
        )
        weights = -inverse / np.diag(inverse)[None, :]
        weights[np.diag_indices_from(weights)] = 0.0
        self._weights = np.asarray(weights, dtype=np.float32)

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        scores = np.zeros((len(users), len(self._popularity)), dtype=np.float32)
        scores[:, self._warm] = binary(history)[:, self._warm] @ self._weights
        return popular_where_unknown(scores, history, self._popularity)
