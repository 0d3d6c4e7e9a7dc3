"""An A of one catalogue in the coordinates of another, whose items the same encoders have read.

Every catalogue fuses by its own statistics, so an item x is c_s = F_s(x) there and c_t = F_t(x)
here. A ridge regression over the items of this catalogue learns

    L = argmin sum_i |c_s,i - L^T c_t,i|^2 + l |L - L0|^2,   so that c_s ~ L^T c_t,

around L0, which for a block of one encoder is what undoes the one whitening and does the other,
P_t^+ P_s times a number, and else 0: few items are enough to translate the text.

Then A_s, which scores u_s^T A_s c_s, becomes A_t = U A_s L^T with u_s ~ U^T u_t, part by part. A
history is a mean of items: U = L. The constant 1 and the demographics are the same in both: U = I.
A profile part differs by how long each whitening leaves it: U is a number. What the user model says
of a profile has no U, for a fusion does not tell which model that was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from domain.vectors import BlockMap, Matrix
from ranking.layout import SOURCE_BLOCKS, FusionLike, rank_dim
from ranking.projection import Projection, prior
from ranking.user import TINY, row_lengths

LEAST_ITEMS = 16
"""Items below which nothing can be said of how two fusions differ."""

LEAST_EXPLAINED = 0.1
"""Share of the other catalogue's vectors that L must predict on items it has not seen."""

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""l tried, over the mean eigenvalue of C_t^T C_t."""

HELD_OUT_EVERY = 5
ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True)
class Translation:
    """L, and what it is worth.

    Attributes:
        matrix: [d_t, d_s] float64; zeros for the coordinates of blocks that are not shared.
        gram: C_t^T C_t / n, [d_t, d_t] float64.
        shared: names of the blocks that it translates.
        explained: share of the squared length of C_s predicted on every fifth item, by an L that
            has not seen them.
        items: n, from which it was learned.
    """

    matrix: NDArray[np.float64] = field(repr=False)
    gram: NDArray[np.float64] = field(repr=False)
    shared: frozenset[str]
    explained: float
    items: int


def translation(
    blocks: Sequence[BlockMap],
    own: Matrix,
    other_blocks: Sequence[BlockMap],
    other: Matrix,
    shared: Collection[str],
    alike: Collection[str],
) -> Translation:
    """L from the same items in both coordinates.

    Args:
        own: C_t, [n, d_t] float32.
        other: C_s, [n, d_s] float32.
        shared: names of blocks that both have.
        alike: those of them whose raw vectors are the same in both.

    Raises:
        RejectedError: too few items, or L does not predict those it has not seen.
    """
    if len(own) < LEAST_ITEMS:
        raise RejectedError(
            f"{len(own)} items can be fused in both catalogues' ways, a transfer needs"
            f" {LEAST_ITEMS}",
            remedy="index more items first",
        )
    mine, theirs = _columns(blocks, shared), _columns(other_blocks, shared)
    held = np.arange(len(own)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    x, y = own[:, mine], other[:, theirs]
    seen, unseen = _sums(x[~held], y[~held]), _sums(x[held], y[held])
    first = _between(blocks, other_blocks, alike)[np.ix_(mine, theirs)]
    length = float(np.square(y[held], dtype=np.float64).sum())
    gains = {
        ridge: _explained(matrix, *unseen) / max(length, TINY)
        for ridge, matrix in _solved(*seen, first, RIDGES)
    }
    best = max(gains, key=lambda ridge: gains[ridge])
    if gains[best] < LEAST_EXPLAINED:
        raise RejectedError(
            f"of the other catalogue's vectors {gains[best]:.0%} can be told from this one's, a"
            f" transfer needs {LEAST_EXPLAINED:.0%}",
            remedy="index more items first",
        )
    every = (seen[0] + unseen[0], seen[1] + unseen[1])
    ((_, solved),) = _solved(*every, first, (best,))
    matrix = np.zeros((own.shape[1], other.shape[1]))
    matrix[np.ix_(mine, theirs)] = solved
    gram = _sums(own, own[:, :0])[0] / len(own)
    return Translation(matrix, gram, frozenset(shared), gains[best], len(own))


def translated(
    source: Projection,
    source_blocks: Sequence[BlockMap],
    fusion: FusionLike,
    found: Translation,
    raw: Mapping[str, Matrix],
) -> dict[str, Matrix]:
    """A_t: what the source knows, and the own prior for what it does not.

    The prior of a block or a profile part that the source lacks is scaled so that it weighs what
    the prior weighs beside a history of the shared blocks: the two differ in size.

    Args:
        source: A_s.
        source_blocks: of the fusion it speaks of.
        raw: {block: [n, raw_dim] float32}, raw vectors of some items, by which profile parts are
            scaled; a block without any keeps its scale.

    Returns:
        {part: [d_part, d_t] float32}.
    """
    right = found.matrix.T
    own = prior(fusion).matrices
    known: dict[str, NDArray[np.float64]] = {}
    by_name = {block.name: block for block in source_blocks}
    for part, matrix in source.matrices.items():
        wide = matrix.astype(np.float64)
        block = next((one for one in fusion.blocks if one.name == SOURCE_BLOCKS.get(part)), None)
        if part == "history":
            known[part] = found.matrix @ wide @ right
        elif part in ("one", "demographics"):
            known[part] = wide @ right
        elif block is not None and block.name in found.shared:
            scale = _scale(block, by_name[block.name], raw.get(block.name))
            known[part] = scale * wide @ right
    first = own["history"].astype(np.float64)
    shared = _columns(fusion.blocks, found.shared)
    inside = np.zeros_like(first)
    inside[np.ix_(shared, shared)] = first[np.ix_(shared, shared)]
    size = _energy(inside, found.gram)
    past = known.get("history", inside)
    level = np.sqrt(_energy(past, found.gram) / size) if size > 0 else 1.0
    known["history"] = past + level * (first - inside)
    for part, matrix in own.items():
        known.setdefault(part, level * matrix.astype(np.float64))
    return {part: matrix.astype(np.float32) for part, matrix in known.items()}


def _columns(blocks: Sequence[BlockMap], names: Collection[str]) -> NDArray[np.int64]:
    """Coordinates of these blocks, one block after the other in the order of their names."""
    spans = {block.name: (block.start, block.stop) for block in blocks}
    parts = [np.arange(*spans[name]) for name in sorted(names)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _sums(x: Matrix, y: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """X^T X and X^T Y in float64, without a copy of all rows."""
    gram, cross = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = x[start : start + ROWS_AT_ONCE].astype(np.float64)
        gram += rows.T @ rows
        cross += rows.T @ y[start : start + ROWS_AT_ONCE]
    return gram, cross


def _between(
    blocks: Sequence[BlockMap], other_blocks: Sequence[BlockMap], alike: Collection[str]
) -> NDArray[np.float64]:
    """L0 up to a number for each block, [d_t, d_s]."""
    found = np.zeros((rank_dim(blocks), rank_dim(other_blocks)))
    others = {block.name: block for block in other_blocks}
    for block in blocks:
        if block.name in alike:
            other = others[block.name]
            undone = np.linalg.pinv(block.projection.astype(np.float64))
            found[block.start : block.stop, other.start : other.stop] = undone @ other.projection
    return found


def _solved(
    gram: NDArray[np.float64],
    cross: NDArray[np.float64],
    first: NDArray[np.float64],
    ridges: Sequence[float],
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """L0 + (X^T X + l I)^-1 X^T (Y - X L0) for every ridge, from one decomposition.

    L0 is `first` times the number by which it explains Y best.
    """
    energy = float(np.sum(first * (gram @ first)))
    if energy > 0:
        first = first * (float(np.sum(first * cross)) / energy)
    values, vectors = np.linalg.eigh(gram)
    rotated = vectors.T @ (cross - gram @ first)
    level = max(float(np.trace(gram)) / len(gram), TINY)
    for ridge in ridges:
        yield (
            ridge,
            first + vectors @ (rotated / (np.maximum(values, 0.0) + ridge * level)[:, None]),
        )


def _explained(
    matrix: NDArray[np.float64], gram: NDArray[np.float64], cross: NDArray[np.float64]
) -> float:
    """|Y|^2 - |Y - X matrix|^2."""
    return float(2 * np.sum(matrix * cross) - np.sum(matrix * (gram @ matrix)))


def _energy(matrix: NDArray[np.float64], gram: NDArray[np.float64]) -> float:
    """Mean square of c^T matrix c' over all pairs of items c, c'."""
    return float(np.sum((matrix @ gram) * (gram @ matrix)))


def _scale(block: BlockMap, other: BlockMap, raw: Matrix | None) -> float:
    """The number by which a profile part here becomes one there: both are divided by how long
    their own whitening leaves them, and reach a block of their own weight."""
    ratio = block.weight / other.weight
    if raw is None or not len(raw):
        return ratio
    here = row_lengths((raw - block.mean) @ block.projection)
    there = row_lengths((raw - other.mean) @ other.projection)
    usable = (here > TINY) & (there > TINY)
    return ratio * float(np.median(here[usable] / there[usable])) if usable.any() else ratio
