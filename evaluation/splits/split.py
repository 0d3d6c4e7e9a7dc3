"""Protocols: what a method may learn from, and what it is then asked, by a seed.

A `Split` holds the training pairs and a list of `Evaluation`s. An evaluation names the users, the
candidates that are ranked for them in full, the pairs that are masked, the history a method may
use for the user, and the targets to be found. Nothing else of the data set may reach a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from evaluation.dataset import Dataset

Sparse: TypeAlias = csr_matrix[np.float32]
"""[n_users, n_items] float32, stored values > 0."""

Mask: TypeAlias = NDArray[np.bool_]

Stage: TypeAlias = Literal["validation", "test"]

SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One question to a method.

    Attributes:
        name: what the report calls it: "cold", "warm", "overall", "k=3" ...
        stage: whether it may choose hyper-parameters ("validation") or only judge ("test").
        users: [n] int32 rows of users, ascending; each has at least one target.
        candidates: [n_items] bool, the items that are ranked, all of them.
        masked: the pairs that are taken out of the ranking (known positives that are no targets).
        history: what a method may know of these users when it ranks; other rows are empty or the
            training pairs.
        targets: the positives to be found, all of them candidates and none of them masked.
    """

    name: str
    stage: Stage
    users: NDArray[np.int32]
    candidates: Mask
    masked: Sparse
    history: Sparse
    targets: Sparse


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What one protocol and one seed make of a data set.

    Attributes:
        protocol: its name.
        seed: the seed it was drawn with.
        train: pairs a method is fitted on.
        validation, test: all held-out pairs of either stage.
        cold_validation, cold_test: [n_items] bool, items without a training pair whose pairs are
            held out; both False everywhere in protocols without cold items.
        evaluations: the questions, validation first.
        profiles: whether a method may use what the users say about themselves.
        facts: sizes, and what was moved or dropped on the way.
    """

    protocol: str
    seed: int
    train: Sparse
    validation: Sparse
    test: Sparse
    cold_validation: Mask
    cold_test: Mask
    evaluations: tuple[Evaluation, ...]
    profiles: bool = True
    facts: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def cold(self) -> Mask:
        """[n_items] bool: the cold items of both stages."""
        return self.cold_validation | self.cold_test

    @property
    def warm(self) -> Mask:
        """[n_items] bool: items with at least one training pair."""
        return np.asarray(self.train.getnnz(axis=0) > 0)

    def of(self, stage: Stage) -> tuple[Evaluation, ...]:
        """The evaluations of one stage."""
        return tuple(one for one in self.evaluations if one.stage == stage)

    def folded(self, evaluation: Evaluation) -> Split:
        """This split with the evaluation's history trained on: for methods that cannot fold in."""
        train = csr_matrix(self.train.maximum(evaluation.history))
        return replace(self, train=train, evaluations=(evaluation,))

    def evaluation(self, name: str, stage: Stage = "test") -> Evaluation:
        """One evaluation by name. Raises RejectedError if there is none."""
        for one in self.of(stage):
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.of(stage))
        raise RejectedError(
            f"{self.protocol} has no {stage} evaluation {name!r}", remedy=f"take one of: {known}"
        )


def question(
    dataset: Dataset,
    name: str,
    stage: Stage,
    *,
    targets: Mask,
    candidates: Mask,
    history: Sparse,
    never: Mask | None = None,
) -> Evaluation:
    """An evaluation of all users who have a target among the candidates.

    Args:
        targets: [n_interactions] bool, held-out pairs; those outside the candidates are left out.
        candidates: [n_items] bool.
        history: what a method may know of the users.
        never: [n_interactions] bool, pairs that are not even masked: a method could not know.
    """
    ranked = candidates[dataset.item_index]
    found = dataset.matrix(targets & ranked)
    asked = np.diff(found.indptr) > 0
    masked = ranked & ~targets & asked[dataset.user_index]
    if never is not None:
        masked &= ~never
    users = np.flatnonzero(asked).astype(np.int32)
    return Evaluation(name, stage, users, candidates, dataset.matrix(masked), history, found)


def trained_users(dataset: Dataset, train: Mask) -> Mask:
    """[n_users] bool: users with a pair among `train` [n_interactions]."""
    found = np.zeros(dataset.n_users, dtype=bool)
    found[dataset.user_index[train]] = True
    return found


def trained_items(dataset: Dataset, train: Mask) -> Mask:
    """[n_items] bool: items with a pair among `train` [n_interactions]."""
    found = np.zeros(dataset.n_items, dtype=bool)
    found[dataset.item_index[train]] = True
    return found


def warm_and_cold(
    dataset: Dataset,
    stage: Stage,
    *,
    targets: Mask,
    warm: Mask,
    cold: Mask,
    history: Sparse,
    never: Mask | None = None,
) -> list[Evaluation]:
    """The questions about warm and cold items, apart and in one ranking; see `item_cold_start`.

    Questions without any target are left out.

    Args:
        targets: [n_interactions] bool.
        warm, cold: [n_items] bool, the candidates of either kind.
        never: see `question`.
    """
    of_cold = targets & cold[dataset.item_index]
    of_warm = targets & warm[dataset.item_index]
    asked = [
        question(
            dataset,
            name,
            stage,
            targets=pairs,
            candidates=candidates,
            history=history,
            never=never,
        )
        for name, pairs, candidates in (
            ("cold", of_cold, cold),
            ("warm", of_warm, warm),
            ("overall", of_cold | of_warm, warm | cold),
            ("warm among all", of_warm, warm | cold),
            ("cold among all", of_cold, warm | cold),
        )
    ]
    return [one for one in asked if len(one.users)]
