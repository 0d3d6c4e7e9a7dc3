"""A small catalogue with a plan behind it: two makers, each with films of their own audience."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ranking.graph import KnowledgeGraph, read_graph

ITEMS, USERS, KINDS = 120, 400, 6


@dataclass(frozen=True)
class Planted:
    """Items of KINDS kinds; a user has items of one kind; the graph knows the kind."""

    graph: KnowledgeGraph
    nodes: NDArray[np.int64]
    kinds: NDArray[np.int64]
    interactions: csr_matrix


def lines(*rows: str) -> list[bytes]:
    """Rows with | for the tab."""
    return [row.replace("|", "\t").encode() for row in rows]


def graph_of(*rows: str, names: tuple[str, ...] = ()) -> KnowledgeGraph:
    return read_graph(lines(*rows), lines(*names))[0]


@pytest.fixture(scope="session")
def planted() -> Planted:
    random = np.random.default_rng(3)
    kinds = np.arange(ITEMS) % KINDS
    rows = []
    for item, kind in enumerate(kinds):
        rows.append(f"i{item}|made_by|maker{kind}-{item // KINDS % 2}")
        rows.append(f"i{item}|about|subject{kind}")
        rows.append(f"i{item}|language|one")
        if item % 3 == 0:
            rows.append(f"i{item}|seen_at|place{random.integers(8)}")
    graph = graph_of(*rows)
    nodes = np.array([graph.number[f"i{item}"] for item in range(ITEMS)])
    chosen = np.zeros((USERS, ITEMS), dtype=np.float32)
    for user in range(USERS):
        own = np.flatnonzero(kinds == user % KINDS)
        chosen[user, random.choice(own, 8, replace=False)] = 1
    return Planted(graph, nodes, kinds, csr_matrix(chosen))
