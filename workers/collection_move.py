"""Moving what is served to another fusion of the same encoders: a fit, or gates that won."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.errors import RejectedError
from encoders import Fusion
from workers.collection import Active
from workers.collection_copy import Copier
from workers.collection_registry import CollectionRecord
from workers.collection_settle import Dispatch, Settled, settle_alone

if TYPE_CHECKING:
    from workers.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it.

    Attributes:
        collection: that the points were copied to.
        copied: items re-fused.
        settled: the rest of the way; its goal is None once the collection serves.
    """

    collection: str
    copied: int
    settled: Settled


def served_alone(held: Runtime, dispatch: Dispatch) -> CollectionRecord:
    """What is served and may be moved, for a caller that holds the registry's lock.

    Raises:
        RejectedError: another collection is still being filled, or the encoders have changed
            since the served one was made.
        RetryableError: the ledger or the index does not answer.
    """
    settled = settle_alone(held, dispatch)
    if settled.goal is not None:
        raise RejectedError(
            f"collection {settled.goal} is still being filled ({settled.waiting} items or"
            " more to go)",
            remedy="wait until it serves: `firstlight status`",
        )
    held.collections.active()
    serving = held.index.serving()
    record = held.collections.registry.get(serving) if serving is not None else None
    if record is None or record.encoders != held.collections.encoders:
        raise RejectedError(
            f"collection {serving} was not made with this worker's encoders",
            remedy="run `firstlight reindex` first",
        )
    return record


def move(
    held: Runtime,
    served: CollectionRecord,
    fusion: Fusion,
    publish: Callable[[Active], object],
    dispatch: Dispatch,
    *,
    fresh: bool = False,
) -> Moved:
    """Re-fuse everything from its raw vectors into a collection of this fusion, and let it serve.

    For a caller that holds the registry's lock. Reading and writing go on throughout. Killed at any
    moment, what was served goes on serving, or `settle` finishes the rest.

    Args:
        publish: what is to rank the new collection, before its first point is composed.
        fresh: never into a collection that is there already, as one that served before may be.
    """
    collections = held.collections
    collections.fusions.add(fusion)
    record = collections.record(fusion, replaces=served.collection, copied=True, fresh=fresh)
    target = collections.open(record)
    publish(target)
    collections.registry.put(record)
    collections.ensure(target)
    copier = Copier(held.catalog, held.index, held.composer, served.collection, target)
    copied = copier.all()
    collections.registry.aim(record)
    return Moved(record.collection, copied, settle_alone(held, dispatch))
