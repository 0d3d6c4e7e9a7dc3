"""A through K concepts: the best rank-K stand-in for A, in the metric of its predictions.

u^T A c only meets the users and items there are, so closeness is measured on them: with H the
second moment of u and Gc that of c,

    minimise over rank(B) <= k   E (u^T A c - u^T B c)^2 = | H^(1/2) (A - B) Gc^(1/2) |_F^2

whose solution is the truncated SVD of H^(1/2) A Gc^(1/2) = U S V^T, carried back:
B = (H^(-1/2) U_k S_k^(1/2)) (Gc^(-1/2) V_k S_k^(1/2))^T. The columns are the concepts: users and
items get k coordinates each, and the score is their inner product (the source's A_embed). An SVD
of A itself ignores how unevenly u and c fill their spaces and loses most of the quality.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from domain.vectors import Matrix

FLOOR = 1e-10
"""Eigenvalues below this share of the largest are directions nobody has; they are left out."""


@dataclass(frozen=True)
class Concepts:
    """A of rank k, factored.

    Attributes:
        users: [d_u, k] float32; u @ users are a user's concepts.
        items: [d_i, k] float32; c @ items are an item's.
        kept: share of the predictions' second moment that k concepts keep, in [0, 1].
    """

    users: Matrix = field(repr=False)
    items: Matrix = field(repr=False)
    kept: float

    @property
    def matrix(self) -> Matrix:
        """[d_u, d_i] float32, the projection of rank k."""
        return self.users @ self.items.T


def low_rank(
    projection: NDArray[np.floating],
    user_moment: NDArray[np.floating],
    item_moment: NDArray[np.floating],
    k: int,
) -> Concepts:
    """A through k concepts.

    Args:
        projection: [d_u, d_i], A.
        user_moment: [d_u, d_u] symmetric, sum or mean of u u^T.
        item_moment: [d_i, d_i] symmetric, sum or mean of c c^T.
        k: number of concepts, >= 1; more than the rank of A changes nothing.

    Raises:
        RejectedError: shapes that do not fit, or k < 1.
    """
    rows, columns = projection.shape
    if user_moment.shape != (rows, rows) or item_moment.shape != (columns, columns):
        raise RejectedError(
            f"A is {projection.shape}, the moments are {user_moment.shape} and {item_moment.shape}",
            remedy="give the second moments of the same u and c",
        )
    if k < 1:
        raise RejectedError(f"{k} concepts", field="k", remedy="ask for one or more")
    left, left_inverse = _root(user_moment)
    right, right_inverse = _root(item_moment)
    u, s, vt = np.linalg.svd(left @ projection.astype(np.float64) @ right, full_matrices=False)
    k = min(k, int((s > FLOOR * s[0]).sum())) if s[0] > 0 else 1
    total = float((s**2).sum())
    scale = np.sqrt(s[:k])
    return Concepts(
        users=(left_inverse @ (u[:, :k] * scale)).astype(np.float32),
        items=(right_inverse @ (vt[:k].T * scale)).astype(np.float32),
        kept=float((s[:k] ** 2).sum()) / total if total else 1.0,
    )


def _root(moment: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M^(1/2) and its pseudo-inverse."""
    values, vectors = np.linalg.eigh(moment.astype(np.float64))
    used = values > FLOOR * max(float(values[-1]), 0.0)
    roots = np.sqrt(np.where(used, values, 0.0))
    inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=used)
    return (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T
