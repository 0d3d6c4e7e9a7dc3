"""A dataset's knowledge graph as vectors of its items, and the questions it is fit on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from domain.vectors import Matrix
from evaluation.dataset import Dataset
from ranking.graph import KnowledgeGraph, read_graph, shared_degrees, spectral

DIM = 64
"""Length of pi in evaluations, the default of FIRSTLIGHT_RANKING_GRAPH_DIM."""


@dataclass(frozen=True)
class ItemGraph:
    """The graph with its links to the items of one dataset.

    Attributes:
        nodes: [n_items] int64, the item's node, or -1.
    """

    graph: KnowledgeGraph = field(repr=False)
    nodes: NDArray[np.int64] = field(repr=False)

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """[n_items] features that each item shares with another: what a control has to keep."""
        return shared_degrees(self.graph, self.nodes)

    def vectors(self, fit_on: NDArray[np.bool_], dim: int = DIM) -> Matrix:
        """pi of every item, [n_items, dim] float32; the spectral fit sees items of `fit_on` alone.

        A cold item arrives after the fit, so it is folded in.
        """
        fitted = spectral(self.graph, np.where(fit_on, self.nodes, -1), dim)
        return fitted.embed(self.graph, self.nodes)


def item_graph(dataset: Dataset) -> ItemGraph | None:
    """The dataset's triples and exact links; None where it has no graph or no item is linked.

    Raises:
        RejectedError: there are triples, but none that is usable.
    """
    if not dataset.graph:
        return None
    graph, _, _ = read_graph("\t".join(triple).encode() for triple in dataset.graph)
    entities = (dataset.entity_of_item.get(item.id, "") for item in dataset.items)
    nodes = np.array([graph.number.get(entity, -1) for entity in entities], dtype=np.int64)
    return ItemGraph(graph, nodes) if (nodes >= 0).any() else None


def standardised_rows(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every row with mean 0 and standard deviation 1; a constant row becomes zeros."""
    spread = scores.std(axis=1, keepdims=True)
    centred = scores - scores.mean(axis=1, keepdims=True)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9))
