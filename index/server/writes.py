"""What a request asks to be written, and how it is resolved to effects.

An intent may depend on what is stored (a condition, a filter). It is resolved by the
collection's one writer, so nothing changes between looking and writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import qdrant_edge as edge

from index.server.effects import (
    DropPoints,
    Effect,
    PutPoints,
    PutVectors,
    existing_ids,
    plain_id,
)
from index.server.errors import missing
from index.server.points import PointId, PointRecord

SLICE = 256
"""Points of one engine call. The engine holds the interpreter's lock for about 10 us each."""

SCROLL = 1000

UpdateMode: TypeAlias = Literal["upsert", "insert_only", "update_only"]


class Intent(Protocol):
    """One step of a write."""

    @property
    def reads(self) -> frozenset[PointId] | None:
        """Ids of the stored points it depends on or changes; None: any."""

    def resolve(self, shard: edge.EdgeShard) -> list[Effect]:
        """What it does to the points as they are now."""


@dataclass(frozen=True, slots=True)
class Upsert:
    """Insert or replace points. Ids are distinct.

    Attributes:
        condition: a stored point is replaced only where it matches; a new one is inserted.
    """

    points: list[PointRecord]
    condition: edge.Filter | None = None
    mode: UpdateMode = "upsert"

    @property
    def reads(self) -> frozenset[PointId]:
        return frozenset(point.id for point in self.points)

    def resolve(self, shard: edge.EdgeShard) -> list[Effect]:
        if self.condition is None and self.mode == "upsert":
            return [PutPoints(self.points)]
        ids = [point.id for point in self.points]
        present = existing_ids(shard, ids)
        if self.mode == "insert_only":
            kept = [point for point in self.points if point.id not in present]
        else:
            fitting = _matching(shard, ids, self.condition) if self.condition else present
            absent = self.mode == "upsert"
            kept = [p for p in self.points if (p.id in fitting if p.id in present else absent)]
        return [PutPoints(kept)] if kept else []


@dataclass(frozen=True, slots=True)
class UpdateVectors:
    """Replace named vectors of stored points. Ids are distinct."""

    points: list[PointRecord]
    condition: edge.Filter | None = None

    @property
    def reads(self) -> frozenset[PointId]:
        return frozenset(point.id for point in self.points)

    def resolve(self, shard: edge.EdgeShard) -> list[Effect]:
        ids = [point.id for point in self.points]
        _require(shard, ids)
        if self.condition is None:
            return [PutVectors(self.points)]
        fitting = _matching(shard, ids, self.condition)
        kept = [point for point in self.points if point.id in fitting]
        return [PutVectors(kept)] if kept else []


@dataclass(frozen=True, slots=True)
class OnPoints:
    """Something done to points named by their ids or chosen by a filter.

    Attributes:
        make: the effect on a list of ids.
        strict: whether an id that is not stored is an error, as Qdrant has it for payloads.
    """

    make: Callable[[list[PointId]], Effect]
    ids: list[PointId] | None = None
    condition: edge.Filter | None = None
    strict: bool = False

    @property
    def reads(self) -> frozenset[PointId] | None:
        return None if self.ids is None else frozenset(self.ids)

    def resolve(self, shard: edge.EdgeShard) -> list[Effect]:
        if self.ids is None:
            ids = list(matching_ids(shard, self.condition))
        elif self.strict:
            _require(shard, self.ids)
            ids = self.ids
        else:
            present = existing_ids(shard, self.ids)
            ids = [id_ for id_ in self.ids if id_ in present]
        return [self.make(part) for part in _parts(ids, SCROLL)]


@dataclass(frozen=True, slots=True)
class OnCollection:
    """Something done to the collection itself: an index made or dropped."""

    effect: Effect

    @property
    def reads(self) -> None:
        return None

    def resolve(self, shard: edge.EdgeShard) -> list[Effect]:  # noqa: ARG002
        return [self.effect]


def drop_points(ids: list[PointId] | None = None, condition: edge.Filter | None = None) -> OnPoints:
    """Delete points; ids that are not stored are left out."""
    return OnPoints(DropPoints, ids, condition)


def in_slices(points: Iterable[PointRecord]) -> Iterator[list[PointRecord]]:
    """The points in order, cut so that a slice is short and never holds an id twice.

    The engine would let the last of two points with one id win even where a condition forbids
    it; applied one after the other, the condition sees the first.
    """
    part: list[PointRecord] = []
    seen: set[PointId] = set()
    for point in points:
        if len(part) == SLICE or point.id in seen:
            yield part
            part, seen = [], set()
        part.append(point)
        seen.add(point.id)
    if part:
        yield part


def matching_ids(shard: edge.EdgeShard, condition: edge.Filter | None) -> Iterator[PointId]:
    """Ids of every point that matches (None: of every point)."""
    offset: Any = None
    while True:
        records, offset = shard.scroll(
            edge.ScrollRequest(
                offset=offset,
                limit=SCROLL,
                filter=condition,
                with_payload=False,
                with_vector=False,
            )
        )
        for record in records:
            yield plain_id(record.id)
        if offset is None:
            return


def _matching(
    shard: edge.EdgeShard, ids: Sequence[PointId], condition: edge.Filter | None
) -> set[PointId]:
    both: list[Any] = [edge.HasIdCondition(set(ids)), *([condition] if condition else [])]
    records, _ = shard.scroll(
        edge.ScrollRequest(
            limit=len(ids),
            filter=edge.Filter(must=both),
            with_payload=False,
            with_vector=False,
        )
    )
    return {plain_id(record.id) for record in records}


def _require(shard: edge.EdgeShard, ids: Sequence[PointId]) -> None:
    present = existing_ids(shard, ids)
    for id_ in ids:
        if id_ not in present:
            raise missing(f"No point with id {id_} found")


def _parts(ids: list[PointId], size: int) -> Iterator[list[PointId]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
