"""Writing points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from index.server.bodies import FULL_QDRANT, Body
from index.server.effects import (
    ClearPayload,
    DropPayload,
    DropPoints,
    DropVectors,
    OverwritePayload,
    SetPayload,
)
from index.server.errors import unsupported, wrong
from index.server.filters import read_filter
from index.server.points import read_ids, read_payload, read_point_vectors, read_points
from index.server.spec import CollectionSpec
from index.server.wire import answered, done, read_json_body, registry_of
from index.server.writes import Intent, OnPoints, UpdateMode, UpdateVectors, Upsert, in_slices

Json = dict[str, Any]
Reader = Callable[[Body, CollectionSpec], list[Intent]]

_MODES: dict[str, UpdateMode] = {
    "upsert": "upsert",
    "insert_only": "insert_only",
    "update_only": "update_only",
}


def upsert(body: Body, spec: CollectionSpec) -> list[Intent]:
    """Insert or replace points, on a condition where `update_filter` is given."""
    condition = read_filter(body.take("update_filter"))
    mode = body.choice("update_mode", _MODES, "upsert")
    points = list(read_points(body, spec.dims))
    body.done()
    return [Upsert(part, condition, mode) for part in in_slices(points)]


def update_vectors(body: Body, spec: CollectionSpec) -> list[Intent]:
    """Replace named vectors of stored points."""
    condition = read_filter(body.take("update_filter"))
    points = list(read_point_vectors(body, spec.dims))
    body.done()
    return [UpdateVectors(part, condition) for part in in_slices(points)]


def delete(body: Body, spec: CollectionSpec) -> list[Intent]:  # noqa: ARG001
    """Delete points by id or by filter."""
    return [_on_points(body, DropPoints, strict=False)]


def delete_vectors(body: Body, spec: CollectionSpec) -> list[Intent]:
    """Delete named vectors of points."""
    names = body.items("vector")
    for name in names:
        if name not in spec.vectors:
            raise wrong(f"Not existing vector name error: {name}")
    return [_on_points(body, lambda ids: DropVectors(ids, names))]


def set_payload(body: Body, spec: CollectionSpec) -> list[Intent]:  # noqa: ARG001
    """Set payload keys of points."""
    payload, key = read_payload(body.need("payload"), "set payload"), body.take("key")
    return [_on_points(body, lambda ids: SetPayload(ids, payload, key))]


def overwrite_payload(body: Body, spec: CollectionSpec) -> list[Intent]:  # noqa: ARG001
    """Replace the payload of points."""
    payload, key = read_payload(body.need("payload"), "overwrite payload"), body.take("key")
    return [_on_points(body, lambda ids: OverwritePayload(ids, payload, key))]


def delete_payload(body: Body, spec: CollectionSpec) -> list[Intent]:  # noqa: ARG001
    """Delete payload keys of points."""
    keys = body.items("keys")
    return [_on_points(body, lambda ids: DropPayload(ids, keys))]


def clear_payload(body: Body, spec: CollectionSpec) -> list[Intent]:  # noqa: ARG001
    """Empty the payload of points."""
    return [_on_points(body, ClearPayload)]


def _on_points(body: Body, make: Any, *, strict: bool = True) -> OnPoints:
    """By ids or by filter: exactly one of them, and nothing else in the body."""
    body.refuse("shard_key", FULL_QDRANT)
    by_filter, by_ids = "filter" in body, "points" in body
    if by_filter == by_ids:
        raise wrong(f"{body.where}: exactly one of `points` and `filter` is needed")
    if by_ids:
        intent = OnPoints(make, read_ids(body.items("points")), strict=strict)
    else:
        intent = OnPoints(make, condition=read_filter(body.take("filter")))
    body.done()
    return intent


_BATCH: dict[str, Reader] = {
    "upsert": upsert,
    "delete": delete,
    "set_payload": set_payload,
    "overwrite_payload": overwrite_payload,
    "delete_payload": delete_payload,
    "clear_payload": clear_payload,
    "update_vectors": update_vectors,
    "delete_vectors": delete_vectors,
}


async def batch(request: Request) -> list[Json]:
    """POST points/batch: several writes in order; all are checked before the first is done."""
    collection = registry_of(request).find(request.path_params["name"])
    body = Body(await read_json_body(request), "batch")
    steps: list[list[Intent]] = []
    for operation in body.items("operations"):
        if not isinstance(operation, dict) or len(operation) != 1:
            raise wrong("batch: an operation is an object with one key")
        ((kind, inner),) = operation.items()
        if kind not in _BATCH:
            raise unsupported(f"batch operation `{kind}`", f"use one of {', '.join(_BATCH)}")
        steps.append(_BATCH[kind](Body(inner, kind), collection.spec))
    body.done()
    return [_completed(await done(collection.write(intents))) for intents in steps]


def _write(where: str, read: Reader) -> Any:
    async def handler(request: Request) -> Json:
        collection = registry_of(request).find(request.path_params["name"])
        intents = read(Body(await read_json_body(request), where), collection.spec)
        return _completed(await done(collection.write(intents)))

    return answered(handler)


def _completed(sequence: int) -> Json:
    return {"operation_id": sequence, "status": "completed"}


def point_routes() -> list[Route]:
    """The routes."""
    points = "/collections/{name}/points"
    table = [
        ("PUT", points, "upsert", upsert),
        ("POST", points + "/delete", "delete", delete),
        ("PUT", points + "/vectors", "update vectors", update_vectors),
        ("POST", points + "/vectors/delete", "delete vectors", delete_vectors),
        ("POST", points + "/payload", "set payload", set_payload),
        ("PUT", points + "/payload", "overwrite payload", overwrite_payload),
        ("POST", points + "/payload/delete", "delete payload", delete_payload),
        ("POST", points + "/payload/clear", "clear payload", clear_payload),
    ]
    routes = [
        Route(path, _write(where, read), methods=[method]) for method, path, where, read in table
    ]
    return [Route(points + "/batch", answered(batch), methods=["POST"]), *routes]
