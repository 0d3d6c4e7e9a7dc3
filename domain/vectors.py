"""Array aliases, and the linear map of one block, which fusion and ranking both speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
"""[dim] float32."""

Matrix: TypeAlias = NDArray[np.float32]
"""[n, dim] float32."""

RANK = "rank"
"""Name of the fused vector, the one recommendation searches (DOT)."""

DEMOGRAPHICS_DIM = 64
"""Length of the part of the user vector that demographics are hashed into."""


@dataclass(frozen=True, slots=True)
class BlockMap:
    """How one modality's raw vector x becomes its block of the fused vector.

    block(x) = weight * normalise((x - mean) @ projection)   (SCIENCE: centre, soft-whiten,
    L2, weight). Ranking uses the same map to send a user's words into the block.

    Attributes:
        name: the modality: text, image, audio, or a later block.
        mean: [raw_dim] float32.
        projection: [raw_dim, dim] float32, the reducing soft whitening; identity before a fit.
        weight: scale of the block in the fused vector.
        start, stop: where the block lies in the fused vector; stop - start = dim.
        query_means: what is subtracted instead of `mean` from a query-side vector of another
            tower, by the tower's name: {"image_text": mean of CLIP text embeddings, [raw_dim]}.
    """

    name: str
    mean: Vector
    projection: Matrix
    weight: float
    start: int
    stop: int
    query_means: Mapping[str, Vector] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Length of the block."""
        return self.stop - self.start
