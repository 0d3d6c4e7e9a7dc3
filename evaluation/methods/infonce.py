"""A bilinear form learned by gradient descent on the contrastive loss InfoNCE."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.methods.baselines import profiles_in_item_space
from evaluation.methods.histories import binary, mean_of_history, unit_rows
from evaluation.methods.task import Task

NEGATIVES = 1024
"""Warm items beside the one to be found in a softmax, drawn anew for every step; all, if fewer."""


class InfoNce:
    """s(u, i) = u^T A c_i + b^T c_i, learned from -log softmax over it and warm items.

    u is the mean of the user's history, the item to be predicted left out, so that what is
    learned is to generalise; c_i are the fused vectors. van den Oord, Li, Vinyals,
    "Representation Learning with Contrastive Predictive Coding", 2018, eq. 4, with A started at
    the identity. The features are those of the closed form; only the fitting differs.
    """

    name = "infonce"

    def __init__(
        self,
        temperature: float = 0.2,
        decay: float = 1e-2,
        learning_rate: float = 1e-3,
        epochs: int = 20,
        batch: int = 512,
    ) -> None:
        """
        Args:
            temperature: divides the scores; starts there and is learned.
            decay: weight decay toward the start (A = I, b = 0).
            learning_rate: of Adam.
            epochs: passes, in each of which every user is drawn once with up to 4 of their items.
            batch: users per step.
        """
        self.temperature = temperature
        self.decay = decay
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch = batch

    def fit(self, task: Task) -> None:
        """Descend; the order of users and items is the seed's."""
        self._task = task
        self._profiles = profiles_in_item_space(task)
        train = binary(task.train)
        dim = task.items.shape[1]
        generator = np.random.default_rng(task.seed)
        warm = np.flatnonzero(task.warm)
        items = torch.from_numpy(task.items)
        change = torch.zeros((dim, dim), requires_grad=True)
        bias = torch.zeros(dim, requires_grad=True)
        scale = torch.tensor(
            np.log(1.0 / self.temperature), dtype=torch.float32, requires_grad=True
        )
        optimiser = torch.optim.Adam([change, bias, scale], lr=self.learning_rate)
        # one item alone leaves nothing of a history to predict it from
        users = np.flatnonzero(task.train.getnnz(axis=1) > 1)
        for _ in range(self.epochs):
            generator.shuffle(users)
            for start in range(0, len(users), self.batch):
                rows, wanted = _pairs(train, users[start : start + self.batch], generator)
                others = _negatives(warm, generator)
                history = torch.from_numpy(_left_out(train, task.items, rows, wanted))
                mapped = history + history @ change + bias
                found = (mapped * items[torch.from_numpy(wanted)]).sum(dim=1, keepdim=True)
                beside = mapped @ items[torch.from_numpy(others)].T
                scores = torch.hstack([found, beside]) * scale.exp()
                # none of the user's own items is a negative
                own = torch.from_numpy(train[rows][:, others].toarray() > 0)
                scores[:, 1:] = scores[:, 1:].masked_fill(own, -torch.inf)
                target = torch.zeros(len(rows), dtype=torch.int64)
                loss = torch.nn.functional.cross_entropy(scores, target)
                loss = loss + self.decay * (change.pow(2).sum() + bias.pow(2).sum())
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        self._map = change.detach().numpy() + np.eye(dim, dtype=np.float32)
        self._bias = bias.detach().numpy()

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        items = self._task.items
        wanted = unit_rows(mean_of_history(history, items))
        new = ~wanted.any(axis=1)
        wanted[new] = self._profiles[users[new]]
        return np.asarray((wanted @ self._map + self._bias) @ items.T, dtype=np.float32)


_ITEMS_PER_USER = 4


def _pairs(
    train: csr_matrix, users: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(user, item) pairs of a batch: up to 4 items of each user, drawn without replacement."""
    rows: list[int] = []
    wanted: list[int] = []
    for user in users:
        items = train.indices[train.indptr[user] : train.indptr[user + 1]]
        some = generator.permutation(items)[:_ITEMS_PER_USER]
        rows += [int(user)] * len(some)
        wanted += some.tolist()
    return np.asarray(rows), np.asarray(wanted)


def _negatives(warm: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    return warm if len(warm) <= NEGATIVES else generator.choice(warm, NEGATIVES, replace=False)


def _left_out(
    train: csr_matrix,
    items: NDArray[np.float32],
    rows: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Unit-length histories of the pairs' users without the pair's own item."""
    users, place = np.unique(rows, return_inverse=True)
    sums = np.asarray(train[users] @ items, dtype=np.float32)
    return unit_rows(sums[place] - items[wanted])
