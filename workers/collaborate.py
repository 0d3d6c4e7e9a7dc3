"""The collaborative factors of a training: implicit ALS, in the directions of the ones before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking import Collaborative, Gate, Hybrid, Moments, RankSpace, Rows
from ranking.hybrid import COUNTS, FACTORS

REGULARIZATION, ALPHA, ITERATIONS = 1.0, 5.0, 15
LEAST_WARM = 8
"""With fewer items that anybody took there is nothing to factorise."""


@dataclass(frozen=True)
class Learned:
    """The collaborative part of a hybrid; without `collaborative` there is none.

    Attributes:
        items: "counts" and "factors" (for ease "users", too) of the items that somebody took.
        report: for JSON.
    """

    gate: Gate = field(default_factory=Gate)
    collaborative: Collaborative | None = None
    items: Rows | None = field(default=None, repr=False)
    report: dict[str, Any] = field(default_factory=dict)


def als(
    ids: list[str], interactions: csr_matrix, space: RankSpace, before: Hybrid, *, seed: int = 0
) -> Learned:
    """Factors of everything that somebody took.

    Args:
        ids: [n_items] of the columns.
        interactions: [n_users, n_items] weights > 0.
        before: what serves; factors are turned so that items keep their place among its factors
            as far as they can. ALS is free to turn them, and points are rewritten one after the
            other, so that for a while the index holds both.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    counts = np.bincount(interactions.indices, minlength=len(ids))
    warm = np.flatnonzero(counts)
    if len(warm) < LEAST_WARM:
        return Learned()
    taken = csr_matrix(interactions[:, warm], dtype=np.float32)
    taken = csr_matrix(taken[np.diff(taken.indptr) > 0])
    rank = min(space.factors, len(warm) - 1, taken.shape[0])
    # implicit brings its own threads; those of BLAS beside them slow it several times.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=rank,
            regularization=REGULARIZATION,
            alpha=ALPHA,
            iterations=ITERATIONS,
            random_state=seed,
        )
        model.fit(taken, show_progress=False)
    factors = _wide(model.item_factors, space.factors)
    people = _wide(model.user_factors, space.factors)
    chosen = [ids[at] for at in warm]
    turn = turned(chosen, factors, before)
    factors, people = factors @ turn, people @ turn
    return Learned(
        gate=before.gate,
        collaborative=Collaborative(
            method="als",
            item_gram=factors.T @ factors,
            user_gram=people.T @ people,
            regularization=REGULARIZATION,
            alpha=ALPHA,
            moments=Moments.of(factors),
        ),
        items=Rows.of(chosen, {COUNTS: counts[warm].astype(np.float32), FACTORS: factors}),
        report={"method": "als", "factors": rank, "items": len(warm), "users": taken.shape[0]},
    )


def turned(ids: list[str], factors: Matrix, before: Hybrid) -> Matrix:
    """The rotation that brings factors nearest to those before (orthogonal Procrustes), [F, F].

    p_u^T v_i is the same in any rotation.
    """
    old = before.items
    unchanged = np.eye(factors.shape[1], dtype=np.float32)
    if old is None or before.space.factors != factors.shape[1]:
        return unchanged
    places = old.find(ids)
    known = places >= 0
    if not known.any():
        return unchanged
    left, _, right = np.linalg.svd(
        factors[known].T.astype(np.float64) @ old.take(FACTORS, places[known])
    )
    return np.asarray(left @ right, dtype=np.float32)


def _wide(factors: NDArray[Any], width: int) -> Matrix:
    found = np.zeros((len(factors), width), dtype=np.float32)
    found[:, : factors.shape[1]] = factors
    return found
