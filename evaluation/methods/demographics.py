"""What people who declare the same take: popularity within one's own kind of people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import FeatureHasher

from encoders.attributes.tokens import attribute_tokens
from evaluation.methods.task import Task
from evaluation.splits.split import Sparse

_PLACES = 2**18
"""Of hashed tokens; far more than there are, so that each has its own."""


class Demographics:
    """A ridge regression of what users took on what they declare, one indicator per token.

        W = (X^T X + l I)^-1 X^T (Y - mean),   Y_u = R_u / sqrt(n_u),   scores = mean + X W

    Who declares nothing gets the popular. What they took besides is not looked at.
    """

    name = "demographics"

    def __init__(self, strength: float = 10.0) -> None:
        """strength: l > 0."""
        self.strength = strength

    def fit(self, task: Task) -> None:
        """One solve over the tokens that training users declare."""
        declared = [
            attribute_tokens(user.demographics) if task.profiles else []
            for user in task.dataset.users
        ]
        hasher = FeatureHasher(_PLACES, input_type="string", alternate_sign=False)
        rows = csr_matrix(hasher.transform(declared), dtype=np.float32)
        active = np.flatnonzero(task.train.getnnz(axis=1) > 0)
        used = np.flatnonzero(rows[active].getnnz(axis=0))
        self._rows: Sparse = csr_matrix(rows[:, used], dtype=np.float32)
        taken: Sparse = csr_matrix(task.train[active], dtype=np.float32)
        taken.data[:] = 1.0 / np.sqrt(np.repeat(taken.getnnz(axis=1), taken.getnnz(axis=1)))
        self._mean = np.asarray(taken.sum(axis=0)).ravel() / len(active)
        known = self._rows[active]
        left = (known.T @ known).toarray() + self.strength * np.eye(len(used))
        right = (known.T @ taken).toarray() - np.outer(np.asarray(known.sum(axis=0)), self._mean)
        self._weights = np.linalg.solve(left, right)

    def scores(self, users: NDArray[np.int64], _history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        return np.asarray(self._mean + self._rows[users] @ self._weights, dtype=np.float32)
