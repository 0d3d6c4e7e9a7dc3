"""The knowledge graph's part of a training: what it is worth, and whether that was asked yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.log import logger
from domain.vectors import Matrix
from ranking import Hybrid
from ranking.graph import GraphArtifact, GraphReport, GraphTerm, no_term
from ranking.graph.weigh import weigh
from ranking.training import Setting, TrainingData
from workers.collection import Active
from workers.composing import as_item
from workers.refresh import Refresher

if TYPE_CHECKING:
    from workers.runtime import Runtime

log = logger(__name__)


@dataclass(frozen=True)
class Weighed:
    """The graph part of a hybrid; without a graph there is none.

    Attributes:
        term: beta = 0 where the graph does not beat its permuted control.
        version: of the graph.
        report: for JSON; `told` is one line for people.
    """

    term: GraphTerm | None = None
    version: str = ""
    report: dict[str, Any] | None = None


def weighed(
    held: Runtime,
    active: Active,
    ids: Sequence[str],
    data: TrainingData,
    first: Mapping[str, Matrix],
    setting: Setting,
) -> Weighed:
    """Weigh the graph that serves on what A was trained on.

    Items have the places that their rank vectors get, also those that arrived after the import.
    Points that still hold places in another graph are rewritten first, while no term speaks of
    them: the new one serves as soon as it is published.

    Args:
        ids: [n_items] of the columns of `data`.
        first: A0 by part.
        setting: the penalties that were chosen for A.

    Raises:
        RetryableError: the index does not answer.
    """
    graph = held.composer.graphs.current()
    if graph is None:
        return Weighed()
    if graph.dim > active.space.graph:
        told = (
            f"its places are {graph.dim} numbers, the collection holds {active.space.graph}:"
            " beta = 0, it changes no score; import it again with the settings of the collection"
        )
        report = {"version": graph.version, "beta": 0.0, "told": told}
        return Weighed(no_term(active.space.graph), graph.version, report)
    Refresher.of(held).all()
    nodes = _nodes(held, active, graph, ids)
    pi = np.zeros((len(ids), active.space.graph), dtype=np.float32)
    pi[:, : graph.dim] = graph.vectors_at(nodes)
    term, found = weigh(data, first, setting, pi, graph.degrees_at(nodes))
    log.info("graph_weighed", graph=graph.version, beta=term.beta, told=str(found))
    return Weighed(term, graph.version, _told(graph.version, found))


def awaits(held: Runtime, hybrid: Hybrid) -> bool:
    """Whether another graph serves than the one the hybrid was weighed with: its term is silent
    until a whole training."""
    graph = held.composer.graphs.current()
    return graph is not None and graph.version != hybrid.graph_version


def kept(held: Runtime, hybrid: Hybrid) -> dict[str, Any] | None:
    """What an update, which leaves the term as it is, has to tell of it."""
    if awaits(held, hybrid):
        return {
            "beta": 0.0,
            "told": "imported while what came since was added, and silent until the next"
            " `firstlight train`",
        }
    found: dict[str, Any] | None = hybrid.facts.get("report", {}).get("graph")
    return found


def _nodes(
    held: Runtime, active: Active, graph: GraphArtifact, ids: Sequence[str]
) -> NDArray[np.int64]:
    """The items' nodes, [n]; -1 where an item has none, or is no longer indexed."""
    rows = {item_id: at for at, item_id in enumerate(ids)}
    nodes = np.full(len(ids), -1, dtype=np.int64)
    for batch in held.index.scroll(active.collection):
        known = [item for item in batch if item.id in rows]
        at = [rows[item.id] for item in known]
        nodes[at] = graph.nodes_of([as_item(item) for item in known])
    return nodes


def _told(version: str, found: GraphReport) -> dict[str, Any]:
    return {
        "version": version,
        "beta": found.beta,
        "form": found.chosen.form,
        "bias_weight": found.chosen.bias_weight,
        "ndcg_without": found.base,
        "ndcg_with": found.base + found.gain,
        "permuted": {
            name: {"mean": mean, "deviation": deviation}
            for name, (mean, deviation) in found.controls.items()
        },
        "linked": found.linked,
        "linked_candidates": found.linked_candidates,
        "told": str(found),
    }
