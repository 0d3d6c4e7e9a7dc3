"""Hyper-parameters from a method's grid, chosen on validation and never on test."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from evaluation.methods.registry import Entry
from evaluation.methods.task import Method, Parameters, Task
from evaluation.metrics import Measured, Scores, evaluate_all
from evaluation.splits import Evaluation

METRIC = "ndcg@20"
"""What validation compares, and what the report leads with."""

OVERALL = "overall"
"""The question of one ranking of all items."""


@dataclass(frozen=True)
class Fitted:
    """A method as validation chose it.

    Attributes:
        parameters: the point of the grid.
        value: its METRIC on validation; None where the grid has one point and nothing was chosen.
        fit_s: seconds of its fit alone, what it shares with other methods included.
        tuning_s: seconds of all fits and their validation, this one's included.
        tried: every point with its value.
    """

    method: Method
    parameters: Parameters
    value: float | None
    fit_s: float
    tuning_s: float
    tried: tuple[tuple[Parameters, float], ...] = ()


def judge(
    method: Method, evaluations: Sequence[Evaluation], task: Task, **options: Any
) -> list[Measured]:
    """Rank and measure a fitted method, in the order of the questions.

    Questions that show a method the same histories are ranked from one pass of its scores.

    Args:
        options: as of `evaluation.metrics.evaluate_all`.
    """
    found: dict[str, Measured] = {}
    by_history: dict[int, list[Evaluation]] = defaultdict(list)
    for one in evaluations:
        by_history[id(one.history)].append(one)
    for together in by_history.values():
        scores = _with_history(method, together[0].history)
        for measured in evaluate_all(scores, together, seed=task.seed, **options):
            found[measured.evaluation] = measured
    return [found[one.name] for one in evaluations]


def _with_history(method: Method, history: csr_matrix[np.float32]) -> Scores:
    return lambda users: method.scores(users, history[users])


def quality(method: Method, evaluations: Sequence[Evaluation], task: Task) -> float:
    """METRIC of a fitted method, averaged over validation questions; NaN without a question."""
    k = int(METRIC.partition("@")[2])
    values = [one.mean(METRIC) for one in judge(method, evaluations, task, ks=(k,))]
    return float(np.mean(values)) if values else float("nan")


def fit_best(entry: Entry, task: Task) -> Fitted:
    """Fit every point of the grid and keep the best on `task.questions`; the first of equals.

    Where there is nothing to validate on, the grid's first point is taken.
    """
    started = _clock(task)
    questions = validated_on(entry, task)
    if len(entry.grid) == 1 or not questions:
        method = entry.make(entry.grid[0])
        method.fit(task)
        took = _clock(task) - started
        return Fitted(method, entry.grid[0], None, took, took)
    best: Fitted | None = None
    tried: list[tuple[Parameters, float]] = []
    for points in _sharing_a_fit(entry):
        begun = _clock(task)
        method = entry.make(points[0])
        method.fit(task)
        fit_s = _clock(task) - begun
        values = []
        for at, point in enumerate(points):
            if at:
                _refit(method, entry, point, task)
            values.append(quality(method, questions, task))
        tried += zip(points, values, strict=True)
        top = int(np.argmax(values))
        if best is None or best.value is None or values[top] > best.value:
            if top != len(points) - 1:
                _refit(method, entry, points[top], task)
            best = Fitted(method, points[top], values[top], fit_s, 0.0)
    assert best is not None
    took = _clock(task) - started
    return Fitted(best.method, best.parameters, best.value, best.fit_s, took, tuple(tried))


def _clock(task: Task) -> float:
    """Seconds, with those of what another method of the split had made already."""
    return time.perf_counter() + task.shared.charged


def validated_on(entry: Entry, task: Task) -> Sequence[Evaluation]:
    """The validation questions that a method's grid is asked: `task.questions`.

    A method that cannot order items without interactions is asked for warm and cold items in one
    ranking instead, where a split has that question: among cold items alone all points of its grid
    are equal, and the first would be taken by default.
    """
    if entry.cold_items:
        return task.questions
    asked = [one for one in task.split.of("validation") if one.name == OVERALL]
    return asked or task.questions


def _sharing_a_fit(entry: Entry) -> Iterator[list[Parameters]]:
    def fitted(point: Parameters) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in point.items() if name not in entry.refit]

    for _, points in groupby(entry.grid, key=fitted):
        yield list(points)


def _refit(method: Any, entry: Entry, point: Parameters, task: Task) -> None:
    for name in entry.refit:
        setattr(method, name, point[name])
    method.refit(task)
