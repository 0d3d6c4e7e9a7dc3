"""Rank vectors of items: their content, and what is known of them beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catalog import Catalog
from domain.items import Item
from domain.settings import Settings
from domain.vectors import RANK, Matrix, Vector
from index import ItemIndex, StoredItem
from ranking import Hybrid, HybridStore
from ranking.graph import GraphStore
from workers.collection import Active
from workers.touched import Touched

MOST_USERS = 10_000
"""Users of an item are counted up to this: with the usual k the gate is .999 there."""


class Composed(NamedTuple):
    """Rank vectors [n, dim] float32 and the gates g in them, [n]."""

    ranks: Matrix
    gates: NDArray[np.float64]


class Composer:
    """Composes rank vectors with the hybrid and the graph that serve. Shared by all threads."""

    def __init__(self, settings: Settings, catalog: Catalog, index: ItemIndex) -> None:
        artifacts = settings.folder("artifacts")
        self._catalog = catalog
        self._index = index
        self.hybrids = HybridStore(artifacts / "hybrid")
        self.graphs = GraphStore(artifacts / "graph")
        self.touched = Touched(artifacts / "touched")

    def hybrid(self, active: Active) -> Hybrid:
        """What serves the collection."""
        return self.hybrids.current(active.fusion, active.space)

    def graph_version(self) -> str:
        """The graph whose places rank vectors get; empty without one."""
        graph = self.graphs.current()
        return "" if graph is None else graph.version

    def compose(self, active: Active, items: Sequence[Item], content: Matrix) -> Composed:
        """Of items about to be written for the first time at their version.

        What their factors became since training is taken from the point that is stored; an item
        that has users but no factors yet is left to the next refresh.

        Args:
            content: [n, content], the fused vectors.

        Raises:
            RetryableError: the ledger or the index does not answer.
        """
        hybrid, ids = self.hybrid(active), [item.id for item in items]
        counts, factors = None, None
        if hybrid.collaborative is not None:
            counts = self.counts(hybrid, ids)
            known = [item_id for item_id, count in zip(ids, counts, strict=True) if count]
            stored = {}
            if known:
                stored = self._index.fetch(active.collection, known, with_vectors=[RANK])
            ranks = {item_id: item.vectors[RANK] for item_id, item in stored.items()}
            factors = factors_of(hybrid, ids, ranks)
        places = self.places(active, items)
        ranks_, gates = hybrid.rank_vectors(ids, content, counts, factors, places)
        if counts is not None:
            self.touched.add([ids[at] for at in np.flatnonzero((counts > 0) & (gates == 0))])
        return Composed(ranks_, gates)

    def recompose(
        self,
        active: Active,
        items: Sequence[StoredItem],
        content: Matrix,
        factors: Matrix | None = None,
    ) -> Composed:
        """Of items that are stored somewhere and whose content is at hand.

        Args:
            factors: [n, F], v_i as they are now; zero rows and None: as they were trained.
        """
        hybrid, ids = self.hybrid(active), [item.id for item in items]
        counts = self.counts(hybrid, ids) if hybrid.collaborative is not None else None
        places = self.places(active, [as_item(item) for item in items])
        return Composed(*hybrid.rank_vectors(ids, content, counts, factors, places))

    def counts(self, hybrid: Hybrid, ids: Sequence[str]) -> NDArray[np.float64]:
        """N_i, [n]: how many users took each item, by the ledger; where the training read files,
        at least as many as there."""
        told = self._catalog.audiences(ids, MOST_USERS)
        counts = np.array([told[item_id] for item_id in ids], dtype=np.float64)
        if hybrid.facts.get("source") == "files":
            counts = np.maximum(counts, hybrid.trained_counts(ids))
        return counts

    def places(self, active: Active, items: Sequence[Item]) -> Matrix | None:
        """pi_i in the graph that serves, [n, <= G]; None without one."""
        graph = self.graphs.current()
        if graph is None or graph.dim > active.space.graph:
            return None
        return graph.vectors_of(items)


def factors_of(hybrid: Hybrid, ids: Sequence[str], ranks: Mapping[str, Vector]) -> Matrix:
    """v_i as they lie in these rank vectors, [n, F]; zeros where there are none."""
    found = np.zeros((len(ids), hybrid.space.factors), dtype=np.float32)
    known = [at for at, item_id in enumerate(ids) if item_id in ranks]
    if known:
        found[known] = hybrid.space.factors_of(np.stack([ranks[ids[at]] for at in known]))
    return found


def as_item(stored: StoredItem) -> Item:
    """As much of the item as linking it to the graph asks for."""
    return Item.model_construct(
        id=stored.id, title=stored.title, description="", tags=[], attributes=stored.attributes
    )
