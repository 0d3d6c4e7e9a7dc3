"""The space of the `rank` vector: content, gate, collaborative and graph numbers of one item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.vectors import BlockMap, Matrix, Vector
from ranking.layout import Layout, layout_of, rank_dim

OFFSET, CF, GRAPH = "offset", "cf", "graph"
"""Names of what follows the content blocks."""


@dataclass(frozen=True, slots=True)
class RankSpace:
    """Where everything lies in an item's rank vector (SCIENCE section 1, "One query").

        r_i = [ w_i c_i (content) ; w_i (1) ; g_i v_i (factors) ; g_i (1) ; pi_i (graph) ]

    g_i is the confidence in the item's collaborative factors v_i, w_i its weight of content, pi_i
    its place in the knowledge graph. An item of which nothing is known but its content has g = 0,
    w = 1 and zeros behind. The lengths are those of the collection and never change with
    training.

    Attributes:
        blocks: the content blocks; they fill [0, content).
        content: length d of the fused content vector c_i.
        factors: length F of v_i.
        graph: length G of pi_i.
    """

    blocks: Layout
    content: int
    factors: int
    graph: int

    @property
    def dim(self) -> int:
        """Length of a rank vector, content + 1 + factors + 1 + graph."""
        return self.content + self.factors + self.graph + 2

    @property
    def spans(self) -> Layout:
        """Every span: the content blocks, "offset" (w), "cf" (g v and g), "graph" (pi)."""
        offset = self.content
        cf = offset + 1
        graph = cf + self.factors + 1
        return {
            **self.blocks,
            OFFSET: (offset, cf),
            CF: (cf, graph),
            GRAPH: (graph, graph + self.graph),
        }

    def compose(
        self,
        content: Matrix,
        gates: NDArray[np.floating] | None = None,
        warm_weight: float = 1.0,
        factors: Matrix | None = None,
        graph: Matrix | None = None,
    ) -> Matrix:
        """Rank vectors of n items.

        Args:
            content: [n, content], the fused vectors c_i.
            gates: [n] in [0, 1), g_i; all 0 where absent.
            warm_weight: a of w_i = (1 - g_i) + g_i a; above 0.
            factors: [n, <= factors], v_i unscaled; zeros where absent.
            graph: [n, <= graph], pi_i; zeros where absent.

        Returns:
            [n, dim] float32.
        """
        count = len(content)
        gate = np.zeros(count) if gates is None else np.asarray(gates, dtype=np.float64)
        weight = (1.0 - gate) + gate * warm_weight
        cf = self.content + 1
        rank = np.zeros((count, self.dim), dtype=np.float32)
        rank[:, : self.content] = content * weight[:, None]
        rank[:, self.content] = weight
        if factors is not None:
            rank[:, cf : cf + factors.shape[1]] = factors * gate[:, None]
        rank[:, cf + self.factors] = gate
        if graph is not None:
            start = cf + self.factors + 1
            rank[:, start : start + graph.shape[1]] = graph
        return rank

    def content_of(self, rank: Matrix) -> Matrix:
        """c_i of each rank vector: [n, content] float32."""
        return np.asarray(
            rank[:, : self.content] / rank[:, self.content : self.content + 1], dtype=np.float32
        )

    def weights_of(self, rank: Matrix) -> Vector:
        """w_i of each rank vector: [n] float32."""
        return np.asarray(rank[:, self.content], dtype=np.float32)

    def gates_of(self, rank: Matrix) -> Vector:
        """g_i of each rank vector: [n] float32."""
        return np.asarray(rank[:, self.content + 1 + self.factors], dtype=np.float32)

    def factors_of(self, rank: Matrix) -> Matrix:
        """v_i of each rank vector: [n, factors] float32; zeros where g_i is 0."""
        gates = self.gates_of(rank)[:, None]
        scaled = rank[:, self.content + 1 : self.content + 1 + self.factors]
        return np.divide(
            scaled, gates, out=np.zeros(scaled.shape, dtype=np.float32), where=gates > 0
        )

    def graph_of(self, rank: Matrix) -> Matrix:
        """pi_i of each rank vector: [n, graph] float32."""
        return np.asarray(rank[:, self.dim - self.graph :], dtype=np.float32)


def rank_space(blocks: Sequence[BlockMap], factors: int, graph: int) -> RankSpace:
    """The space of the collections that hold this fusion's vectors."""
    return RankSpace(layout_of(blocks), rank_dim(blocks), factors, graph)
