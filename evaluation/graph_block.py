"""The feature "graph": vectors of items from the data set's triples, and its permuted control."""

from __future__ import annotations

import numpy as np

from domain.errors import RejectedError
from domain.vectors import Matrix
from evaluation.dataset import Dataset
from evaluation.graph import item_graph
from evaluation.splits import Split
from ranking.graph.term import STRATA, permuted

GRAPH = "graph"
PERMUTED = "permuted-graph"
"""The same vectors exchanged among items with about as many edges: what must be beaten."""


def graph_block(dataset: Dataset, split: Split, kind: str) -> Matrix:
    """[n_items, g] float32 of GRAPH or PERMUTED; a row of zeros where an item is not linked.

    The spectral fit sees warm items alone; cold ones are folded in.

    Raises:
        RejectedError: the data set has no graph that reaches its items.
    """
    graph = item_graph(dataset)
    if graph is None:
        raise RejectedError(
            f"no item of {dataset.name} is linked to a graph",
            field="--features",
            remedy="give graph.tsv (and links.csv, where the graph calls items otherwise)",
        )
    vectors = graph.vectors(split.warm)
    if kind == GRAPH:
        return vectors
    linked = np.flatnonzero(vectors.any(axis=1))
    ordered = linked[np.argsort(graph.degrees[linked], kind="stable")]
    groups = np.array_split(ordered, max(1, min(STRATA, len(linked) // 2)))
    return permuted(vectors, groups, np.random.default_rng(split.seed))
