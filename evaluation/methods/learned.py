"""A task as `firstlight train` sees its data."""

from __future__ import annotations

from collections.abc import Mapping

from domain.vectors import Matrix
from evaluation.methods.task import Task
from ranking import prior
from ranking.training import TrainingData


def training_data(task: Task, method: str) -> tuple[TrainingData, Mapping[str, Matrix]]:
    """What is learned from, and A0 by part, from which learning begins.

    Args:
        method: how an error calls it.

    Raises:
        ValueError: the run has no features.
    """
    if task.fusion is None:
        raise ValueError(f"{method} needs features")
    data = TrainingData(task.blocks, task.items, task.train, task.profiles)
    return data, prior(task.fusion).matrices
