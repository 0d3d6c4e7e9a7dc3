"""Items held out as if they had just arrived, and who took them: what everything is judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.modality_gates import ModalityGates
from ranking.quality import ndcg
from ranking.training.data import Double, TrainingData

COLD_SHARE = 0.1
"""Of the items with interactions, per split."""

JUDGES = 1500
"""Users who are asked, at most."""


@dataclass(frozen=True)
class ColdSplit:
    """Items held out, and the users who took some of them and have other items as well.

    Attributes:
        rest: the data without these items' interactions.
        users: [n], their rows in it.
        cold: [m], the items' columns.
        rows: [n, d_u], z of the users.
        candidates: [m, d], the items.
        relevant: [n, m], who took what.
    """

    rest: TrainingData
    users: NDArray[np.int64] = field(repr=False)
    cold: NDArray[np.int64] = field(repr=False)
    rows: Double = field(repr=False)
    candidates: Double = field(repr=False)
    relevant: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(
        cls,
        rest: TrainingData,
        users: NDArray[np.int64],
        cold: NDArray[np.int64],
        relevant: NDArray[np.bool_],
    ) -> ColdSplit:
        """With the rows and candidates that the data have."""
        rows = rest.user_rows(users, rest.interactions[users])
        return cls(rest, users, cold, rows, rest.items[cold].astype(np.float64), relevant)

    def gated(self, gates: ModalityGates) -> ColdSplit:
        """The same with all items behind gates, those of the users' histories, too."""
        return self.of(self.rest.gated(gates), self.users, self.cold, self.relevant)

    def judge(self, a: Double, gates: ModalityGates | None = None) -> float:
        """NDCG@20 of an A, [d_u, d], and of gates that were learned with it."""
        if gates is not None:
            return self.gated(gates).judge(a)
        return self.ndcg(self.rows @ a @ self.candidates.T)

    def ndcg(self, scores: Double) -> float:
        """NDCG@20 of scores, [n, m]."""
        return ndcg(scores.astype(np.float32), self.relevant)


def cold_splits(
    data: TrainingData, *, first: int, count: int, seed: int = 0
) -> Iterator[ColdSplit]:
    """Split number `first` and the following ones; no two of a seed hold out an item in common.

    A split in which nobody could be asked is left out; where there are fewer than two items per
    split, there is none.

    Args:
        count: so many; `first + count` at most 1 / COLD_SHARE.
    """
    taken = data.popularity() > 0
    known = np.flatnonzero(taken & np.any(data.items != 0, axis=1))
    size = int(len(known) * COLD_SHARE)
    if size < 2:
        return
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(known)
    for number in range(first, first + count):
        cold = np.sort(drawn[number * size : (number + 1) * size])
        dropped = np.zeros(len(taken), dtype=bool)
        dropped[cold] = True
        rest = data.without_items(dropped)
        counts = np.diff(rest.interactions.indptr)
        targets = csr_matrix(data.interactions[:, cold])
        asked = np.flatnonzero((counts > 0) & (np.diff(targets.indptr) > 0))
        if not len(asked):
            continue
        users = np.sort(rng.permutation(asked)[:JUDGES])
        yield ColdSplit.of(rest, users, cold, np.asarray(targets[users].todense()) > 0)
