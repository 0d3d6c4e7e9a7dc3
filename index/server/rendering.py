"""The engine's answers as Qdrant's JSON."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from index.server.collection import Collection
from index.server.effects import plain_id

Json = dict[str, Any]

_INDEX_TYPES = {
    edge.PayloadSchemaType.Keyword: "keyword",
    edge.PayloadSchemaType.Integer: "integer",
    edge.PayloadSchemaType.Float: "float",
    edge.PayloadSchemaType.Bool: "bool",
    edge.PayloadSchemaType.Datetime: "datetime",
    edge.PayloadSchemaType.Uuid: "uuid",
    edge.PayloadSchemaType.Geo: "geo",
    edge.PayloadSchemaType.Text: "text",
}


def record_json(record: edge.Record) -> Json:
    """A point of a scroll or a retrieval."""
    found: Json = {"id": plain_id(record.id)}
    if record.payload is not None:
        found["payload"] = record.payload
    if record.vector is not None:
        found["vector"] = record.vector
    if record.order_value is not None:
        found["order_value"] = record.order_value
    return found


def scored_json(point: edge.ScoredPoint) -> Json:
    """A point of a query."""
    found: Json = {"id": plain_id(point.id), "version": point.version, "score": point.score}
    if point.payload is not None:
        found["payload"] = point.payload
    if point.vector is not None:
        found["vector"] = point.vector
    if point.order_value is not None:
        found["order_value"] = point.order_value
    return found


def info_json(collection: Collection) -> Json:
    """Qdrant's collection info."""
    info = collection.shard.info()
    schema: Json = {}
    for field, index in info.payload_schema.items():
        schema[field] = {"data_type": _INDEX_TYPES[index.data_type], "points": index.points}
        given = collection.indexes.get(field)
        if isinstance(given, dict):
            schema[field]["params"] = given
    return {
        "status": collection.state,
        "optimizer_status": {"error": collection.build_error} if collection.build_error else "ok",
        "indexed_vectors_count": collection.coverage.indexed,
        "points_count": info.points_count,
        "segments_count": info.segments_count,
        "config": collection.spec.to_info(collection.defaults),
        "payload_schema": schema,
    }
