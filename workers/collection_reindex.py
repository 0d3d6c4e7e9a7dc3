"""`firstlight reindex`: the index rebuilt from the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from domain.errors import RetryableError
from domain.log import logger
from workers.collection_registry import CollectionRecord
from workers.collection_settle import Dispatch, Settled, settle_alone

if TYPE_CHECKING:
    from workers.runtime import Runtime

PAGE = 1000

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Reindex:
    """What was set going.

    Attributes:
        collection: that is filled from the ledger.
        requeued: items sent to the encoders by this call.
        settled: how far it is; its goal is None once the collection serves.
    """

    collection: str
    requeued: int
    settled: Settled


def reindex(held: Runtime, dispatch: Dispatch) -> Reindex:
    """Send every indexed item through the encoders into a fresh collection.

    What is served goes on being served until the new collection holds all of it; `settle` then
    moves the alias. Only where nothing is left to serve (a lost index) the new one serves at
    once and fills up. The embedding cache makes this cheap where the encoders are the same.
    Called again before that, or after a kill, it continues.

    Raises:
        RejectedError: another fit or reindex is under way.
        RetryableError: the ledger or the index does not answer.
    """
    registry = held.collections.registry
    with registry.exclusive():
        goal = registry.goal()
        if goal is None or goal.encoders != held.collections.encoders:
            goal = _fresh(held)
            registry.put(goal)
            registry.aim(goal)
        registry.write_to(goal)
        held.collections.ensure(held.collections.open(goal))
        if goal.replaces is None or not _holds_items(held, goal.replaces):
            held.index.swap(goal.collection)
        requeued = 0
        while due := held.catalog.requeue(other_than_fingerprint=goal.fingerprint, limit=PAGE):
            dispatch(due)
            requeued += len(due)
        log.info("reindexing", collection=goal.collection, requeued=requeued)
        return Reindex(goal.collection, requeued, settle_alone(held, dispatch))


def _fresh(held: Runtime) -> CollectionRecord:
    """The record to fill: of new encoders the collection their workers write to already, else
    the next generation of what is served, with the same fusion."""
    collections = held.collections
    try:
        fusion = collections.active().fusion
    except RetryableError:
        # Raises again where the index is away; else it is the fusion that cannot be read.
        held.index.ping()
        fusion = collections.passthrough()
    serving = held.index.serving()
    writing = collections.registry.writing(collections.encoders)
    if writing is not None and writing.fusion == fusion.version and writing.collection != serving:
        return replace(writing, replaces=serving, copied=False, made_at=time.time())
    return collections.record(fusion, replaces=serving, copied=False, fresh=True)


def _holds_items(held: Runtime, collection: str) -> bool:
    return collection in held.index.collections() and held.index.count(collection) > 0
