"""A task as `firstlight train` sees its data, and methods that end in one A."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.modality_gates import ModalityGates
from domain.vectors import Matrix
from evaluation.methods.task import Task
from ranking import prior
from ranking.training import (
    LEAST_INTERACTIONS,
    Fitted,
    Sums,
    TrainingData,
    fit_projection,
    stacked,
)
from ranking.training.data import Double
from ranking.training.infonce import InfoNce, fit_infonce
from ranking.training.options import Option, fit_options


def training_data(task: Task, method: str) -> tuple[TrainingData, Mapping[str, Matrix]]:
    """What is learned from, and A0 by part, from which learning begins.

    Args:
        method: how an error calls it.

    Raises:
        ValueError: the run has no features.
        RejectedError: the split has too few training pairs.
    """
    if task.fusion is None:
        raise ValueError(f"{method} needs features")
    if task.train.nnz < LEAST_INTERACTIONS:
        raise RejectedError(
            f"{method} needs {LEAST_INTERACTIONS} training pairs, and the split has"
            f" {task.train.nnz}",
            remedy="evaluate on more interactions",
        )
    data = TrainingData(task.blocks, task.items, task.train, task.profiles)
    return data, prior(task.fusion).matrices


def content_term(task: Task, data: TrainingData, first: Mapping[str, Matrix]) -> Fitted:
    """The ridge's A with its penalties and sums, made once for all methods of a split."""
    return task.shared.get("content", lambda: fit_projection(data, first, seed=task.seed))


def descended(task: Task, data: TrainingData, start: Double, recipe: InfoNce) -> Double:
    """A by InfoNCE alone, [d_u, d], made once for all methods of a split.

    Args:
        start: A0, [d_u, d].
    """
    recipe = replace(recipe, mix=1.0)
    return task.shared.get(recipe, lambda: fit_infonce(data, start, recipe, seed=task.seed))


class ByA:
    """u^T A c_i with what `fit` leaves: the data, and A stacked by the parts of z, [d_u, d]."""

    _data: TrainingData
    _a: Double

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        queries = (self._data.user_rows(users, history) @ self._a).astype(np.float32)
        return np.asarray(queries @ self._data.items.T, dtype=np.float32)


class FromRidge(ByA, ABC):
    """A learned option of the product that is made from the ridge's sums and penalties.

    The penalties are chosen inside the training pairs, as for `bilinear`; what else the option has
    is chosen on the harness's validation.

    Attributes:
        gates: that were learned of the items' modalities, by gated fusion alone.
    """

    name: str
    gates: ModalityGates | None

    @abstractmethod
    def option(self) -> Option:
        """As its parameters have it."""

    _plain: TrainingData

    def fit(self, task: Task) -> None:
        """Choose the ridge's penalties, then fit the option.

        Raises:
            ValueError: the run has no features.
        """
        self._plain, first = training_data(task, self.name)
        ridge = content_term(task, self._plain, first)
        self._ridge = ridge.setting.ridge
        known = stacked(ridge.statistics.layout, first, task.items.shape[1])
        self._sums = Sums(ridge.statistics, ridge.gram, known)
        self.refit(task)

    def refit(self, task: Task) -> None:
        """Fit the option again, with the penalties that are there."""
        options = [self.option()]
        [made] = fit_options(options, self._plain, self._sums, self._ridge, seed=task.seed)
        self._a, self.gates = made.a, made.gates
        self._data = self._plain if made.gates is None else self._plain.gated(made.gates)
