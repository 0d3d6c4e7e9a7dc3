"""Transfer: an A that another catalogue trained, as what a training of this one shrinks toward.

It is translated (`ranking/transfer.py`) by the items that are served, whose raw vectors and
attributes both fusions can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.errors import RejectedError
from domain.settings import Settings
from domain.vectors import RANK, Matrix, Vector
from encoders import Fusion
from encoders.attributes import ATTRIBUTES
from index import ItemIndex, StoredItem
from ranking import prior, projection
from ranking.training import TrainingData, choose_beginning
from ranking.transfer import translated, translation
from workers.collection import Active
from workers.transfer_source import FIELD, Source


@dataclass(frozen=True, slots=True)
class First:
    """What a training shrinks toward.

    Attributes:
        matrices: A0 by part.
        report: where it comes from, JSON; empty for the fusion's own prior.
    """

    matrices: Mapping[str, Matrix] = field(repr=False)
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def serves_alone(self) -> bool:
        """Whether it is better than nothing learned: it is another catalogue's A."""
        return bool(self.report) and not self.report["own"]


def begin_with(
    settings: Settings, index: ItemIndex, active: Active, source: Source | None
) -> First:
    """What a training of the served collection shrinks toward.

    Raises:
        RejectedError: other encoders made the source's vectors, or too few items are indexed to
            learn from how the two fusions differ.
        RetryableError: the index does not answer.
    """
    if source is None:
        return First(prior(active.fusion).matrices)
    if source.encoders != active.encoders:
        raise RejectedError(
            f"{source.projection.version} was trained on vectors of the encoders {source.encoders},"
            f" {active.encoders} serve",
            field=FIELD,
            remedy="train the other catalogue with the same models, or begin with --prior own",
        )
    shared = _shared(source.fusion, active.fusion)
    own, other, raw = _pairs(settings, index, active, source.fusion, shared)
    alike = shared - {ATTRIBUTES}
    found = translation(active.fusion.blocks, own, source.fusion.blocks, other, shared, alike)
    matrices = translated(source.projection, source.fusion.blocks, active.fusion, found, raw)
    projection(active.fusion, matrices)
    report = {
        "version": source.projection.version,
        "fusion": source.fusion.version,
        "own": source.own,
        "items": found.items,
        "explained": round(found.explained, 4),
        "blocks": sorted(shared),
    }
    return First(matrices, report)


TRANSFERRED, OWN = "transferred", "a0"


def better_of(begun: First, fusion: Fusion, data: TrainingData) -> First:
    """`begun`, or the fusion's own prior where a training is better off with it.

    They are compared where `begun` is another catalogue's A, which has not learned from these
    interactions, and there are enough users (`ranking/training/beginning.py`). Its report then says
    which was chosen and what both are worth.
    """
    if not begun.serves_alone:
        return begun
    priors = {TRANSFERRED: begun.matrices, OWN: prior(fusion).matrices}
    found = choose_beginning(data, priors)
    return First(priors[found.chosen], {**begun.report, **found.report()})


def _shared(theirs: Fusion, ours: Fusion) -> frozenset[str]:
    """Blocks in which both say something: a block of a fit that saw none of it says nothing."""
    fitted = any(theirs.items.values())
    said = {name for name, count in theirs.items.items() if count or not fitted}
    return frozenset(said & {block.name for block in ours.blocks})


def _pairs(
    settings: Settings, index: ItemIndex, active: Active, theirs: Fusion, shared: frozenset[str]
) -> tuple[Matrix, Matrix, dict[str, Matrix]]:
    """Items as they are fused here and there, [n, d_t] and [n, d_s], and their raw vectors.

    Of at most as many items as a fit of the fusion reads. The index hands items out by a hash of
    their id, so the first ones are a fair sample.
    """
    stored = [name for name in shared if name != ATTRIBUTES]
    own: list[Matrix] = []
    other: list[Matrix] = []
    raw: dict[str, list[Vector]] = {name: [] for name in stored}
    count = 0
    for batch in index.scroll(active.collection, with_vectors=[RANK, *stored]):
        kept, vectors = _fusable(batch, theirs, shared)
        if kept:
            own.append(active.space.content_of(np.stack([item.vectors[RANK] for item in kept])))
            other.append(theirs.fuse_many(vectors))
        for name, rows in raw.items():
            rows += [item.vectors[name] for item in kept if name in item.vectors]
        count += len(kept)
        if count >= settings.fusion.sample_items:
            break
    none = np.zeros((0, 0), dtype=np.float32)
    return (
        np.concatenate(own) if own else none,
        np.concatenate(other) if other else none,
        {name: np.stack(rows) for name, rows in raw.items() if rows},
    )


def _fusable(
    items: list[StoredItem], theirs: Fusion, shared: frozenset[str]
) -> tuple[list[StoredItem], list[Mapping[str, Vector]]]:
    """Items that the other fusion takes, and what it takes of them."""
    raw = theirs.with_attributes(
        [{name: item.vectors[name] for name in shared & item.vectors.keys()} for item in items],
        [item.attributes for item in items],
    )
    there = [{name: vector for name, vector in one.items() if name in shared} for one in raw]
    pairs = [(item, one) for item, one in zip(items, there, strict=True) if one]
    return [item for item, _ in pairs], [one for _, one in pairs]
