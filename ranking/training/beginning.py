"""Which of several priors a training begins with: the one whose A ranks best for other users.

An A of another catalogue is worth most before there is anything to learn from, and stands in the
way once there is enough. That does not show on items held out, on which penalties are chosen: it
shows on users. Five times another fifth of the users is left out as if they were new, A is trained
on the rest from each prior, with penalties chosen for it, and ranks everything that these users
took but the few items that are known of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking.quality import ndcg
from ranking.training.cold import JUDGES
from ranking.training.data import TrainingData
from ranking.training.fit import LEAST_INTERACTIONS, fit_projection
from ranking.training.pairs import shown

FOLDS = 5
KNOWN = (0, 5)
"""Items known of those who are left out."""

LEAST_USERS = 25
"""With more than KNOWN items; with fewer they would decide by chance."""

INTERACTIONS = 200_000
"""Looked at, at most: beyond that a prior hardly counts."""

CANDIDATES = 20_000
"""Items that are ranked, at most, of those that somebody took; others by lot."""


@dataclass(frozen=True)
class Beginning:
    """What came of it.

    Attributes:
        chosen: name of the prior to begin with.
        ndcg: {name: NDCG@20 on each fold}; empty where nothing was compared.
    """

    chosen: str
    ndcg: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "chosen": self.chosen,
            "ndcg": {name: float(np.mean(found)) for name, found in self.ndcg.items()},
            "by_fold": {name: list(found) for name, found in self.ndcg.items()},
        }


def choose_beginning(
    data: TrainingData, priors: Mapping[str, Mapping[str, Matrix]], *, seed: int = 0
) -> Beginning:
    """The prior with the best mean NDCG@20; of equals, and without enough users, the first.

    Args:
        priors: {name: A0 by part}; none of them may have learned from these interactions.
    """
    rng = np.random.default_rng(seed)
    sample = data.sampled(INTERACTIONS, seed)
    counts = np.diff(sample.interactions.indptr)
    usable = rng.permutation(np.flatnonzero(counts > max(KNOWN)))
    first = next(iter(priors))
    taken = np.flatnonzero(sample.popularity())
    candidates = np.sort(rng.permutation(taken)[:CANDIDATES])
    if len(priors) < 2 or len(usable) < LEAST_USERS:
        return Beginning(first)
    found: dict[str, list[float]] = {name: [] for name in priors}
    for left_out in np.array_split(usable, FOLDS):
        rest = sample.of_users(np.setdiff1d(np.arange(len(counts)), left_out))
        if rest.interactions.nnz < LEAST_INTERACTIONS:
            return Beginning(first)
        asked = np.sort(left_out[:JUDGES])
        questions = [_question(sample, asked, k, candidates, rng) for k in KNOWN]
        for name, prior in priors.items():
            fitted = fit_projection(rest, prior, seed=seed)
            found[name].append(
                float(np.mean([one.ndcg(fitted.queries(sample, *one.asked)) for one in questions]))
            )
    return Beginning(max(found, key=lambda name: float(np.mean(found[name]))), found)


@dataclass(frozen=True)
class _Question:
    """Users left out, what is known of them, and what is to be found.

    Attributes:
        asked: [n] rows of users, and their histories [n, n_items].
        candidates: [m, d], the items that are ranked.
        known: [n, m] bool, which of them are in the history.
        sought: [n, m] bool, which are the rest of what they took.
    """

    asked: tuple[NDArray[np.int64], csr_matrix]
    candidates: Matrix
    known: NDArray[np.bool_]
    sought: NDArray[np.bool_]

    def ndcg(self, queries: Matrix) -> float:
        """NDCG@20 of A^T u, [n, d]."""
        scores = queries @ self.candidates.T
        scores[self.known] = -np.inf
        return ndcg(scores, self.sought)


def _question(
    data: TrainingData,
    users: NDArray[np.int64],
    known: int,
    candidates: NDArray[np.int64],
    rng: np.random.Generator,
) -> _Question:
    history, rest = shown(csr_matrix(data.interactions[users]), known, rng)
    return _Question(
        (users, history),
        data.items[candidates],
        history[:, candidates].toarray() > 0,
        rest[:, candidates].toarray() > 0,
    )
