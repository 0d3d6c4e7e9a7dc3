"""What several methods compute from the training interactions in the same way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix

_TINY = 1e-12


def binary(matrix: csr_matrix) -> csr_matrix:
    """The same entries, each 1.0."""
    ones = matrix.copy()
    ones.data = np.ones_like(ones.data, dtype=np.float32)
    return ones


def unit_rows(matrix: Matrix) -> Matrix:
    """[n, d] with rows of length 1; rows of zeros stay zeros."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(norms, _TINY), dtype=np.float32)


def mean_of_history(history: csr_matrix, items: Matrix) -> Matrix:
    """[n, d] float32: the mean vector of the items in each row; zeros where there are none."""
    rows = binary(history)
    counts = np.maximum(np.asarray(rows.sum(axis=1)), 1.0)
    return np.asarray((rows @ items) / counts, dtype=np.float32)


def popularity(train: csr_matrix) -> NDArray[np.float32]:
    """[n_items] how many users have each item in `train`."""
    return np.asarray(train.getnnz(axis=0), dtype=np.float32)


def popular_where_unknown(
    scores: NDArray[np.float32], history: csr_matrix, popularity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores [n, n_items], with popularity [n_items] in the rows of users without history.

    A purely collaborative method knows nothing of such a user; in production it would answer what
    is popular, so it is judged by that and not by chance.
    """
    scores[history.getnnz(axis=1) == 0] = popularity
    return scores


def ridge_map(sources: Matrix, targets: Matrix, strength: float) -> Matrix:
    """W [d, k] that minimises |sources W - targets|^2 + strength * mean variance * |W|^2.

    `sources` [n, d] should hold a column of ones where an intercept is wanted.
    """
    wide = sources.astype(np.float64)
    gram = wide.T @ wide
    gram[np.diag_indices_from(gram)] += strength * max(np.trace(gram) / len(gram), _TINY)
    return np.asarray(np.linalg.solve(gram, wide.T @ targets.astype(np.float64)), dtype=np.float32)


def with_one(matrix: Matrix) -> Matrix:
    """[n, d + 1]: a column of ones appended."""
    return np.hstack([matrix, np.ones((len(matrix), 1), dtype=np.float32)])
