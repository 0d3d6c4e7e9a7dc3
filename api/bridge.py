"""From an example of one modality to another modality of the items."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from api.ranked import Space
from domain.errors import RejectedError
from domain.vectors import BlockMap, Vector
from index import Hit, ItemIndex, Search

NEIGHBOURS = 10
LOOKED_AT = 200
"""Nearest items in the example's own modality, of which the first NEIGHBOURS with both count."""


def across(
    index: ItemIndex, space: Space, modality: str, vector: Vector, within: str, exact: bool | None
) -> tuple[Vector, str]:
    """A raw vector of `within`, [raw_dim], that ranks items as the example would; and a note
    where it is not what the fusion learned.

    Where the fusion relates the two, that is the block it imputes for the example. A block is
    (x - mean) @ P, so ranking items by x . (P b) is ranking them by their block's inner product
    with b. Where it relates nothing, it is the mean of the items that are nearest in the example's
    own modality and have both, off the mean of all.

    Args:
        vector: [raw_dim] of `modality`.

    Raises:
        RejectedError: no item near it has both.
    """
    blocks = {block.name: block for block in space.fusion.blocks}
    block = blocks.get(within)
    if block is not None:
        fused = space.fusion.fuse({modality: vector})
        imputed = fused[block.start : block.stop]
        if np.any(imputed):
            return np.asarray(block.projection @ imputed, dtype=np.float32), ""
    near = _neighbours(index, space, modality, vector, within, exact)
    if not near or block is None:
        raise RejectedError(
            f"nothing relates {modality} to {within} yet: no item like this has both",
            field="in",
            remedy=f"publish items that have both, or search in {modality} or all",
        )
    note = (
        f"no learned relation of {modality} to {within}: the results resemble the {within} of the"
        f" items nearest in {modality} that have both ({len(near)})"
    )
    return _off_mean(near, within, block), note


def _neighbours(
    index: ItemIndex, space: Space, modality: str, vector: Vector, within: str, exact: bool | None
) -> list[Hit]:
    search = Search(
        np.ascontiguousarray(vector, dtype=np.float32),
        LOOKED_AT,
        using=modality,
        exact=exact,
        with_vectors=[within],
        live_at=time.time(),
    )
    hits = index.query_many(space.collection, [search])[0]
    return [hit for hit in hits if within in hit.vectors][:NEIGHBOURS]


def _off_mean(near: Sequence[Hit], within: str, block: BlockMap) -> Vector:
    """The nearer an item the more it counts: by the cosine's lead over the farthest of them."""
    scores = np.array([hit.score for hit in near])
    weights = scores - scores.min() + 1e-3
    vectors = np.stack([hit.vectors[within] for hit in near])
    found = np.average(vectors, axis=0, weights=weights) - block.mean
    return np.asarray(found if np.any(found) else vectors[0], dtype=np.float32)
