"""What serves now, and hits of the index as ranked results with their reasons."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from api.because import because, reason_of
from api.vectors import ItemVectors
from encoders import Fusion
from index import Hit
from ranking import Explained, Hybrid, Query, RankSpace, explain
from ranking.graph import GraphArtifact

NEW = "new"
NOTHING_INDEXED = "nothing is indexed yet; publish items and wait until they are"


@dataclass(frozen=True, slots=True)
class Space:
    """A collection, the fusion that filled it, the space of its rank vectors, the hybrid that
    queries it, and the knowledge graph beside it."""

    collection: str
    fusion: Fusion
    rank: RankSpace
    hybrid: Hybrid
    graph: GraphArtifact | None = None

    def facts(self) -> dict[str, str]:
        """Which artifacts produced an answer."""
        return {
            "collection": self.collection,
            "fusion": self.fusion.version,
            "projection": self.hybrid.version,
        }


def explained(
    space: Space, query: Query, hits: Sequence[Hit], vectors: ItemVectors
) -> list[dict[str, Any]]:
    """Hits of a query on "rank", best first, each score split by modality block and bias.

    A query on content alone is told by content alone.

    The order is that of the scores shown, which are the store's to within float32 rounding;
    equal ones are in order of id. A hit whose item is gone by now is left out.
    """
    held = vectors.of_hits(space.collection, hits)
    kept = [hit for hit in hits if hit.id in held]
    if not kept:
        return []
    matrix = np.stack([held[hit.id].vector for hit in kept])
    if len(query.vector) == space.rank.content:
        matrix = space.rank.content_of(matrix)
    told = explain(query, matrix, space.rank.blocks)
    order = sorted(range(len(kept)), key=lambda at: (-told[at].score, kept[at].id))
    values = because(space.fusion, query, kept, matrix, told)
    return [
        result(
            rank,
            kept[at],
            held[kept[at].id].version,
            told[at],
            reason_of(told[at], kept[at]),
            values=values[at],
        )
        for rank, at in enumerate(order, 1)
    ]


def within(modality: str, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Hits of one modality's own vectors: the cosine is the score and its only part."""
    return [
        result(rank, hit, hit.version, Explained(hit.score, {modality: hit.score}), modality)
        for rank, hit in enumerate(hits, 1)
    ]


def result(
    rank: int,
    hit: Hit,
    version: int,
    told: Explained,
    reason: str,
    moved_by: str | None = None,
    values: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """One RankedItem as plain values."""
    found = {
        "rank": rank,
        "id": hit.id,
        "version": version,
        "title": hit.title,
        "score": told.score,
        "parts": told.parts,
        "reason": reason,
        "modalities": hit.modalities,
        "attributes": hit.attributes,
        "because": values,
    }
    return found if moved_by is None else {**found, "moved_by": moved_by}


def answer_of(
    results: list[dict[str, Any]], notes: list[str], space: Space | None, started: float
) -> dict[str, Any]:
    """A RankedAnswer as plain values; `started` is time.perf_counter() of the request."""
    return {
        "results": results,
        "notes": notes,
        "model": space.facts() if space is not None else {},
        "took_ms": round((time.perf_counter() - started) * 1e3, 3),
    }
