"""Which attribute values carried a result's score, "director: Ridley Scott"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from api.cache import LruCache
from domain.vectors import Matrix
from encoders import Fusion
from encoders.attributes import ATTRIBUTES
from encoders.attributes.block import AttributeBlock, Basis
from index import Hit
from ranking import Explained, Query
from ranking.query import NOT_CONTENT

Key = tuple[str, str, int, float]
Known = LruCache[Key, tuple[Basis | None]]
"""By fusion, item, version and time of rewriting, what `AttributeBlock.bases` gives."""

KNOWN_ITEMS = 2_000
"""Some ten kilobytes each."""

MOST_TOLD = 5
"""Values of one result, those that added most."""


def because(
    fusion: Fusion,
    query: Query,
    hits: Sequence[Hit],
    vectors: Matrix,
    told: Sequence[Explained],
    known: Known | None = None,
) -> list[list[dict[str, Any]]]:
    """The attribute values that raised each score most, as plain AttributeShares.

    Args:
        vectors: [n, dim] float32 of the hits: rank vectors, or their content where the query is
            on content alone.
        told: n scores; the shares of all of an item's values add up to its part "attributes".
        known: what was worked out before of items as they are stored.
    """
    attributes = fusion.attributes
    if attributes is None or query.is_zero:
        return [[] for _ in hits]
    start, stop = attributes.block.start, attributes.block.stop
    asked = np.zeros(stop - start)
    for part, vector in query.by_part.items():
        if part not in NOT_CONTENT:
            asked += vector[start:stop]
    bases = _bases(fusion.version, attributes, hits, vectors[:, start:stop], known)
    return [
        [
            {"name": value.name, "value": value.value, "score": value.share}
            for value in basis.told(asked, one.parts.get(ATTRIBUTES, 0.0))[:MOST_TOLD]
            if value.share > 0
        ]
        if basis is not None
        else []
        for basis, one in zip(bases, told, strict=True)
    ]


def _bases(
    fusion_version: str,
    attributes: AttributeBlock,
    hits: Sequence[Hit],
    vectors: Matrix,
    known: Known | None,
) -> list[Basis | None]:
    if known is None:
        return attributes.bases(vectors, [hit.attributes for hit in hits])
    keys = [(fusion_version, hit.id, hit.version, hit.rewritten_at) for hit in hits]
    held = known.get_many(keys)
    new = [at for at, one in enumerate(held) if one is None]
    if new:
        made = attributes.bases(vectors[new], [hits[at].attributes for at in new])
        for at, basis in zip(new, made, strict=True):
            known.put(keys[at], held_one := (basis,))
            held[at] = held_one
    return [one[0] if one is not None else None for one in held]


def reason_of(told: Explained, hit: Hit) -> str:
    """What carried the score most: a modality the item has, its attributes, or what else there is
    in the score."""
    has = {*hit.modalities, ATTRIBUTES} if hit.attributes else set(hit.modalities)
    return told.reason(has)
