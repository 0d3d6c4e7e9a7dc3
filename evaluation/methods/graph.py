"""The product's content term with the knowledge graph added, as one inner product."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.graph import item_graph, standardised_rows
from evaluation.methods.bilinear import Bilinear
from evaluation.methods.learned import training_data
from evaluation.methods.task import Task
from ranking.graph import GraphReport, no_term, user_graph_vectors
from ranking.graph.weigh import weigh


class BilinearGraph:
    """u^T A c_i, standardised, plus the graph term where it beats its permuted control.

    How much the graph weighs is decided inside the training pairs and told in `report`. The
    harness runs the method on the permuted graph too.

    Attributes:
        detail: what was chosen, for the run's file.
    """

    name = "bilinear-graph"
    report: GraphReport | None = None

    def fit(self, task: Task) -> None:
        """Solve for A, then weigh the graph."""
        self._content = Bilinear()
        self._content.fit(task)
        self.detail: dict[str, Any] = dict(self._content.detail)
        self._pi = np.zeros((len(task.items), 1), dtype=np.float32)
        self._term = no_term(1)
        graph = item_graph(task.dataset)
        if task.graph is None or task.fusion is None or graph is None:
            return
        self._pi = task.graph
        data, first = training_data(task, self.name)
        self._term, self.report = weigh(
            data,
            first,
            self._content.fitted.setting,
            task.graph,
            graph.degrees,
            seed=task.seed,
        )
        self.detail["graph"] = {"beta": self.report.beta, **asdict(self.report)}

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        content = standardised_rows(self._content.scores(users, history))
        queries = self._term.queries(user_graph_vectors(history, self._pi))
        return np.asarray(content + queries @ self._pi.T, dtype=np.float32)
