"""Collaborative factors: p_u^T v_i, with users and items folded in by one small solve each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.errors import RejectedError
from domain.vectors import Matrix, Vector
from ranking.moments import Moments

Method = Literal["als", "ease"]


@dataclass(frozen=True, slots=True)
class Collaborative:
    """What turns a history into p_u, and an item's users into v_i. It holds nobody's data.

    als: implicit-feedback ALS (Hu, Koren, Volinsky 2008), confidence c = alpha w of what was done
    and 1 of all else:

        p_u = (V^T V + sum (c_j - 1) v_j v_j^T + l I)^-1 sum c_j v_j     over the history j

    ease: a factorised item-item model B = X V^T (Steck 2019): p_u = sum w_j x_j, x_j being the
    items' rows on the users' side.

    Either way an item is folded in by the ridge regression of who took it on the users' p_u:

        v_i = (P^T P + sum (c_u - 1) p_u p_u^T + l I)^-1 sum c_u p_u     over its users u

    with c = 1 for ease.

    Attributes:
        item_gram: [F, F] float32, V^T V over the items trained on.
        user_gram: [F, F] float32, P^T P over the users trained on.
        regularization: l > 0.
        alpha: confidence of one unit of weight; > 0.
        moments: of v over the items trained on, which standardise p_u^T v.
    """

    method: Method
    item_gram: Matrix = field(repr=False)
    user_gram: Matrix = field(repr=False)
    regularization: float
    alpha: float
    moments: Moments

    @property
    def dim(self) -> int:
        """F."""
        return len(self.item_gram)

    def fold_in(self, rows: Matrix, weights: ArrayLike) -> Vector | None:
        """p_u of a history.

        Args:
            rows: [n, F], v_j (als) or x_j (ease) of its items; a zero row counts for nothing.
            weights: [n] > 0.

        Returns:
            [F] float32, or None where no item of the history has factors.
        """
        known = np.any(rows != 0, axis=1)
        if not known.any():
            return None
        used = rows[known].astype(np.float64)
        weight = np.asarray(weights, dtype=np.float64)[known]
        if self.method == "ease":
            return np.asarray(weight @ used, dtype=np.float32)
        return self._solve(self.item_gram, used, self.alpha * weight)

    def fold_in_item(self, users: Matrix, weights: ArrayLike) -> Vector | None:
        """v_i of an item.

        Args:
            users: [n, F], p_u of its users; a zero row counts for nothing.
            weights: [n] > 0.

        Returns:
            [F] float32, or None where none of the users has factors.
        """
        known = np.any(users != 0, axis=1)
        if not known.any():
            return None
        weight = np.asarray(weights, dtype=np.float64)[known]
        confidence = self.alpha * weight if self.method == "als" else np.ones(len(weight))
        return self._solve(self.user_gram, users[known].astype(np.float64), confidence)

    def _solve(
        self, gram: Matrix, rows: NDArray[np.float64], confidence: NDArray[np.float64]
    ) -> Vector:
        # Confidence below that of what was not done would make the system indefinite.
        extra = np.maximum(confidence - 1.0, 0.0)
        left = gram + (rows.T * extra) @ rows + self.regularization * np.eye(self.dim)
        found = np.linalg.solve(left, confidence @ rows)
        return np.asarray(found, dtype=np.float32)

    def check(self, dim: int) -> None:
        """Whether it may serve where rank vectors have `dim` factors.

        Raises:
            RejectedError: a wrong shape, NaN or infinity, a regularisation or alpha not above 0.
        """
        remedy = "train it again"
        if self.method not in ("als", "ease"):
            raise RejectedError(f"{self.method!r} is not known", field="collaborative.method")
        for name, gram in (("item_gram", self.item_gram), ("user_gram", self.user_gram)):
            if gram.shape != (dim, dim):
                raise RejectedError(
                    f"{list(gram.shape)}, expected {[dim, dim]}",
                    field=f"collaborative.{name}",
                    remedy=remedy,
                )
            if not np.isfinite(gram).all():
                raise RejectedError(
                    "holds NaN or infinity", field=f"collaborative.{name}", remedy=remedy
                )
        for name, value in (("regularization", self.regularization), ("alpha", self.alpha)):
            if not (np.isfinite(value) and value > 0):
                raise RejectedError(
                    f"{value}, expected a number above 0",
                    field=f"collaborative.{name}",
                    remedy=remedy,
                )
        self.moments.check(dim, "collaborative.moments")
