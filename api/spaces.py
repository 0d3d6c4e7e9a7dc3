"""The collection, fusion and hybrid that serve right now, as one coherent triple."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from api.ranked import Space
from index import MissingCollectionError
from ranking import HybridStore
from ranking.graph import GraphStore
from workers.serving import Serving

T = TypeVar("T")


class Spaces:
    """Follows the serving alias, the fusion pointer and the hybrid's pointer."""

    def __init__(self, serving: Serving, hybrids: HybridStore, graphs: GraphStore) -> None:
        self._serving = serving
        self._hybrids = hybrids
        self._graphs = graphs

    def current(self) -> Space | None:
        """What serves now; None before anything is indexed. Raises RetryableError."""
        found = self._serving.current()
        if found is None:
            return None
        collection, fusion, rank = found
        hybrid = self._hybrids.current(fusion, rank)
        graph = self._graphs.current()
        version = "" if graph is None else graph.version
        if hybrid.graph is not None and hybrid.graph_version != version:
            # Items have their places in another graph than the one its term was trained on.
            hybrid = replace(hybrid, graph=None)
        return Space(collection, fusion, rank, hybrid, graph)

    def use(self, work: Callable[[Space | None], T]) -> T:
        """Work with what serves now; once more when that collection was dropped meanwhile."""
        try:
            return work(self.current())
        except MissingCollectionError:
            self._serving.forget()
            return work(self.current())
