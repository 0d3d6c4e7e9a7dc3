"""A peer's multimodal model: VBPR as Cornac implements it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from evaluation.methods.task import Task


class Vbpr:
    """He, McAuley, "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016.

    Cornac's class, fed the same fused vectors as every method here. Item i of user u scores
    b_i + g_u . g_i + t_u . E c_i + e . c_i; an item without interactions has no b_i and g_i and
    is scored by its content, as section "cold start" of the paper does. A user who was
    not trained on is scored by b_i + e . c_i.
    """

    name = "cornac-vbpr"

    def __init__(
        self,
        k: int = 32,
        k2: int = 32,
        n_epochs: int = 10,
        batch_size: int = 1024,
        learning_rate: float = 0.01,
        lambda_w: float = 0.01,
        lambda_e: float = 0.0,
    ) -> None:
        """Hyper-parameters as Cornac names them.

        Cornac 3 adds the visual bias of a batch, [n, 1], to the other terms, [n], so that its loss
        is taken over n x n sums: a pass takes time in proportion to the pairs and to the batch.
        """
        self.parameters: dict[str, Any] = {
            "k": k,
            "k2": k2,
            "n_epochs": n_epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "lambda_w": lambda_w,
            "lambda_e": lambda_e,
        }

    def fit(self, task: Task) -> None:
        """Train Cornac's model on the warm items; its printing is swallowed.

        Raises:
            RejectedError: Cornac is not installed.
        """
        try:
            from cornac.data import Dataset, ImageModality
            from cornac.models import VBPR
        except ImportError as error:
            raise RejectedError(
                f"Cornac is not installed ({error})",
                field="--methods",
                remedy="pip install 'firstlight[evaluate]', or leave cornac-vbpr out",
            ) from error
        self._users = np.full(task.train.shape[0], -1)
        warm = np.flatnonzero(task.warm)
        pairs = task.train.tocoo()
        known = np.unique(pairs.row)
        self._users[known] = np.arange(len(known))
        place = np.full(task.train.shape[1], -1)
        place[warm] = np.arange(len(warm))
        # Cornac's own maps keep rows in order of first appearance: identity maps keep ours
        data = _with_fast_negatives(Dataset)(
            num_users=len(known),
            num_items=len(warm),
            uid_map={row: row for row in range(len(known))},
            iid_map={row: row for row in range(len(warm))},
            uir_tuple=(
                self._users[pairs.row],
                place[pairs.col],
                np.ones(pairs.nnz, dtype=np.float64),
            ),
            seed=task.seed,
        )
        data.add_modalities(item_image=ImageModality(features=task.items[warm]))
        model = VBPR(**self.parameters, verbose=False, seed=task.seed)
        with contextlib.redirect_stdout(io.StringIO()):
            model.fit(data)
        self._keep(task, model, warm)

    def _keep(self, task: Task, model: Any, warm: NDArray[np.int64]) -> None:
        self._bias = (task.items @ model.beta_prime).ravel()
        self._bias[warm] += model.beta_item
        self._free = np.zeros((len(task.items), model.gamma_item.shape[1]), dtype=np.float32)
        self._free[warm] = model.gamma_item
        self._content = task.items @ model.emb_matrix
        self._gamma, self._theta = model.gamma_user, model.theta_user

    def scores(self, users: NDArray[np.int64], _history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        scores = np.repeat(self._bias[None], len(users), axis=0)
        rows = self._users[users]
        known = rows >= 0
        scores[known] += self._gamma[rows[known]] @ self._free.T
        scores[known] += self._theta[rows[known]] @ self._content.T
        return np.asarray(scores, dtype=np.float32)


_REDRAWS = 100
"""After so many a user with nearly everything keeps an item of their own as negative."""


def _with_fast_negatives(dataset: Any) -> Any:
    """Cornac's Dataset, its uniform negatives drawn a batch at a time: the same distribution, but
    its own loop over single pairs takes three quarters of a fit."""

    class Batched(dataset):  # type: ignore[misc]
        def uij_iter(
            self, batch_size: int = 1, shuffle: bool = False
        ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
            users, items, _ = self.uir_tuple
            known = np.sort(users.astype(np.int64) * self.num_items + items)
            for batch in self.idx_iter(len(users), batch_size, shuffle):
                rows = users[batch].astype(np.int64)
                drawn = self.rng.randint(self.num_items, size=len(rows))
                for _ in range(_REDRAWS):
                    again = _among(known, rows * self.num_items + drawn)
                    if not again.any():
                        break
                    drawn[again] = self.rng.randint(self.num_items, size=int(again.sum()))
                yield rows, items[batch], drawn

    return Batched


def _among(known: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[n] bool: keys that are in the sorted array."""
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.asarray(known[places] == keys)
