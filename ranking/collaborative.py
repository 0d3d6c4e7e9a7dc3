"""Collaborative factors: p_u^T v_i, with users and items folded in by one small solve each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.vectors import Matrix, Vector
from ranking.moments import TINY, Moments
from ranking.newcomers import Newcomers
from ranking.user import UserVector

Method = Literal["als", "ease"]

FOLD_HISTORY = 50
"""Items of a user that p_u is folded in from where an item is folded in."""

FOLD_USERS = 64
"""v_i is folded in from the last so many users."""

FEW = 20
"""An item that was trained with fewer users is folded in, which is better at so few than what is
trained; with more, what was trained stands (docs/ranking.md)."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the items known of a user say.

    Attributes:
        vector: p_u of them, [F] float32.
        count: how many of them have factors.
    """

    vector: Vector
    count: int


@dataclass(frozen=True, slots=True)
class Collaborative:
    """What turns a history into p_u, and an item's users into v_i. It holds nobody's data.

    als: implicit-feedback ALS (Hu, Koren, Volinsky 2008), confidence c = alpha w of what was done
    and 1 of all else:

        p_u = (V^T V + sum (c_j - 1) v_j v_j^T + l I)^-1 sum c_j v_j     over the history j

    ease: a factorised item-item model B = X V^T (Steck 2019): p_u = sum w_j x_j, x_j being the
    items' rows on the users' side and w_j the weights over their mean, as it was trained on who
    took what and not on how much.

    Either way an item is folded in by the ridge regression of who took it on the users' p_u:

        v_i = (P^T P + sum (c_u - 1) p_u p_u^T + l I)^-1 sum c_u p_u     over its users u

    with c = 1 for ease, whose penalty l is large: it settles the direction. Its length is then set
    so that the item's own users score it as users of well-known items score those (`level`), less
    by the root of how few they are.

    Of a user with few items, what they say counts, too (`Newcomers`).

    Attributes:
        item_gram: [F, F] float32, V^T V over the items trained on.
        user_gram: [F, F] float32, P^T P over the users trained on.
        regularization: l > 0.
        alpha: confidence of one unit of weight; > 0.
        moments: of v over the items trained on, which standardise p_u^T v.
        level: p_u^T v_i of an item's own users, in the median over well-known items; 0: lengths
            of items that are folded in are left as they are.
        newcomers: what is expected of users of whom little is known; None: nothing.
    """

    method: Method
    item_gram: Matrix = field(repr=False)
    user_gram: Matrix = field(repr=False)
    regularization: float
    alpha: float
    moments: Moments
    level: float = 0.0
    newcomers: Newcomers | None = None

    @property
    def dim(self) -> int:
        """F."""
        return len(self.item_gram)

    def fold_in(self, rows: Matrix, weights: ArrayLike) -> Taken | None:
        """p_u of a history.

        Args:
            rows: [n, F], v_j (als) or x_j (ease) of its items; a zero row counts for nothing.
            weights: [n] > 0.

        Returns:
            [F] float32 and of how many items, or None where none of the history has factors.
        """
        known = np.any(rows != 0, axis=1)
        if not known.any():
            return None
        used = rows[known].astype(np.float64)
        weight = np.asarray(weights, dtype=np.float64)[known]
        if self.method == "ease":
            found = np.asarray(weight @ used / weight.mean(), dtype=np.float32)
        else:
            found = self._solve(self.item_gram, used, self.alpha * weight)
        return Taken(found, len(used))

    def fold_in_all(self, rows: Matrix, history: csr_matrix) -> Matrix:
        """p_u of many histories, [n, F] float32; zeros where nothing of one has factors.

        Args:
            rows: [n_items, F], v_j (als) or x_j (ease); zero rows count for nothing.
            history: [n, n_items] weights > 0.
        """
        if self.method == "ease":
            factored = np.any(rows != 0, axis=1)
            known = csr_matrix(history[:, factored], dtype=np.float64)
            counts = np.diff(known.indptr)
            means = np.asarray(known.sum(axis=1)).ravel() / np.maximum(counts, 1)
            summed = known @ rows[factored].astype(np.float64)
            return np.asarray(summed / np.where(counts, means, 1.0)[:, None], dtype=np.float32)
        found = np.zeros((history.shape[0], self.dim), dtype=np.float32)
        for at, (start, stop) in enumerate(pairwise(history.indptr)):
            folded = self.fold_in(rows[history.indices[start:stop]], history.data[start:stop])
            if folded is not None:
                found[at] = folded.vector
        return found

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
        found = self._solve(self.user_gram, users[known].astype(np.float64), confidence)
        return found * self.stretch(float(np.mean(users[known] @ found)), int(known.sum()))

    def stretch(self, own: ArrayLike, count: ArrayLike) -> NDArray[np.float32]:
        """By what v_i is multiplied where its `count` own users give it the score `own` in the
        mean: their score becomes level sqrt(count / FOLD_USERS), at most the level."""
        scores = np.asarray(own, dtype=np.float64)
        share = np.sqrt(np.minimum(np.asarray(count, dtype=np.float64) / FOLD_USERS, 1.0))
        usable = (scores > TINY) & (self.level > 0)
        found = np.where(usable, self.level * share / np.where(usable, scores, 1.0), 1.0)
        return np.asarray(found, dtype=np.float32)

    def person(self, user: UserVector, taken: Taken | None) -> Vector | None:
        """p_u as it is served, [F] float32: of the items that are known, and of what the user
        says as long as those are few; None: nothing is known that says anything in factors.

        Raises:
            RejectedError: a part of u has another length than its matrix.
        """
        if self.newcomers is None:
            return None if taken is None else taken.vector
        known = taken or Taken(np.zeros(self.dim, dtype=np.float32), 0)
        parts = {part: vector[None, :] for part, vector in user.parts.items()}
        found = self.newcomers.blended(parts, known.vector[None, :], [known.count], self.moments)
        return np.asarray(found[0], dtype=np.float32)

    def _solve(
        self, gram: Matrix, rows: NDArray[np.float64], confidence: NDArray[np.float64]
    ) -> Vector:
        # Confidence below that of what was not done would make the system indefinite.
        extra = np.maximum(confidence - 1.0, 0.0)
        left = gram + (rows.T * extra) @ rows + self.regularization * np.eye(self.dim)
        found = np.linalg.solve(left, confidence @ rows)
        return np.asarray(found, dtype=np.float32)

    def turned(self, turn: Matrix) -> Collaborative:
        """The same in other axes: every row of factors times `turn`, [F, F] orthogonal."""
        turn = turn.astype(np.float32)

        def around(square: Matrix) -> Matrix:
            return np.asarray(turn.T @ square @ turn, dtype=np.float32)

        moments = Moments(
            np.asarray(self.moments.mean @ turn, dtype=np.float32), around(self.moments.covariance)
        )
        return replace(
            self,
            item_gram=around(self.item_gram),
            user_gram=around(self.user_gram),
            moments=moments,
            newcomers=self.newcomers.turned(turn) if self.newcomers is not None else None,
        )

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
        if not (np.isfinite(self.level) and self.level >= 0):
            raise RejectedError(
                f"{self.level}, expected 0 or more", field="collaborative.level", remedy=remedy
            )
        if self.newcomers is not None:
            self.newcomers.check(dim)
        self.moments.check(dim, "collaborative.moments")
