"""What the product serves: content and collaborative part behind the gate, as one inner product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.setting_groups import RankingSettings
from domain.vectors import Matrix
from evaluation.methods.learned import training_data
from evaluation.methods.task import Task
from ranking import Hybrid, Moments, named, projection, rank_space
from ranking.training import fit_collaborative, fit_projection
from ranking.user import UserVector


class GatedHybrid:
    """The hybrid of SCIENCE section 1, made and asked by the code that serves.

    Every score is the inner product of a rank vector as it is stored and the query as it is sent.
    A, factors and gate are chosen inside the training pairs, as `firstlight train` does.

    Attributes:
        detail: what was chosen, for the run's file.
    """

    name = "hybrid"

    def fit(self, task: Task) -> None:
        """A, the factors and the gate.

        Raises:
            ValueError: the run has no features.
        """
        self._data, first = training_data(task, "the hybrid")
        assert task.fusion is not None
        fitted = fit_projection(self._data, first, seed=task.seed)
        space = rank_space(task.blocks, RankingSettings().factors, 0)
        ids = [item.id for item in task.dataset.items]
        learned = fit_collaborative(ids, self._data, first, fitted.setting, space, seed=task.seed)
        self.hybrid = named(
            Hybrid(
                version="",
                projection=projection(task.fusion, fitted.matrices),
                space=space,
                gate=learned.gate,
                moments=Moments.of(task.items),
                collaborative=learned.collaborative,
                items=learned.items,
            )
        )
        self.hybrid.check(task.fusion, space)
        self._layout = fitted.statistics.layout
        self._ids = ids
        self._ranks, _ = self.hybrid.rank_vectors(ids, task.items)
        self.detail: dict[str, Any] = {"learned": learned.report, "projection": fitted.report()}

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        return self._queries(users, history) @ self._ranks.T

    def _queries(self, users: NDArray[np.int64], history: csr_matrix) -> Matrix:
        """[n, dim] float32."""
        rows = self._data.user_rows(users, history)
        found = np.zeros((len(users), self.hybrid.space.dim), dtype=np.float32)
        for at, row in enumerate(rows):
            parts = {
                part: row[start:stop].astype(np.float32)
                for part, (start, stop) in self._layout.spans.items()
                if row[start:stop].any()
            }
            taken = history.indices[history.indptr[at] : history.indptr[at + 1]]
            folded = self.hybrid.fold_in(
                [self._ids[item] for item in taken],
                self._ranks[taken],
                history.data[history.indptr[at] : history.indptr[at + 1]],
            )
            found[at] = self.hybrid.query(UserVector(parts), collaborative=folded).vector
        return found
