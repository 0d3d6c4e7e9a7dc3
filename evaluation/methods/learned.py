"""A task as `firstlight train` sees its data."""

from __future__ import annotations

from collections.abc import Mapping

from domain.errors import RejectedError
from domain.vectors import Matrix
from evaluation.methods.task import Task
from ranking import prior
from ranking.training import LEAST_INTERACTIONS, TrainingData


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
