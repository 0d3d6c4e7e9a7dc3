"""Matrix factorisation by `implicit`: ALS and BPR."""

from __future__ import annotations

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from domain.vectors import Matrix
from evaluation.methods.histories import (
    binary,
    mean_of_history,
    popular_where_unknown,
    popularity,
)
from evaluation.methods.task import Task


class ImplicitAls:
    """Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008.

    A user's factors are solved from their history, so that new users are served like known ones.

    Attributes:
        item_factors: [n_items, factors] float32; zeros for an item without interactions.
    """

    name = "implicit-als"

    def __init__(
        self,
        factors: int = 128,
        regularization: float = 1.0,
        alpha: float = 1.0,
        iterations: int = 15,
    ) -> None:
        """Hyper-parameters as `implicit` names them."""
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations

    def fit(self, task: Task) -> None:
        """Alternate `iterations` times."""
        self._popularity = popularity(task.train)
        # implicit brings its own threads; BLAS's beside them slow it several times
        with threadpool_limits(1, "blas"):
            self._model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=task.seed,
            )
            self._model.fit(task.train, show_progress=False)
        self._model.item_factors[self._popularity == 0] = 0.0
        self.item_factors: Matrix = self._model.item_factors

    def user_factors(self, history: csr_matrix) -> Matrix:
        """[n, factors] float32 solved from histories [n, n_items]; zeros for an empty one."""
        with threadpool_limits(1, "blas"):
            solved = self._model.recalculate_user(np.arange(history.shape[0]), history)
        return np.asarray(solved, dtype=np.float32)

    def scores(self, _users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items] p_u . v_i; an item without interactions scores 0."""
        scores = self.user_factors(history) @ self.item_factors.T
        return popular_where_unknown(scores, history, self._popularity)


class ImplicitBpr:
    """Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009.

    `implicit` has no fold-in for BPR: a user who was not trained on gets the mean of their items'
    factors, as long as a trained user's.
    """

    name = "implicit-bpr"

    def __init__(
        self,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        iterations: int = 100,
    ) -> None:
        """Hyper-parameters as `implicit` names them."""
        self.factors = factors
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.iterations = iterations

    def fit(self, task: Task) -> None:
        """`iterations` passes over the interactions; on one thread, so that a seed decides it."""
        self._popularity = popularity(task.train)
        with threadpool_limits(1, "blas"):
            model = BayesianPersonalizedRanking(
                factors=self.factors,
                learning_rate=self.learning_rate,
                regularization=self.regularization,
                iterations=self.iterations,
                random_state=task.seed,
                num_threads=1,
            )
            model.fit(binary(task.train), show_progress=False)
        # the last factor is the item's bias, by which every user has 1
        self._users = np.asarray(model.user_factors, dtype=np.float32)
        self._items = np.asarray(model.item_factors, dtype=np.float32)
        self._items[self._popularity == 0] = 0.0
        self._known = np.asarray(task.train.getnnz(axis=1) > 0)
        lengths = np.linalg.norm(self._users[self._known, :-1], axis=1)
        self._length = float(lengths.mean()) if len(lengths) else 1.0

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]; an item without interactions scores 0."""
        wanted = self._users[users].copy()
        new = ~self._known[users]
        if new.any():
            means = mean_of_history(history[new], self._items[:, :-1])
            norms = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
            wanted[new, :-1] = means * (self._length / norms)
            wanted[new, -1] = 1.0
        return popular_where_unknown(wanted @ self._items.T, history, self._popularity)
