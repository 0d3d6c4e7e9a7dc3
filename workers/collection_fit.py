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
from workers.collection import Active
from workers.collection_move import move, served_alone
from workers.collection_registry import CollectionRecord
from workers.collection_settle import Dispatch, Settled

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
        served = served_alone(held, dispatch)
        if only_first and not served.fusion.startswith("passthrough"):
            return None
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
        if fusion.version == collections.open(served).fusion.gated(None).version:
            return Fit(served.fusion, served.collection, len(samples), 0, None)
        content = fusion.fuse_many(fusion.with_attributes(samples, attributes))
        moved = move(
            held, served, fusion, lambda after: _carry(held, served, after, content), dispatch
        )
        log.info("fusion_fitted", fusion=fusion.version, items=len(samples), copied=moved.copied)
        return Fit(fusion.version, moved.collection, len(samples), moved.copied, moved.settled)


def _carry(held: Runtime, served: CollectionRecord, after: Active, content: Matrix) -> None:
    """What was learned beside A (gate, factors, graph term) speaks of no fusion and goes on
    serving; A, which does, is the prior until the next training."""
    old, store = held.composer.hybrid(held.collections.open(served)), held.composer.hybrids
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
