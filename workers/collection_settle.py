"""Completing a new collection, then giving it the alias.

A fit or a reindex ends here, and whoever was killed in the middle is continued here: `settle` may
be called at any time, by any worker, any number of times. See docs/decisions/0005.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import Catalog, Due, ItemRecord, ItemState, Pair
from domain.log import logger
from index import ItemIndex
from workers.collection_copy import Copier
from workers.collection_registry import BusyError, CollectionRecord, Registry

if TYPE_CHECKING:
    from encoders import FusionStore
    from workers.runtime import Runtime

Dispatch = Callable[[Sequence[Due]], object]
"""Sends messages for items that are due; what it fails to send stays due in the ledger."""

PAGE = 500
PASSES = 10

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """How far it is.

    Attributes:
        serving: the collection behind the alias.
        goal: the collection that is to replace it, None when there is none (any more).
        waiting: items seen so far that workers have yet to write to the goal; the alias moves
            when there are none.
        copied, requeued: items re-fused from the old collection, and sent to the encoders.
    """

    serving: str | None
    goal: str | None
    waiting: int = 0
    copied: int = 0
    requeued: int = 0


def settle(held: Runtime, dispatch: Dispatch) -> Settled:
    """Bring the goal nearer; move the alias when it holds all that it should.

    Leaves it alone where somebody else is at it, or where it belongs to workers with other
    encoders. Cheap when there is no goal.

    Raises:
        RetryableError: the ledger or the index does not answer; nothing is lost.
    """
    registry = held.collections.registry
    goal = registry.goal()
    if goal is not None and goal.encoders == held.collections.encoders:
        try:
            with registry.exclusive():
                return settle_alone(held, dispatch)
        except BusyError:
            pass
    return Settled(held.index.serving(), goal.collection if goal is not None else None)


def settle_alone(held: Runtime, dispatch: Dispatch) -> Settled:
    """As `settle`, for a caller that holds the registry's lock."""
    registry, index = held.collections.registry, held.index
    goal = registry.goal()
    if goal is None or goal.encoders != held.collections.encoders:
        return Settled(index.serving(), goal.collection if goal is not None else None)
    # From here on workers write to the goal. One that is in the middle of a task finishes in
    # the ledger and then looks at this pointer; we set it and then look at the ledger: one of
    # the two notices what went to the old collection.
    registry.write_to(goal)
    target = held.collections.open(goal)
    held.collections.ensure(target)
    serving = index.serving()
    if serving is not None and serving != goal.collection:
        source = registry.get(serving)
        alike = source is not None and source.encoders == goal.encoders
        copier = None
        if goal.copied and alike:
            copier = Copier(held.catalog, index, held.composer, serving, target)
        progress = _Completion(held.catalog, index, serving, goal, copier, dispatch).run()
        if progress is not None:
            log.info("collection_filling", **_fields(progress))
            return progress
    if serving != goal.collection:
        index.swap(goal.collection)
        log.info("collection_serves", collection=goal.collection, before=serving)
    registry.aim(None)
    _drop_older(registry, index, held.collections.fusions, goal)
    return Settled(serving=goal.collection, goal=None)


class _Completion:
    """What the goal lacks, found by walking the ledger in pages."""

    def __init__(
        self,
        catalog: Catalog,
        index: ItemIndex,
        serving: str,
        goal: CollectionRecord,
        copier: Copier | None,
        dispatch: Dispatch,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._serving = serving
        self._goal = goal
        self._copier = copier
        self._dispatch = dispatch
        self._copied = 0

    def run(self) -> Settled | None:
        """None once a whole pass found nothing missing."""
        for _ in range(PASSES):
            before = self._copied
            waiting = self._pending()
            if waiting:
                return self._progress(waiting=waiting)
            requeued = self._indexed()
            if requeued:
                return self._progress(waiting=requeued, requeued=requeued)
            if self._copied == before:
                return None
        return self._progress()

    def _progress(self, *, waiting: int = 0, requeued: int = 0) -> Settled:
        return Settled(
            self._serving, self._goal.collection, waiting, copied=self._copied, requeued=requeued
        )

    def _pending(self) -> int:
        """Pending items that are served now and would not be after the swap, as far as the
        first page that has some. An item accepted since the goal was set does not hold it up,
        or one that changes all the time would for ever."""
        for page in _pages(self._catalog, ItemState.PENDING):
            old = [record.id for record in page if record.accepted_at < self._goal.made_at]
            held = self._index.fetch(self._goal.collection, old)
            absent = [item_id for item_id in old if item_id not in held]
            if not absent:
                continue
            served = self._index.fetch(self._serving, absent)
            left = {item.id: item.version for item in served.values()}
            if self._copier is not None:
                copied = self._copier.these(list(left.items()))
                self._copied += len(copied)
                left = {
                    item_id: version for item_id, version in left.items() if item_id not in copied
                }
            if left:
                return len(left)
        return 0

    def _indexed(self) -> int:
        """Copy what the ledger holds for indexed and the goal lacks; what cannot be copied goes
        to the encoders, and the answer is how much that is."""
        requeued = 0
        for page in _pages(self._catalog, ItemState.INDEXED):
            held = self._index.fetch(self._goal.collection, [record.id for record in page])
            lacking = {
                record.id: record.version
                for record in page
                if record.id not in held or held[record.id].version < record.version
            }
            copied: set[str] = set()
            if lacking and self._copier is not None:
                copied = self._copier.these(list(lacking.items()))
                self._copied += len(copied)
            left = [item_id for item_id in lacking if item_id not in copied]
            if left:
                due = self._catalog.requeue(ids=left, limit=len(left))
                requeued += len(due)
                self._dispatch(due)
            self._tell([record for record in page if record.id not in left])
        return requeued

    def _tell(self, records: Sequence[ItemRecord]) -> None:
        """Let the ledger say which collection these items are in now."""
        moved = [
            Pair(record.id, record.version)
            for record in records
            if record.fingerprint != self._goal.fingerprint
        ]
        self._catalog.moved(moved, self._goal.fingerprint)


def _pages(catalog: Catalog, state: ItemState) -> Iterator[list[ItemRecord]]:
    after = None
    while page := catalog.items(state=state, limit=PAGE, after=after):
        yield page
        after = page[-1].id


def _drop_older(
    registry: Registry, index: ItemIndex, fusions: FusionStore, serving: CollectionRecord
) -> None:
    """Keep what serves, what it replaced, and what other workers are filling to replace it."""
    present = set(index.collections())
    records = registry.records()
    kept = {serving.collection, serving.replaces}
    kept |= {
        name
        for name in registry.targets()
        if name in records and records[name].made_at > serving.made_at
    }
    for name in records.keys() - kept:
        if name in present:
            index.drop(name)
            log.info("collection_dropped", collection=name)
        registry.remove(name)
    used = {records[name].fusion for name in kept if name in records}
    for version in {records[name].fusion for name in records.keys() - kept} - used:
        fusions.retire(version)


def _fields(progress: Settled) -> dict[str, object]:
    return {
        "serving": progress.serving,
        "goal": progress.goal,
        "waiting": progress.waiting,
        "copied": progress.copied,
        "requeued": progress.requeued,
    }
