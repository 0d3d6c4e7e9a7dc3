"""Mean and covariance of item vectors: what standardises a score before it is mixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from domain.vectors import Matrix, Vector

TINY = 1e-9
"""A query under which all items score within this of each other separates nothing."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the item vectors x that a query q meets: q^T x has mean m and standard deviation s.

    Attributes:
        mean: [d] float32.
        covariance: [d, d] float32, symmetric.
    """

    mean: Vector
    covariance: Matrix = field(repr=False)

    @classmethod
    def of(cls, vectors: Matrix) -> Self:
        """Of the rows of a matrix, [n, d] with n >= 1; accumulated in float64, by blocks."""
        count, dim = vectors.shape
        mean = vectors.mean(axis=0, dtype=np.float64)
        square = np.zeros((dim, dim))
        for start in range(0, count, 65_536):
            part = vectors[start : start + 65_536].astype(np.float64) - mean
            square += part.T @ part
        return cls(mean.astype(np.float32), (square / count).astype(np.float32))

    def of_scores(self, query: Vector) -> tuple[float, float]:
        """m = q^T mean and s = sqrt(q^T Cov q) of the scores; s is 1 where q separates nothing."""
        spread = float(query @ (self.covariance @ query))
        deviation = float(np.sqrt(max(spread, 0.0)))
        return float(query @ self.mean), deviation if deviation > TINY else 1.0

    def deviations(self, queries: NDArray[np.floating]) -> NDArray[np.floating]:
        """s of n queries, [n]; 1 where one separates nothing."""
        spread = np.einsum("ij,ij->i", queries @ self.covariance, queries)
        found = np.sqrt(np.maximum(spread, 0.0))
        return np.where(found > TINY, found, 1.0)

    def standardised(self, queries: Matrix, vectors: Matrix) -> Matrix:
        """(q^T x - m) / s of n queries and c vectors, [n, c] float32."""
        scores = queries @ vectors.T - (queries @ self.mean)[:, None]
        return np.asarray(scores / self.deviations(queries)[:, None], dtype=np.float32)

    def check(self, dim: int, field_name: str) -> None:
        """Raises RejectedError for another length than `dim`, NaN or infinity."""
        if self.mean.shape != (dim,) or self.covariance.shape != (dim, dim):
            raise RejectedError(
                f"{list(self.mean.shape)} and {list(self.covariance.shape)}, expected [{dim}] and"
                f" [{dim}, {dim}]",
                field=field_name,
                remedy="train it again",
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise RejectedError("holds NaN or infinity", field=field_name, remedy="train it again")
