"""Replaying the journal over an engine that holds an older, or partly newer, state."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import qdrant_edge as edge

from domain.errors import FirstlightError
from domain.log import logger
from index.server.effects import Effect, apply, decode
from index.server.engine import engine_errors
from index.server.journal import Journal, Position

log = logger(__name__)


class Replayed(NamedTuple):
    """How far a replay went."""

    records: int
    end: Position | None


def replay(
    journal: Journal,
    shard: edge.EdgeShard,
    start: Position | None = None,
    *,
    applied: Callable[[Effect], None] | None = None,
) -> Replayed:
    """Apply every effect from `start` on, in order.

    An effect that the engine refuses was refused when it was first written, and its caller was
    told; it is logged and passed over.
    """
    records, end = 0, start
    for record in journal.read(start):
        for effect in decode(record.data):
            try:
                with engine_errors():
                    apply(effect, shard)
            except FirstlightError as error:
                log.error("an effect was not replayed", sequence=record.sequence, error=str(error))
                continue
            if applied is not None:
                applied(effect)
        records, end = records + 1, record.end
    return Replayed(records, end)
