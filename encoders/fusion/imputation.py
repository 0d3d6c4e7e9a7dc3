"""A missing block, predicted by ridge regression from the blocks that are present.

The prediction is left as short as the ridge makes it: its inner product with a query is then the
expected score of the block, so a guess counts for as much as it is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from domain.vectors import Matrix
from encoders.fusion.blocks import Double

MIN_CO_OBSERVED = 100
"""Items that carry sources and target together, below which no map is learned."""

MIN_GAIN = 0.02
"""Share of the block's squared length that must be predicted on held-out items."""

_MIN_STEP = 0.005
"""What a second source must add to the gain of the better single one."""

_HELD_OUT_EVERY = 5
_RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Ridge strengths tried, over the mean eigenvalue of the sources' Gram matrix."""


@dataclass(frozen=True, slots=True)
class Imputation:
    """target block ~ concatenated unit vectors of `sources` @ matrix.

    Attributes:
        target: the block that is predicted.
        sources: the blocks it is predicted from, in the fusion's order.
        matrix: [sum of the sources' dims, target's dim] float32.
        gain: share of the target's squared length predicted on held-out items, at most 1.
    """

    target: str
    sources: tuple[str, ...]
    matrix: Matrix
    gain: float

    def predict(self, units: Mapping[str, Double]) -> Double:
        """[n, target dim] float64, norm at most 1, from the unit vectors of present blocks."""
        joined = np.concatenate([units[name] for name in self.sources], axis=1)
        guess: Double = joined @ self.matrix
        norms = np.sqrt(np.einsum("ij,ij->i", guess, guess))
        guess /= np.maximum(norms, 1.0)[:, None]
        return guess


class CoMoments:
    """Gram matrices of the unit vectors, one per set of blocks that occur together."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        """dims: of the fitted blocks, in the fusion's order."""
        self._dims = dims
        self._grams: dict[tuple[tuple[str, ...], bool], tuple[int, Double]] = {}
        self._seen: dict[tuple[str, ...], int] = {}

    def add(self, units: Mapping[str, Double]) -> None:
        """Count items in which exactly these blocks are present: {name: [n, dim]}, same n."""
        names = tuple(name for name in self._dims if name in units)
        if len(names) < 2:
            return
        joined = np.concatenate([units[name] for name in names], axis=1)
        first = self._seen.get(names, 0)
        self._seen[names] = first + len(joined)
        held = (np.arange(first, first + len(joined)) % _HELD_OUT_EVERY) == _HELD_OUT_EVERY - 1
        for kind in (False, True):
            rows = joined[held == kind]
            count, gram = self._grams.get((names, kind), (0, 0.0))
            self._grams[names, kind] = (count + len(rows), gram + rows.T @ rows)

    def select(self, blocks: Sequence[str], *, held_out: bool) -> tuple[int, Double]:
        """Number of items that carry all of `blocks`, and the Gram matrix over those blocks."""
        size = sum(self._dims[name] for name in blocks)
        count, total = 0, np.zeros((size, size))
        for (names, kind), (items, gram) in self._grams.items():
            if kind == held_out and set(blocks) <= set(names):
                rows = self._rows(names, blocks)
                count += items
                total += gram[np.ix_(rows, rows)]
        return count, total

    def _rows(self, names: Sequence[str], wanted: Sequence[str]) -> Double:
        starts, at = {}, 0
        for name in names:
            starts[name] = at
            at += self._dims[name]
        parts = [np.arange(starts[name], starts[name] + self._dims[name]) for name in wanted]
        return np.concatenate(parts)


def learn(moments: CoMoments, dims: Mapping[str, int]) -> tuple[Imputation, ...]:
    """The maps from one or two blocks to a third that predict held-out items better than masking.

    Masking predicts the zero vector, the mean of the block, so a map validates when it predicts a
    share of the squared length, MIN_GAIN. The ridge is chosen on the same held-out items, then
    the map is learned anew from all.
    """
    found = []
    for target in dims:
        others = [name for name in dims if name != target]
        best = 0.0
        for size in (1, 2):
            fitted = list(_maps(moments, dims, combinations(others, size), target))
            kept = [m for m in fitted if m.gain >= max(MIN_GAIN, best + _MIN_STEP * (size - 1))]
            best = max([best, *(m.gain for m in kept)])
            found += kept
    return tuple(found)


def _maps(
    moments: CoMoments,
    dims: Mapping[str, int],
    source_sets: Iterator[tuple[str, ...]],
    target: str,
) -> Iterator[Imputation]:
    for sources in source_sets:
        size = sum(dims[name] for name in sources)
        count, train = moments.select((*sources, target), held_out=False)
        held_count, held = moments.select((*sources, target), held_out=True)
        if count + held_count < MIN_CO_OBSERVED:
            continue
        length = float(np.trace(held[size:, size:]))
        gains = {}
        for ridge, matrix in _solve(train, size, _RIDGES):
            explained = 2 * float(np.einsum("ij,ij->", matrix, held[:size, size:]))
            explained -= float(np.einsum("ij,ij->", matrix, held[:size, :size] @ matrix))
            gains[ridge] = explained / length
        ridge = max(gains, key=lambda r: gains[r])
        ((_, matrix),) = _solve(train + held, size, (ridge,))
        yield Imputation(target, sources, matrix.astype(np.float32), gains[ridge])


def _solve(gram: Double, size: int, ridges: Sequence[float]) -> Iterator[tuple[float, Double]]:
    """(G_ss + ridge * trace / size * I)^-1 G_st for every ridge, from one decomposition."""
    values, vectors = np.linalg.eigh(gram[:size, :size])
    rotated = vectors.T @ gram[:size, size:]
    level = float(np.trace(gram[:size, :size])) / size
    for ridge in ridges:
        yield ridge, vectors @ (rotated / (np.maximum(values, 0.0) + ridge * level)[:, None])
