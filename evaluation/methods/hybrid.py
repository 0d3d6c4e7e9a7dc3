"""What the product serves: content and collaborative part behind the gate, as one inner product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.setting_groups import RankingSettings
from domain.vectors import Matrix
from evaluation.graph import item_graph
from evaluation.methods.learned import content_term, training_data
from evaluation.methods.task import Task
from ranking import Hybrid, Moments, named, projection, rank_space
from ranking.graph import GraphTerm
from ranking.graph.weigh import weigh
from ranking.training import (
    Fitted,
    Learned,
    Setting,
    TrainingData,
    fit_collaborative,
    fit_projection,
)
from ranking.training.gated import GatedFusion
from ranking.training.infonce import InfoNce
from ranking.training.options import Option
from ranking.user import UserVector


class GatedHybrid:
    """The hybrid of SCIENCE section 1, made and asked by the code that serves.

    Every score is the inner product of a rank vector as it is stored and the query as it is sent.
    A, factors and gate are chosen inside the training pairs, as `firstlight train` does.

    Attributes:
        option: learned, that has taken the ridge's place; None: A is the ridge's.
        detail: what was chosen, for the run's file.
    """

    name = "hybrid"
    option: Option | None = None
    with_graph = False

    def __init__(self) -> None:
        self.detail: dict[str, Any] = {}

    def fit(self, task: Task) -> None:
        """A, the factors and the gate.

        Raises:
            ValueError: the run has no features.
        """
        data, first = training_data(task, self.name)
        assert task.fusion is not None
        fitted = self._fitted(task, data, first)
        self._data = data if fitted.gates is None else data.gated(fitted.gates)
        setting = fitted.given_gates()
        term, places = self._weighed(task, first, setting)
        dim = 0 if places is None else places.shape[1]
        space = rank_space(task.blocks, RankingSettings().factors, dim)
        ids = [item.id for item in task.dataset.items]

        def learn() -> Learned:
            """Whether there is a graph makes no difference to it."""
            return fit_collaborative(ids, self._data, first, setting, space, seed=task.seed)

        learned = task.shared.get(("collaborative", self.option), learn)
        self.hybrid = named(
            Hybrid(
                version="",
                projection=projection(task.fusion, fitted.matrices),
                space=space,
                gate=learned.gate,
                moments=Moments.of(self._data.items),
                collaborative=learned.collaborative,
                graph=term,
                items=learned.items,
            )
        )
        self.hybrid.check(task.fusion, space)
        self._layout = fitted.statistics.layout
        self._ids = ids
        self._ranks, _ = self.hybrid.rank_vectors(ids, self._data.items, places=places)
        self.detail |= {"learned": learned.report, "projection": fitted.report()}

    def _fitted(self, task: Task, data: TrainingData, first: Mapping[str, Matrix]) -> Fitted:
        ridge = content_term(task, data, first)
        if self.option is None:
            return ridge
        setting = replace(ridge.setting, option=self.option)
        return fit_projection(data, first, setting=setting, seed=task.seed)

    def _weighed(
        self, task: Task, first: Mapping[str, Matrix], setting: Setting
    ) -> tuple[GraphTerm | None, Matrix | None]:
        """The graph's term, and where items lie in the graph, [n_items, g]; None without one."""
        graph = item_graph(task.dataset) if self.with_graph else None
        if task.graph is None or graph is None:
            return None, None
        term, report = weigh(self._data, first, setting, task.graph, graph.degrees, seed=task.seed)
        self.detail["graph"] = {"beta": report.beta, **asdict(report)}
        return term, task.graph

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
            weights = history.data[history.indptr[at] : history.indptr[at + 1]]
            folded = self.hybrid.fold_in(
                [self._ids[item] for item in taken], self._ranks[taken], weights
            )
            graph = self.hybrid.graph_profile(self._ranks[taken], weights)
            query = self.hybrid.query(UserVector(parts), collaborative=folded, graph=graph)
            found[at] = query.vector
        return found


class GraphHybrid(GatedHybrid):
    """The hybrid with the knowledge graph's term in the same query, weighed as in a training: it is
    silent unless it beats its permuted control inside the training pairs."""

    name = "hybrid-graph"
    with_graph = True


class InfoNceHybrid(GatedHybrid):
    """The hybrid where the mix of the ridge's A and InfoNCE's serves, as it does on MovieLens 1M
    after the contest of a training (`ranking.training.contest`), the gate chosen for it."""

    name = "hybrid-infonce"
    option = InfoNce(mix=0.5)


class GatedFusionHybrid(GatedHybrid):
    """The hybrid where gates between an item's modalities serve, everything chosen behind them."""

    name = "hybrid-gated-fusion"
    option = GatedFusion()
