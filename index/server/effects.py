"""What a write did, in absolute terms: which points, which values.

A request may be conditional; its effect is not. Effects are what the journal keeps, because
replaying them in order over any state between the last flush and the crash ends in the same
state: each sets or removes named things, and none reads what was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson
import qdrant_edge as edge

from index.server.payload_indexes import edge_schema
from index.server.points import PointId, PointRecord

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PutPoints:
    """The whole of each point is replaced. Ids are distinct."""

    points: list[PointRecord]


@dataclass(frozen=True, slots=True)
class PutVectors:
    """The named vectors of existing points are replaced; others stay."""

    points: list[PointRecord]


@dataclass(frozen=True, slots=True)
class DropPoints:
    """The points are gone."""

    ids: list[PointId]


@dataclass(frozen=True, slots=True)
class DropVectors:
    """The named vectors of existing points are gone."""

    ids: list[PointId]
    names: list[str]


@dataclass(frozen=True, slots=True)
class SetPayload:
    """Keys of existing points' payloads are set, at the root or below `key`."""

    ids: list[PointId]
    payload: Json
    key: str | None


@dataclass(frozen=True, slots=True)
class OverwritePayload:
    """The whole payload of existing points (or what is below `key`) is replaced."""

    ids: list[PointId]
    payload: Json
    key: str | None


@dataclass(frozen=True, slots=True)
class DropPayload:
    """Keys of existing points' payloads are gone."""

    ids: list[PointId]
    keys: list[str]


@dataclass(frozen=True, slots=True)
class ClearPayload:
    """The payloads of existing points are empty."""

    ids: list[PointId]


@dataclass(frozen=True, slots=True)
class PutIndex:
    """A payload field is indexed; `schema` is Qdrant's JSON, a type's name or an object."""

    field: str
    schema: Any


@dataclass(frozen=True, slots=True)
class DropIndex:
    """A payload field is not indexed."""

    field: str


Effect: TypeAlias = (
    PutPoints
    | PutVectors
    | DropPoints
    | DropVectors
    | SetPayload
    | OverwritePayload
    | DropPayload
    | ClearPayload
    | PutIndex
    | DropIndex
)

_KINDS: dict[str, type[Any]] = {
    "put": PutPoints,
    "put_vectors": PutVectors,
    "drop": DropPoints,
    "drop_vectors": DropVectors,
    "set_payload": SetPayload,
    "overwrite_payload": OverwritePayload,
    "drop_payload": DropPayload,
    "clear_payload": ClearPayload,
    "put_index": PutIndex,
    "drop_index": DropIndex,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_NEED_POINTS = (PutVectors, DropVectors, SetPayload, OverwritePayload, DropPayload, ClearPayload)
_LENGTH = 4


def encode(effects: Sequence[Effect]) -> bytes:
    """One journal record: a JSON head, then the vectors as raw little-endian float32."""
    blobs: list[bytes] = []
    heads = [_head(effect, blobs) for effect in effects]
    head = orjson.dumps(heads, option=orjson.OPT_NON_STR_KEYS)
    return b"".join([len(head).to_bytes(_LENGTH, "little"), head, *blobs])


def _head(effect: Effect, blobs: list[bytes]) -> Json:
    name = _NAMES[type(effect)]
    if isinstance(effect, PutPoints | PutVectors):
        rows = []
        for point in effect.points:
            sizes = {key: vector.size for key, vector in point.vectors.items()}
            blobs.extend(v.astype("<f4", copy=False).tobytes() for v in point.vectors.values())
            rows.append([point.id, sizes, point.payload])
        return {"do": name, "points": rows}
    return {"do": name, **{slot: getattr(effect, slot) for slot in effect.__slots__}}


def decode(record: bytes) -> list[Effect]:
    """The effects of one journal record."""
    length = int.from_bytes(record[:_LENGTH], "little")
    at = _LENGTH + length
    effects: list[Effect] = []
    for head in orjson.loads(record[_LENGTH:at]):
        kind = _KINDS[head.pop("do")]
        if kind in (PutPoints, PutVectors):
            points = []
            for id_, sizes, payload in head["points"]:
                vectors = {}
                for name, size in sizes.items():
                    vectors[name] = np.frombuffer(record, "<f4", size, at).astype(np.float32)
                    at += size * 4
                points.append(PointRecord(id_, vectors, payload))
            effects.append(kind(points))
        else:
            effects.append(kind(**head))
    return effects


def touched(effect: Effect) -> set[PointId] | None:
    """Ids of the points the effect changes; None for an index, which changes none."""
    match effect:
        case PutPoints(points) | PutVectors(points):
            return {point.id for point in points}
        case PutIndex() | DropIndex():
            return None
        case _:
            return set(effect.ids)


def apply(effect: Effect, shard: edge.EdgeShard) -> None:
    """Carry the effect out.

    Points that are no longer there (a replay over a newer state) are left out, since the engine
    would refuse the whole operation for one of them.
    """
    if isinstance(effect, _NEED_POINTS):
        narrowed = _existing(effect, shard)
        if narrowed is None:
            return
        effect = narrowed
    shard.update(operation(effect))


def _existing(effect: Any, shard: edge.EdgeShard) -> Effect | None:
    if isinstance(effect, PutVectors):
        present = existing_ids(shard, [point.id for point in effect.points])
        kept = [point for point in effect.points if point.id in present]
        return PutVectors(kept) if kept else None
    present = existing_ids(shard, effect.ids)
    ids = [id_ for id_ in effect.ids if id_ in present]
    values = {slot: getattr(effect, slot) for slot in effect.__slots__}
    return type(effect)(**{**values, "ids": ids}) if ids else None


def existing_ids(shard: edge.EdgeShard, ids: Sequence[PointId]) -> set[PointId]:
    """Those of the ids that are stored."""
    records = shard.retrieve(list(ids), with_payload=False, with_vector=False)
    return {plain_id(record.id) for record in records}


def plain_id(value: Any) -> PointId:
    """The engine's id as an integer or a UUID string."""
    return value if isinstance(value, int) else str(value)


def operation(effect: Effect) -> edge.UpdateOperation:
    """The engine's operation, for points that are there.

    Raises:
        Exception: the engine cannot take a value (a payload's integer beyond 64 bits, say).
    """
    update = edge.UpdateOperation
    match effect:
        case PutPoints(points):
            return update.upsert_points([_engine_point(point) for point in points])
        case PutVectors(points):
            return update.update_vectors(
                [edge.PointVectors(point.id, _engine_vectors(point)) for point in points]
            )
        case DropPoints(ids):
            return update.delete_points(list(ids))
        case DropVectors(ids, names):
            return update.delete_vectors(list(ids), names)
        case SetPayload(ids, payload, key):
            return update.set_payload(list(ids), payload, key)
        case OverwritePayload(ids, payload, key):
            return update.overwrite_payload(list(ids), payload, key)
        case DropPayload(ids, keys):
            return update.delete_payload(list(ids), keys)
        case ClearPayload(ids):
            return update.clear_payload(list(ids))
        case PutIndex(field, schema):
            return update.create_field_index(field, edge_schema(schema))
        case DropIndex(field):
            return update.delete_field_index(field)


def _engine_point(point: PointRecord) -> edge.Point:
    return edge.Point(point.id, _engine_vectors(point), point.payload)


def _engine_vectors(point: PointRecord) -> Any:
    """Lists, because the engine's binding reads an array element by element, at twice the time."""
    if point.vectors.keys() == {""}:
        return point.vectors[""].tolist()
    return {name: vector.tolist() for name, vector in point.vectors.items()}
