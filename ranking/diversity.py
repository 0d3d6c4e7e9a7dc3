"""Choosing results one after another: by score, unlike those before, and no copies of them.

Maximal marginal relevance (Carbonell and Goldstein, 1998): the next result is the candidate with
the largest (1 - strength) * relevance - strength * (cosine to the most similar result so far).
Relevance is the score on a scale from 0 (the worst candidate) to 1 (the best), so that a strength
means the same whatever the scores' scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.vectors import Matrix


@dataclass(frozen=True, slots=True)
class Near:
    """How many items that are all but the same may be in one answer.

    Attributes:
        cosine: above this two items are near-duplicates.
        most: how many of such may be results.
    """

    cosine: float
    most: int


def unit_rows(vectors: Matrix) -> Matrix:
    """Each row at length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def crowded(vectors: Matrix, near: Near) -> bool:
    """Whether some item has more near-duplicates among these than may be, itself counted.

    Args:
        vectors: [n, d] float32.
    """
    if len(vectors) <= near.most:
        return False
    products = vectors @ vectors.T
    lengths = np.sqrt(products.diagonal())
    alike = products > near.cosine * np.outer(lengths, lengths)
    return bool((alike.sum(axis=1) > near.most).any())


class Picker:
    """Picks results from n candidates; what was picked, or was refused, is not asked for again.

    Args:
        vectors: [n, d] float32, the items' content vectors.
        strength: of diversity, 0 (by score alone) to 1 (by unlikeness alone).
        near: the limit on near-duplicates; None for no limit.
        admits: asked before a candidate (its position) is picked; on True it counts as picked.
    """

    def __init__(
        self,
        vectors: Matrix,
        *,
        strength: float = 0.0,
        near: Near | None = None,
        admits: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._strength = strength
        self._near = near
        self._admits = admits
        self._unit = unit_rows(vectors)
        self._open = np.ones(len(vectors), dtype=bool)
        self._closest: NDArray[np.float32] | None = None
        self._alike = np.zeros(len(vectors), dtype=np.int64)
        self.copies: list[int] = []
        """Positions of the candidates that were refused as near-duplicates, in order."""

    def pick(
        self, scores: ArrayLike, count: int, among: NDArray[np.bool_] | None = None
    ) -> list[int]:
        """Positions of at most `count` further candidates, in the order they were picked.

        Equal ones are picked in order of position.

        Args:
            scores: [n].
            among: [n], which may be picked now; all where None.
        """
        relevance = _on_unit_scale(np.asarray(scores, dtype=np.float64))
        may = self._open.copy() if among is None else self._open & among
        found: list[int] = []
        while len(found) < count and may.any():
            at = int(np.argmax(np.where(may, self._values(relevance), -np.inf)))
            may[at] = self._open[at] = False
            if self._near is not None and self._alike[at] >= self._near.most:
                self.copies.append(at)
            elif self._admits(at):
                self.take(at)
                found.append(at)
        return found

    def allow_copies(self) -> None:
        """From now on near-duplicates may be picked, those that were refused among them."""
        self._near = None
        self._open[self.copies] = True

    def take(self, at: int) -> None:
        """Count a candidate as picked, whatever its score."""
        self._open[at] = False
        if self._strength == 0.0 and self._near is None:
            return
        cosines = self._unit @ self._unit[at]
        if self._near is not None:
            self._alike += cosines > self._near.cosine
        if self._closest is None:
            self._closest = cosines
        else:
            np.maximum(self._closest, cosines, out=self._closest)

    def _values(self, relevance: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._strength == 0.0 or self._closest is None:
            return relevance
        return (1.0 - self._strength) * relevance - self._strength * self._closest


def _on_unit_scale(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(scores) == 0:
        return scores
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.ones(len(scores))
