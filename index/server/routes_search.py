"""Reading points: queries, scrolls, counts, retrieval."""

from __future__ import annotations

import asyncio
from typing import Any

import qdrant_edge as edge
from starlette.requests import Request
from starlette.routing import Route

from index.server.bodies import Body
from index.server.collection import Collection
from index.server.errors import missing
from index.server.points import read_id
from index.server.rendering import record_json, scored_json
from index.server.searches import (
    Target,
    read_count,
    read_facet,
    read_query,
    read_retrieve,
    read_scroll,
)
from index.server.wire import answered, read_json_body, registry_of

Json = dict[str, Any]

READ_SLICE = 1000
"""Points of one engine call: about 4 ms with vectors, during which nothing else runs."""

QUERY_SLICE = 8
"""Queries of one engine call."""


def _found(request: Request) -> Collection:
    return registry_of(request).find(request.path_params["name"])


def _target(collection: Collection) -> Target:
    return Target(collection.shard, collection.spec, collection.defaults)


async def query(request: Request) -> Json:
    """POST points/query"""
    body = await read_json_body(request)
    collection = _found(request)
    made = read_query(body, _target(collection))
    return {"points": [scored_json(point) for point in collection.shard.query(made)]}


async def query_batch(request: Request) -> list[Json]:
    """POST points/query/batch"""
    body = Body(await read_json_body(request), "query batch")
    searches = body.items("searches")
    body.done()
    results: list[Json] = []
    for start in range(0, len(searches), QUERY_SLICE):
        collection = _found(request)
        target = _target(collection)
        part = [read_query(value, target) for value in searches[start : start + QUERY_SLICE]]
        answers = collection.shard.query_batch(edge.QueryBatchRequest(part))
        results.extend({"points": [scored_json(point) for point in points]} for points in answers)
        await asyncio.sleep(0)
    return results


async def scroll(request: Request) -> Json:
    """POST points/scroll"""
    body = await read_json_body(request)
    page = read_scroll(body, _found(request).spec)
    points: list[Json] = []
    offset: Any = page.offset
    while True:
        left = page.limit - len(points)
        limit = left if page.order is not None else min(left, READ_SLICE)
        records, offset = _found(request).shard.scroll(page.request(offset, limit))
        points.extend(record_json(record) for record in records)
        if offset is None or len(points) >= page.limit:
            break
        await asyncio.sleep(0)
    if page.order is not None:
        offset = None
    return {
        "points": points,
        "next_page_offset": offset if offset is None or isinstance(offset, int) else str(offset),
    }


async def count(request: Request) -> Json:
    """POST points/count"""
    made = read_count(await read_json_body(request))
    return {"count": _found(request).shard.count(made)}


async def retrieve(request: Request) -> list[Json]:
    """POST points"""
    body = await read_json_body(request)
    wanted = read_retrieve(body, _found(request).spec)
    points: list[Json] = []
    for start in range(0, len(wanted.ids), READ_SLICE):
        part: list[Any] = list(wanted.ids[start : start + READ_SLICE])
        records = _found(request).shard.retrieve(part, wanted.with_payload, wanted.with_vector)
        points.extend(record_json(record) for record in records)
        await asyncio.sleep(0)
    return points


async def retrieve_one(request: Request) -> Json:
    """GET points/{id}"""
    text = request.path_params["id"]
    id_ = read_id(int(text) if text.isdecimal() else text)
    records = _found(request).shard.retrieve([id_], True, True)
    if not records:
        raise missing(f"Point with id {id_} does not exists!")
    return record_json(records[0])


async def facet(request: Request) -> Json:
    """POST facet"""
    made = read_facet(await read_json_body(request))
    response = _found(request).shard.facet(made)
    return {"hits": [{"value": hit.value, "count": hit.count} for hit in response.hits]}


def search_routes() -> list[Route]:
    """The routes, the fixed paths before the one with an id in it."""
    one = "/collections/{name}"
    table = [
        ("POST", one + "/points/query", query),
        ("POST", one + "/points/query/batch", query_batch),
        ("POST", one + "/points/scroll", scroll),
        ("POST", one + "/points/count", count),
        ("POST", one + "/points", retrieve),
        ("POST", one + "/facet", facet),
        ("GET", one + "/points/{id}", retrieve_one),
    ]
    return [Route(path, answered(handler), methods=[method]) for method, path, handler in table]
