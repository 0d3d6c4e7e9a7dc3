"""Spectral embeddings pi of items in a knowledge graph: closed form, new nodes fold in.

The incidence X of linked items and their features (relation, direction, entity) is weighted like
tf-idf, w_f = log(1 + items / items with f); with its rows scaled to unit length, X = U S V^T is
truncated to d singular values. An item's embedding is the weighted sum of its features'
embeddings, the rows of V S^(-1/2):

    y_i = sum over its features of w_f v_f S^(-1/2),    pi_i = y_i / rms - mean of the linked items

so a node that the fit has not seen needs its edges alone. S^(-1/2) is the soft whitening of the
other blocks (eigenvalue^(-1/4) of X^T X). y_i keeps its length, which says how much of the item is
shared with others and goes with popularity (docs/graph.md has what that is worth), but no more
than LONGEST_SHARE of the fit's items have: a node with 10^5 edges is no longer than they are.
An item without a known feature has pi = 0, the same as the mean linked item.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array
from sklearn.utils.extmath import randomized_svd

from domain.vectors import Matrix, Vector
from ranking.graph.knowledge import KnowledgeGraph, Numbers

HUB_DEGREE = 10_000
"""An entity that describes more linked items than this weighs sqrt(HUB_DEGREE / items) less."""

MIN_ITEMS = 2
"""A feature of fewer linked items relates no two of them, and is left out."""

LONGEST_SHARE = 0.99
"""Quantile of |y| over the linked items beyond which a length is cut off."""

TINY = 1e-8


@dataclass(frozen=True)
class Spectral:
    """What folds a node in.

    Attributes:
        codes: [f] int64, sorted: the features known to the fit.
        weights: [f] float32 >= 0, the tf-idf weight of each.
        directions: [f, dim] float32, V S^(-1/2); columns past the rank are zero.
        mean: [dim] float32, mean over the linked items before it is subtracted.
        values: [dim] float32, the singular values.
        longest: the cut-off of |y|; y is in units of the root mean square length.
    """

    codes: Numbers = field(repr=False)
    weights: Vector = field(repr=False)
    directions: Matrix = field(repr=False)
    mean: Vector = field(repr=False)
    values: Vector = field(repr=False)
    longest: float

    @property
    def dim(self) -> int:
        """Length of pi."""
        return len(self.mean)

    def embed(self, graph: KnowledgeGraph, nodes: NDArray[np.int64]) -> Matrix:
        """pi of nodes, [n, dim] float32; zero for -1 and for a node without a known feature."""
        return self._fold(graph.incidence(nodes, self.codes))

    def fold_in(self, codes: Numbers) -> Vector:
        """pi of a node that is not in the graph, from the codes of its edges. [dim] float32."""
        places = np.searchsorted(self.codes, codes)
        places = places[places < len(self.codes)]
        found = places[np.isin(self.codes[places], codes)]
        row = np.zeros((1, len(self.codes)), dtype=np.float32)
        row[0, found] = 1.0
        return np.asarray(self._fold(csr_matrix(row))[0])

    def _fold(self, incidence: csr_matrix) -> Matrix:
        folded = incidence @ (self.directions * self.weights[:, None])
        norms = np.linalg.norm(folded, axis=1, keepdims=True)
        known = norms[:, 0] > TINY
        pi = np.zeros(folded.shape, dtype=np.float32)
        cut = np.minimum(1.0, self.longest / np.maximum(norms, TINY))
        pi[known] = (folded * cut)[known] - self.mean
        return pi


def spectral(
    graph: KnowledgeGraph, nodes: NDArray[np.int64], dim: int, *, seed: int = 0
) -> Spectral:
    """Fit on the nodes of linked items.

    Args:
        nodes: [n], -1 where an item has no node; a node that several items share counts once.
        dim: length of pi; where the graph has a smaller rank, the rest is zero.
        seed: of the randomised SVD (Halko, Martinsson, Tropp, SIAM Review 53(2), 2011).
    """
    linked = np.unique(nodes[nodes >= 0])
    codes, counts = _vocabulary(graph, linked)
    weights = np.log1p(len(linked) / np.maximum(counts, 1)) if len(codes) else np.zeros(0)
    weights *= np.sqrt(np.minimum(1.0, HUB_DEGREE / np.maximum(counts, 1)))
    rank = min(dim, len(codes), max(len(linked) - 1, 0))
    directions = np.zeros((len(codes), dim), dtype=np.float32)
    values = np.zeros(dim, dtype=np.float32)
    if rank:
        weighted = graph.incidence(linked, codes) @ diags_array(weights)
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        scaled = csr_matrix(diags_array(1.0 / np.maximum(norms, TINY)) @ weighted)
        _, found, right = randomized_svd(scaled, rank, n_iter=7, random_state=seed)
        kept = found > 1e-6 * found[0]
        values[: kept.sum()] = found[kept]
        directions[:, : kept.sum()] = right[kept].T / np.sqrt(found[kept])
    raw = graph.incidence(linked, codes) @ (directions * weights[:, None])
    lengths = np.linalg.norm(raw, axis=1)
    known = lengths > TINY
    rms = float(np.sqrt((lengths[known] ** 2).mean())) if known.any() else 1.0
    longest = float(np.quantile(lengths[known], LONGEST_SHARE)) / rms if known.any() else 1.0
    made = Spectral(
        codes,
        (weights / rms).astype(np.float32),
        directions,
        np.zeros(dim, dtype=np.float32),
        values,
        longest,
    )
    pi = made.embed(graph, linked)[known]
    return replace(made, mean=pi.mean(axis=0)) if len(pi) else made


def shared_degrees(graph: KnowledgeGraph, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many features each node shares with at least one other of these nodes, [n].

    What the control of the graph term leaves as it is: how richly an item is described goes with
    its popularity.
    """
    codes, _ = _vocabulary(graph, np.unique(nodes[nodes >= 0]))
    return np.diff(graph.incidence(nodes, codes).indptr).astype(np.int64)


def _vocabulary(graph: KnowledgeGraph, nodes: Numbers) -> tuple[Numbers, Numbers]:
    """The features that at least MIN_ITEMS of the nodes have, and how many have them."""
    if not len(nodes):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty
    member = np.zeros(len(graph.entities), dtype=bool)
    member[nodes] = True
    owner = np.repeat(member, graph.degrees)
    codes, counts = np.unique(graph.codes[owner], return_counts=True)
    kept = counts >= MIN_ITEMS
    return codes[kept], counts[kept]
