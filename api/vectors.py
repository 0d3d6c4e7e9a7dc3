"""Rank vectors of items, held in memory: they explain scores and make up histories."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.cache import LruCache
from domain.vectors import RANK, Vector
from index import Hit, ItemIndex

HISTORY_FRESH_S = 60.0
"""How old an item's vector may be in somebody's history; in an explanation it is exact."""


@dataclass(frozen=True, slots=True)
class Held:
    """One item's rank vector: [dim] float32, of which version, and when that was rewritten;
    title and attributes are what a knowledge graph may know it by."""

    version: int
    rewritten_at: float
    vector: Vector
    title: str
    attributes: Mapping[str, Any]
    read_at: float


class ItemVectors:
    """Reads through to the index. Keyed by collection, so that two fusions never mix."""

    def __init__(self, index: ItemIndex, size: int) -> None:
        self._index = index
        self._cache: LruCache[tuple[str, str], Held] = LruCache(size)

    def of_hits(self, collection: str, hits: Sequence[Hit]) -> dict[str, Held]:
        """The vectors of the very versions that were hit; what is gone by now is left out.

        An item that was written again since is answered at the version that is stored now.
        """
        found, missing = {}, []
        kept = self._cache.get_many((collection, hit.id) for hit in hits)
        for hit, held in zip(hits, kept, strict=True):
            stamp = (hit.version, hit.rewritten_at)
            if held is not None and (held.version, held.rewritten_at) == stamp:
                found[hit.id] = held
            else:
                missing.append(hit.id)
        return found | self._read(collection, missing)

    def of_items(self, collection: str, ids: Sequence[str]) -> dict[str, Held]:
        """The vectors of these items, at most a minute old; what is not indexed is left out."""
        oldest = time.monotonic() - HISTORY_FRESH_S
        found, missing = {}, []
        for item_id in ids:
            held = self._cache.get((collection, item_id))
            if held is not None and held.read_at >= oldest:
                found[item_id] = held
            else:
                missing.append(item_id)
        return found | self._read(collection, missing)

    def _read(self, collection: str, ids: Sequence[str]) -> dict[str, Held]:
        if not ids:
            return {}
        now = time.monotonic()
        found = {}
        for item_id, item in self._index.fetch(collection, ids, with_vectors=[RANK]).items():
            held = Held(
                item.version,
                item.rewritten_at,
                item.vectors[RANK],
                item.title,
                item.attributes,
                now,
            )
            self._cache.put((collection, item_id), held)
            found[item_id] = held
        return found
