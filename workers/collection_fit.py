"""`firstlight fit-fusion`: statistics from what is served, and a collection that uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from domain.errors import FirstlightError, RejectedError
from domain.log import logger
from domain.tuning import on_all_cores
from domain.vectors import Matrix, Vector
from encoders import Fusion
from ranking import Moments, named, prior
from workers.collection_copy import Copier
from workers.collection_registry import CollectionRecord
from workers.collection_settle import Dispatch, Settled, settle_alone

if TYPE_CHECKING:
    from workers.runtime import Runtime

QUERY_TEXTS = 256
"""Titles that stand for what people will ask in words."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Fit:
    """What came of it.

    Attributes:
        fusion: version that was fitted, or that was there already and is unchanged.
        collection: that uses it.
        items: whose vectors the statistics come from.
        copied: items re-fused.
        settled: the rest of the way; its goal is None once the collection serves. None where
            nothing had to move.
    """

    fusion: str
    collection: str
    items: int
    copied: int
    settled: Settled | None


@on_all_cores()
def fit_fusion(held: Runtime, dispatch: Dispatch, *, only_first: bool = False) -> Fit | None:
    """Fit the fusion from the raw vectors of the served collection and move everything to it.

    No encoder runs but the text tower of the pictures, on a few titles. Reading and writing go on
    throughout. Killed at any moment, it may be called again; what was half copied is dropped.

    Args:
        only_first: do nothing (None) where a fit is in use already.

    Raises:
        RejectedError: too few items, another fit or reindex is under way, or the encoders have
            changed since the served collection was made.
        RetryableError: the ledger or the index does not answer.
    """
    collections = held.collections
    with collections.registry.exclusive():
        settled = settle_alone(held, dispatch)
        if settled.goal is not None:
            raise RejectedError(
                f"collection {settled.goal} is still being filled ({settled.waiting} items or"
                " more to go)",
                remedy="wait until it serves: `firstlight status`",
            )
        active = collections.active()
        if only_first and not active.fusion.version.startswith("passthrough"):
            return None
        served = _served(held)
        samples, attributes, titles = _samples(held, served.collection)
        least = held.settings.fusion.min_items
        if len(samples) < least:
            raise RejectedError(
                f"{len(samples)} items are indexed, statistics need {least}",
                remedy="publish more, or lower FIRSTLIGHT_FUSION_MIN_ITEMS",
            )
        fusion = Fusion.fit(
            samples,
            held.encoders.dims,
            block_dim=held.settings.fusion.block_dim,
            weights=collections.weights,
            query_samples=_query_samples(held, titles),
            attributes=attributes,
        )
        if fusion.version == served.fusion:
            return Fit(fusion.version, served.collection, len(samples), 0, None)
        collections.fusions.add(fusion)
        record = collections.record(fusion, replaces=served.collection, copied=True)
        raw = fusion.with_attributes(samples, attributes)
        _carry(held, served, record, fusion.fuse_many(raw))
        copied = _fill(held, served, record)
        collections.registry.aim(record)
        log.info("fusion_fitted", fusion=fusion.version, items=len(samples), copied=copied)
        return Fit(
            fusion.version, record.collection, len(samples), copied, settle_alone(held, dispatch)
        )


def _carry(
    held: Runtime, served: CollectionRecord, record: CollectionRecord, content: Matrix
) -> None:
    """What was learned beside A (gate, factors, graph term) speaks of no fusion and goes on
    serving; A, which does, is the prior until the next training."""
    before, after = held.collections.open(served), held.collections.open(record)
    old, store = held.composer.hybrid(before), held.composer.hybrids
    same = (after.space.factors, after.space.graph) == (old.space.factors, old.space.graph)
    if old.moments is None or not same or store.is_published(after.fusion):
        return
    facts = {name: old.facts[name] for name in ("source", "cursor") if name in old.facts}
    carried = replace(
        old,
        projection=prior(after.fusion),
        space=after.space,
        moments=Moments.of(content),
        facts={**facts, "carried_from": old.version},
    )
    store.publish(named(carried), after.fusion)


def _served(held: Runtime) -> CollectionRecord:
    serving = held.index.serving()
    record = held.collections.registry.get(serving) if serving is not None else None
    if record is None or record.encoders != held.collections.encoders:
        raise RejectedError(
            f"collection {serving} was not made with this worker's encoders",
            remedy="run `firstlight reindex` first",
        )
    return record


def _samples(
    held: Runtime, collection: str
) -> tuple[list[dict[str, Vector]], list[dict[str, Any]], list[str]]:
    """Raw vectors and attributes of at most `sample_items` items, and some titles. The index
    hands items out by a hash of their id, so the first ones are a fair sample."""
    samples: list[dict[str, Vector]] = []
    attributes: list[dict[str, Any]] = []
    titles: list[str] = []
    most = held.settings.fusion.sample_items
    for batch in held.index.scroll(collection, with_vectors=list(held.encoders.dims)):
        for item in batch:
            if item.vectors:
                samples.append(item.vectors)
                attributes.append(item.attributes)
            if item.title.strip() and len(titles) < QUERY_TEXTS:
                titles.append(item.title)
        if len(samples) >= most:
            break
    return samples[:most], attributes[:most], titles


def _query_samples(held: Runtime, titles: Sequence[str]) -> dict[str, Matrix]:
    if not titles:
        return {}
    try:
        encoded = held.encoders.image_text.encode(titles)
    except FirstlightError as error:
        log.warning("no_query_statistics", reason=str(error))
        return {}
    vectors = [one for one in encoded if not isinstance(one, FirstlightError)]
    return {"image_text": np.stack(vectors)} if vectors else {}


def _fill(held: Runtime, served: CollectionRecord, record: CollectionRecord) -> int:
    """Copy all that is served into the new collection, while workers still write to the old."""
    target = held.collections.open(record)
    held.collections.registry.put(record)
    held.collections.ensure(target)
    return Copier(held.catalog, held.index, held.composer, served.collection, target).all()
