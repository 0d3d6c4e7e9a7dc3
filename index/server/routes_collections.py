"""Collections, aliases and payload indexes."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from index.server.bodies import Body
from index.server.effects import DropIndex, Effect, PutIndex
from index.server.payload_indexes import read_schema
from index.server.rendering import info_json
from index.server.spec import parse_spec
from index.server.wire import answered, done, read_json_body, registry_of
from index.server.writes import OnCollection

Json = dict[str, Any]


async def list_collections(request: Request) -> Json:
    """GET /collections"""
    return {"collections": [{"name": name} for name in sorted(registry_of(request).collections)]}


async def collection_info(request: Request) -> Json:
    """GET /collections/{name}"""
    return info_json(registry_of(request).find(request.path_params["name"]))


async def collection_exists(request: Request) -> Json:
    """GET /collections/{name}/exists"""
    registry, name = registry_of(request), request.path_params["name"]
    return {"exists": name in registry.collections or name in registry.aliases}


async def create_collection(request: Request) -> bool:
    """PUT /collections/{name}"""
    spec = parse_spec(Body(await read_json_body(request), "create collection"))
    await asyncio.to_thread(registry_of(request).create, request.path_params["name"], spec)
    return True


async def update_collection(request: Request) -> bool:
    """PATCH /collections/{name}"""
    collection = registry_of(request).find(request.path_params["name"])
    body = Body(await read_json_body(request), "update collection")
    collection.reconfigure(collection.spec.updated(body))
    return True


async def delete_collection(request: Request) -> bool:
    """DELETE /collections/{name}"""
    registry = registry_of(request)
    taken = await asyncio.to_thread(registry.take_out, request.path_params["name"])
    if taken is None:
        return False
    await asyncio.to_thread(taken.detach)
    taken.shard.close()
    await asyncio.to_thread(taken.remove)
    return True


async def change_aliases(request: Request) -> bool:
    """POST /collections/aliases"""
    body = Body(await read_json_body(request), "aliases")
    actions = body.items("actions")
    body.done()
    await asyncio.to_thread(registry_of(request).change_aliases, actions)
    return True


async def list_aliases(request: Request) -> Json:
    """GET /aliases and GET /collections/{name}/aliases"""
    registry = registry_of(request)
    name = request.path_params.get("name")
    only = None if name is None else registry.find(name).name
    return {
        "aliases": [
            {"alias_name": alias, "collection_name": target}
            for alias, target in sorted(registry.aliases.items())
            if only is None or target == only
        ]
    }


async def create_index(request: Request) -> Json:
    """PUT /collections/{name}/index"""
    body = Body(await read_json_body(request), "create index")
    field = body.text("field_name")
    schema = read_schema(body.need("field_schema"))
    body.done()
    return await _on_collection(request, PutIndex(field, schema))


async def delete_index(request: Request) -> Json:
    """DELETE /collections/{name}/index/{field}"""
    return await _on_collection(request, DropIndex(request.path_params["field"]))


async def _on_collection(request: Request, effect: Effect) -> Json:
    collection = registry_of(request).find(request.path_params["name"])
    sequence = await done(collection.write([OnCollection(effect)]))
    return {"operation_id": sequence, "status": "completed"}


def collection_routes() -> list[Route]:
    """The routes, the fixed paths before those with a name in them."""
    one = "/collections/{name}"
    table = [
        ("GET", "/collections", list_collections),
        ("POST", "/collections/aliases", change_aliases),
        ("GET", "/aliases", list_aliases),
        ("GET", one, collection_info),
        ("PUT", one, create_collection),
        ("PATCH", one, update_collection),
        ("DELETE", one, delete_collection),
        ("GET", one + "/exists", collection_exists),
        ("GET", one + "/aliases", list_aliases),
        ("PUT", one + "/index", create_index),
        ("DELETE", one + "/index/{field:path}", delete_index),
    ]
    return [Route(path, answered(handler), methods=[method]) for method, path, handler in table]
