"""How much each modality of an item counts, read from the item itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from domain.errors import RejectedError
from domain.vectors import BlockMap, Matrix


@dataclass(frozen=True)
class ModalityGates:
    """A gate for each block of an item, and the vector that it leaves.

        g_i = b softmax(W^T [c_i ; l_i]),   c'_i = |c_i| unit(g_i1 c_i1, ..., g_ib c_ib)

    with l_i the lengths of the b blocks that the item has: a block that is there has its full
    length, one that is guessed a shorter one, and one that is neither has none and gets no share,
    b being the number of the others. So an item that has one block alone is left as it is, and
    W = 0 leaves every item as it is. The gates are an attention over an item's own blocks (gated
    multimodal units: Arevalo et al., "Gated Multimodal Units for Information Fusion", 2017).

    Attributes:
        weights: W, [d + blocks, blocks] float32.
    """

    weights: Matrix = field(repr=False)

    def check(self, blocks: Sequence[BlockMap]) -> None:
        """Whether they are for vectors of these blocks.

        Raises:
            RejectedError: of another shape or type, or not finite.
        """
        shape = (blocks[-1].stop + len(blocks), len(blocks))
        if self.weights.shape != shape or self.weights.dtype != np.float32:
            raise RejectedError(
                f"is {self.weights.dtype} {list(self.weights.shape)}, expected float32"
                f" {list(shape)}",
                field="gates",
                remedy="train them again: `firstlight train --full`",
            )
        if not np.isfinite(self.weights).all():
            raise RejectedError("holds NaN or infinity", field="gates")

    def of(self, blocks: Sequence[BlockMap], items: Matrix) -> Matrix:
        """g, [n, blocks] float32; 0 for a block that an item has nothing in."""
        lengths = block_lengths(blocks, items)
        there = lengths > 0
        logits = np.hstack([items, lengths]) @ self.weights
        logits = np.where(there, logits, -np.inf)
        highest = np.max(logits, axis=1, keepdims=True, initial=-1e30)
        shares = np.exp(logits - highest)
        total = np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        counts = there.sum(axis=1, keepdims=True)
        return np.asarray(shares * (counts / total), dtype=np.float32)

    def apply(self, blocks: Sequence[BlockMap], items: Matrix) -> Matrix:
        """c', [n, d] float32, of vectors before the gates; a row of zeros stays one."""
        gates = self.of(blocks, items)
        widths = [block.dim for block in blocks]
        found = items * np.repeat(gates, widths, axis=1)
        before = np.linalg.norm(items, axis=1, keepdims=True)
        after = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return np.asarray(found * (before / after), dtype=np.float32)


def block_lengths(blocks: Sequence[BlockMap], items: Matrix) -> Matrix:
    """l, [n, blocks] float32."""
    columns = [np.linalg.norm(items[:, block.start : block.stop], axis=1) for block in blocks]
    return np.column_stack(columns).astype(np.float32)
