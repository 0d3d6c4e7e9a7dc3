"""Re-fusing: points of one collection become points of another, without any encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from catalog import Catalog, ItemState
from domain.errors import PermanentError
from domain.log import logger
from domain.vectors import RANK, Vector
from encoders import Fusion
from encoders.attributes import ATTRIBUTES
from index import ItemIndex, ItemPoint, StoredItem
from workers.collection import Active
from workers.composing import Composer

BATCH = 256

log = logger(__name__)


class Copier:
    """Copies items whose raw vectors are stored into `target`, with rank vectors of its fusion.

    Writes are conditional, so whatever newer version a worker wrote meanwhile stands. Like a
    worker, it looks at the ledger after each write and takes back what was deleted meanwhile: a
    deletion accepted later than that look finds the point in `target` and removes it there.
    """

    def __init__(
        self,
        catalog: Catalog,
        index: ItemIndex,
        composer: Composer,
        source: str,
        target: Active,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._composer = composer
        self._source = source
        self._target = target
        self._raw = raw_names(target.fusion)

    def all(self) -> int:
        """Copy everything `source` holds; the number of items written. Repeatable."""
        copied = 0
        for batch in self._index.scroll(self._source, batch=BATCH, with_vectors=self._raw):
            copied += len(self._write(batch))
        return copied

    def these(self, wanted: Sequence[tuple[str, int]]) -> set[str]:
        """Copy those (item id, version) that `source` holds at that version; which those are."""
        versions = dict(wanted)
        copied: set[str] = set()
        for start in range(0, len(wanted), BATCH):
            ids = [item_id for item_id, _ in wanted[start : start + BATCH]]
            stored = self._index.fetch(self._source, ids, with_vectors=self._raw)
            copied |= self._write(
                [item for item in stored.values() if item.version == versions[item.id]]
            )
        return copied

    def _write(self, items: Sequence[StoredItem]) -> set[str]:
        points = list(self._points(items))
        faults = self._index.faults(self._target.collection, points)
        for point in points:
            if point.id in faults:
                reason = str(faults[point.id])
                log.warning("not_copied", item=point.id, version=point.version, reason=reason)
        points = [point for point in points if point.id not in faults]
        if not points:
            return set()
        self._index.upsert(self._target.collection, points)
        states = self._catalog.states([point.id for point in points])
        gone = [
            (point.id, point.version)
            for point in points
            if point.id not in states or states[point.id][1] is ItemState.DELETED
        ]
        if gone:
            self._index.undo(self._target.collection, gone)
        return {point.id for point in points} - {item_id for item_id, _ in gone}

    def _points(self, items: Sequence[StoredItem]) -> Iterator[ItemPoint]:
        fused = fused_anew(self._target.fusion, items)
        if not fused:
            return
        copied = [item for item, _ in fused]
        composed = self._composer.recompose(
            self._target, copied, np.stack([content for _, content in fused])
        )
        for item, rank, gate in zip(copied, *composed, strict=True):
            yield ItemPoint(
                id=item.id,
                version=item.version,
                vectors={RANK: rank, **item.vectors},
                attributes=item.attributes,
                title=item.title,
                fingerprint=self._target.fingerprint,
                indexed_at=item.indexed_at,
                expires_at=item.expires_at,
                gate=float(gate),
            )


def raw_names(fusion: Fusion) -> list[str]:
    """Of the vectors that a point holds for `fused_anew`."""
    return [block.name for block in fusion.blocks if block.name != ATTRIBUTES]


def fused_anew(fusion: Fusion, items: Sequence[StoredItem]) -> list[tuple[StoredItem, Vector]]:
    """Each item with its content vector; an item the fusion refuses is left out."""
    items = [item for item in items if item.vectors]
    raw = fusion.with_attributes(
        [item.vectors for item in items], [item.attributes for item in items]
    )
    try:
        return list(zip(items, fusion.fuse_many(raw), strict=True))
    except PermanentError:
        pass
    found = []
    for item, vectors in zip(items, raw, strict=True):
        try:
            found.append((item, fusion.fuse(vectors)))
        except PermanentError as error:
            log.warning("not_copied", item=item.id, version=item.version, reason=str(error))
    return found
