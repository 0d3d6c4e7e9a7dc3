"""Gated fusion in a training: items before and behind gates, and the move when gates win or lose.

Gates are a part of the fusion, for they change the items' side: a training that changes them
re-fuses every point into another collection, from the raw vectors, and the alias moves with the
hybrid that was learned behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from domain.errors import RetryableError
from domain.modality_gates import ModalityGates
from domain.vectors import RANK, Matrix
from encoders import Fusion
from ranking import Hybrid
from ranking.training import GATED
from workers.collection import Active
from workers.collection_copy import fused_anew, raw_names
from workers.collection_move import move, served_alone
from workers.collection_settle import Dispatch
from workers.learning import Learning, nothing_served

if TYPE_CHECKING:
    from workers.runtime import Runtime

SAME = 1e-4
"""Gates that move no coordinate of any item by so much are the same: points stay where they are."""


def options(held: Runtime, active: Active) -> list[str]:
    """The learned options to try; gates are between blocks that have statistics."""
    names: list[str] = list(held.settings.ranking.learned_options)
    fitted = any(active.fusion.items.values())
    return [name for name in names if fitted or name != GATED]


@contextmanager
def alone_where_points_move(held: Runtime, active: Active, dispatch: Dispatch) -> Iterator[None]:
    """Hold the collections' lock where gates may win, or serve and may lose.

    Raises:
        RejectedError: a fit or reindex is under way, or the encoders have changed.
        RetryableError: the ledger or the index does not answer.
    """
    if GATED not in options(held, active) and active.fusion.gates is None:
        yield
        return
    with held.collections.registry.exclusive():
        served_alone(held, dispatch)
        yield


def items_before(held: Runtime, active: Active) -> tuple[list[str], Matrix]:
    """Ids and content vectors of everything that is served, as they are before gates.

    Raises:
        RejectedError: nothing is served.
        RetryableError: the index does not answer.
    """
    ids: list[str] = []
    parts: list[Matrix] = []
    plain, gated = active.fusion.gated(None), active.fusion.gates is not None
    names = raw_names(plain) if gated else [RANK]
    for batch in held.index.scroll(active.collection, with_vectors=names):
        if gated:
            fused = fused_anew(plain, batch)
            ids += [item.id for item, _ in fused]
            parts += [np.stack([content for _, content in fused])] if fused else []
        else:
            ids += [item.id for item in batch]
            ranks = np.stack([item.vectors[RANK] for item in batch])
            parts.append(active.space.content_of(ranks))
    if not parts:
        raise nothing_served()
    return ids, np.concatenate(parts)


def gated_by(served: Fusion, gates: ModalityGates | None, content: Matrix) -> Fusion:
    """The fusion that serves with these gates, or as it is where they leave the same of content
    before gates, [n, d], but for rounding."""
    found = served.gated(gates)
    if gates is None or served.gates is None:
        return found
    moved = np.abs(behind(found, content) - behind(served, content)).max()
    return served if moved < SAME else found


def behind(fusion: Fusion, content: Matrix) -> Matrix:
    """What the gates of a fusion leave of vectors before them, [n, d]."""
    return content if fusion.gates is None else fusion.gates.apply(fusion.blocks, content)


def serve_behind(
    held: Runtime,
    active: Active,
    fusion: Fusion,
    made: Hybrid,
    learning: Learning,
    dispatch: Dispatch,
) -> None:
    """Every point behind other gates in a collection of its own; then it serves, with `made`.

    Raises:
        RetryableError: items are under way that only an encoder can put into it, and it serves
            once they are there; or somebody was forgotten of whom `made` had learned.
    """
    served = held.collections.registry.get(active.collection)
    assert served is not None

    def publish(_: Active) -> None:
        with learning.publishing():
            learning.hybrids.publish(made, fusion)

    moved = move(held, served, fusion, publish, dispatch, fresh=True)
    if moved.settled.goal is not None:
        raise RetryableError(
            f"{made.version} is trained and serves as soon as collection {moved.collection} holds"
            f" all items ({moved.settled.waiting} or more to go)",
            remedy="the reconciler goes on with it; see `firstlight status`",
        )
    if learning.hybrids.current(fusion, active.space).version != made.version:
        raise RetryableError(
            "somebody whom it had learned from was forgotten while points were moved",
            remedy="train again: `firstlight train --full`",
        )
