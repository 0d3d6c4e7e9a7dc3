"""A knowledge graph in memory: nodes, relations, edges, and what describes a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Numbers: TypeAlias = NDArray[np.int64]
"""[n] int64."""

INVERSE_SHARE = 0.9
"""Two relations are one another's inverse when this share of the smaller one's edges agrees."""


@dataclass(frozen=True)
class KnowledgeGraph:
    """Nodes and directed, typed edges. Nodes and relations are numbered from 0.

    An edge describes both its ends: a node's *features* are the pairs (relation, direction, other
    end). A feature is kept as one number, its code: `kind * len(entities) + other end`, where
    kind is the relation for an edge that leaves the node and the relation + len(relations) for
    one that reaches it.

    Attributes:
        entities: the id of every node.
        relations: the name of every relation.
        edges: [m, 3] int32 (head, relation, tail), sorted, without loops or duplicates.
        names: {node: the name that people read}; a node without one goes by its id.
        aliases: {node: further names}.
        relation_names: {relation: its name}; one without goes by the words of its id.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    edges: NDArray[np.int32] = field(repr=False)
    names: Mapping[int, str] = field(default_factory=dict, repr=False)
    aliases: Mapping[int, Sequence[str]] = field(default_factory=dict, repr=False)
    relation_names: Mapping[int, str] = field(default_factory=dict, repr=False)

    @cached_property
    def number(self) -> dict[str, int]:
        """{entity id: node}."""
        return {entity: node for node, entity in enumerate(self.entities)}

    def name(self, node: int) -> str:
        """What people read; the id where no name is known."""
        return self.names.get(node) or self.entities[node]

    @cached_property
    def starts(self) -> Numbers:
        """[n_entities + 1]: node v has the features codes[starts[v] : starts[v + 1]]."""
        found = np.zeros(len(self.entities) + 1, dtype=np.int64)
        ends = np.concatenate([self.edges[:, 0], self.edges[:, 2]])
        np.cumsum(np.bincount(ends, minlength=len(self.entities)), out=found[1:])
        return found

    @cached_property
    def codes(self) -> Numbers:
        """[2 m] feature codes, node by node."""
        head, relation, tail = (self.edges[:, i].astype(np.int64) for i in range(3))
        nodes = np.concatenate([head, tail])
        kinds = np.concatenate([relation, relation + len(self.relations)])
        others = np.concatenate([tail, head])
        return np.asarray((kinds * len(self.entities) + others)[np.lexsort((others, kinds, nodes))])

    def features(self, node: int) -> Numbers:
        """The feature codes of one node."""
        return self.codes[self.starts[node] : self.starts[node + 1]]

    def feature(self, code: int) -> tuple[str, bool, int]:
        """(relation, whether the edge leaves the node described, the node at the other end)."""
        kind, other = divmod(code, len(self.entities))
        outward = kind < len(self.relations)
        return self.relations[kind % len(self.relations)], outward, other

    @cached_property
    def degrees(self) -> Numbers:
        """[n_entities] edges at each node."""
        return np.diff(self.starts)

    def incidence(self, nodes: NDArray[np.int64], vocabulary: Numbers) -> csr_matrix:
        """Which of the features of `vocabulary` (sorted codes) each node has.

        Args:
            nodes: [n]; -1 for an item without a node, which gets an empty row.

        Returns:
            [n, len(vocabulary)] float32 of ones.
        """
        known = nodes >= 0
        safe = np.where(known, nodes, 0)
        counts = np.where(known, self.starts[safe + 1] - self.starts[safe], 0)
        rows = np.repeat(np.arange(len(nodes)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        codes = self.codes[np.repeat(self.starts[safe], counts) + within]
        columns = np.searchsorted(vocabulary, codes)
        found = columns < len(vocabulary)
        found[found] = vocabulary[columns[found]] == codes[found]
        ones = np.ones(int(found.sum()), dtype=np.float32)
        shape = (len(nodes), len(vocabulary))
        return csr_matrix((ones, (rows[found], columns[found])), shape=shape)


def without_inverses(
    edges: NDArray[np.int32], nodes: int, relations: int
) -> tuple[NDArray[np.int32], int]:
    """Drop edges that say again, backwards, what another edge says.

    (Alien, directed_by, Scott) and (Scott, director_of, Alien) are one fact; so are both
    directions of a symmetric relation. The edge of the more frequent relation stays.

    Args:
        edges: [m, 3] distinct (head, relation, tail).

    Returns:
        the edges that stay, and how many were dropped.
    """
    if not len(edges):
        return edges, 0
    head, relation, tail = (edges[:, i].astype(np.int64) for i in range(3))
    forward, backward = head * nodes + tail, tail * nodes + head
    order = np.argsort(forward, kind="stable")
    ranked = forward[order]
    left, right = np.searchsorted(ranked, backward), np.searchsorted(ranked, backward, "right")
    counts = right - left
    mine = np.repeat(np.arange(len(edges)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    theirs = order[np.repeat(left, counts) + within]
    pair = relation[mine] * relations + relation[theirs]
    _, which, counted = np.unique(pair, return_inverse=True, return_counts=True)
    sizes = np.bincount(relation, minlength=relations)
    smaller = np.minimum(sizes[pair // relations], sizes[pair % relations])
    inverse = counted[which] >= INVERSE_SHARE * smaller
    one, two = relation[mine], relation[theirs]
    weaker = (sizes[one] < sizes[two]) | ((sizes[one] == sizes[two]) & (one > two))
    weaker |= (one == two) & (head[mine] > tail[mine])
    dropped = np.unique(mine[inverse & weaker])
    stay = np.ones(len(edges), dtype=bool)
    stay[dropped] = False
    return edges[stay], len(dropped)
