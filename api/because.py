"""Which attribute values carried a result's score, "director: Ridley Scott"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from domain.vectors import Matrix
from encoders import Fusion
from encoders.attributes import ATTRIBUTES
from index import Hit
from ranking import Explained, Query
from ranking.query import NOT_CONTENT

MOST_TOLD = 5
"""Values of one result, those that added most."""


def because(
    fusion: Fusion,
    query: Query,
    hits: Sequence[Hit],
    vectors: Matrix,
    told: Sequence[Explained],
) -> list[list[dict[str, Any]]]:
    """The attribute values that raised each score most, as plain AttributeShares.

    Args:
        vectors: [n, dim] float32 of the hits: rank vectors, or their content where the query is
            on content alone.
        told: n scores; the shares of all of an item's values add up to its part "attributes".
    """
    attributes = fusion.attributes
    if attributes is None or query.is_zero:
        return [[] for _ in hits]
    start, stop = attributes.block.start, attributes.block.stop
    asked = np.zeros(stop - start)
    for part, vector in query.by_part.items():
        if part not in NOT_CONTENT:
            asked += vector[start:stop]
    found = attributes.told(
        asked,
        vectors[:, start:stop],
        [hit.attributes for hit in hits],
        [one.parts.get(ATTRIBUTES, 0.0) for one in told],
    )
    return [
        [
            {"name": one.name, "value": one.value, "score": one.share}
            for one in values[:MOST_TOLD]
            if one.share > 0
        ]
        for values in found
    ]


def reason_of(told: Explained, hit: Hit) -> str:
    """What carried the score most: a modality the item has, its attributes, or what else there is
    in the score."""
    has = {*hit.modalities, ATTRIBUTES} if hit.attributes else set(hit.modalities)
    return told.reason(has)
