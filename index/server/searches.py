"""Qdrant's query, scroll, count and facet JSON as the engine's requests."""

from __future__ import annotations

from typing import Any, NamedTuple

import qdrant_edge as edge

from index.server.bodies import FULL_QDRANT, Body
from index.server.errors import missing, wrong
from index.server.filters import read_filter
from index.server.points import PointId, read_id, read_ids, read_vector
from index.server.spec import CollectionSpec, Defaults

MAX_LIMIT = 100_000
"""Points of one answer; more would hold up every other request. Scroll pages of any number."""

_QUERIES_NOT_HERE = (
    "recommend",
    "discover",
    "context",
    "formula",
    "fusion",
    "rrf",
    "relevance_feedback",
)
_DIRECTIONS = {"asc": edge.Direction.Asc, "desc": edge.Direction.Desc}


class Target(NamedTuple):
    """What a query is run against."""

    shard: edge.EdgeShard
    spec: CollectionSpec
    defaults: Defaults


def read_query(value: Any, target: Target) -> edge.QueryRequest:
    """One query, ready for the engine."""
    body = Body(value, "query")
    for name in ("prefetch", "lookup_from", "shard_key"):
        body.refuse(name)
    condition = read_filter(body.take("filter"))
    using = body.text("using")
    query = body.take("query")
    scoring: Any = None
    if query is not None:
        scoring, excluded = _scoring(query, using, target)
        if excluded is not None:
            without = edge.HasIdCondition({excluded})
            condition = edge.Filter(must=[condition] if condition else None, must_not=[without])
    request = edge.QueryRequest(
        limit=_limit(body),
        offset=body.whole("offset", 0, most=MAX_LIMIT),
        query=scoring,
        filter=condition,
        score_threshold=body.number("score_threshold"),
        params=_params(body.take("params"), target.defaults),
        with_vector=read_with_vector(body, target.spec),
        with_payload=read_with_payload(body, default=False),
    )
    body.done()
    return request


def _limit(body: Body) -> int:
    return int(body.whole("limit", 10, least=1, most=MAX_LIMIT))


def _scoring(query: Any, using: str, target: Target) -> tuple[Any, PointId | None]:
    """The engine's scoring query, and the id to leave out where an example is named by id."""
    if isinstance(query, list | int | str):
        vector, excluded = _example(query, using, target)
        return edge.Query.Nearest(vector, using=using or None), excluded
    body = Body(query, "query")
    for name in _QUERIES_NOT_HERE:
        body.refuse(name, f"use nearest, mmr, order_by or sample, or {FULL_QDRANT}")
    scoring: Any
    excluded = None
    if "nearest" in body:
        vector, excluded = _example(body.take("nearest"), using, target)
        scoring = edge.Query.Nearest(vector, using=using or None)
        if "mmr" in body:
            mmr = Body(body.take("mmr"), "mmr")
            diversity = mmr.number("diversity")
            scoring = edge.Mmr(
                vector,
                1.0 - (0.5 if diversity is None else diversity),
                int(mmr.whole("candidates_limit", 100, least=1, most=MAX_LIMIT)),
                using=using or None,
            )
            mmr.done()
    elif "order_by" in body:
        scoring = read_order(body.take("order_by"))
    elif "sample" in body:
        if body.take("sample") != "random":
            raise wrong("query: `sample` must be random")
        scoring = edge.Sample.Random
    else:
        body.done()
        raise wrong("query: one of nearest, order_by, sample is needed")
    body.done()
    return scoring, excluded


def _example(value: Any, using: str, target: Target) -> tuple[Any, PointId | None]:
    """A query vector: given as numbers, or the stored vector of the point with this id."""
    dims = target.spec.dims
    if using not in dims:
        named = f"vector name `{using}`" if using else "the unnamed vector"
        raise wrong(f"Not existing {named}; there are: {', '.join(map(repr, dims))}")
    if not isinstance(value, int | str) or isinstance(value, bool):
        return read_vector(value, dims[using], "query").tolist(), None
    id_ = read_id(value)
    records = target.shard.retrieve([id_], with_payload=False, with_vector=[using])
    if not records:
        raise missing(f"No point with id {id_} found")
    held = records[0].vector
    vector = held.get(using) if isinstance(held, dict) else held
    if vector is None:
        raise missing(f"Point with id {id_} has no vector `{using}`")
    return vector, id_


def read_order(value: Any) -> edge.OrderBy:
    """An order: a payload key, or {key, direction, start_from}."""
    if isinstance(value, str):
        return edge.OrderBy(value)
    body = Body(value, "order_by")
    key = body.text("key")
    direction = body.choice("direction", _DIRECTIONS, None)
    start = body.take("start_from")
    body.done()
    return edge.OrderBy(key, direction, start)


def _params(value: Any, defaults: Defaults) -> edge.SearchParams:
    body = Body({} if value is None else value, "params")
    body.refuse("acorn", "leave it out")
    body.refuse("idf", "there are no sparse vectors here")
    quantization = None
    if "quantization" in body:
        inner = Body(body.take("quantization"), "params.quantization")
        quantization = edge.QuantizationSearchParams(
            ignore=inner.flag("ignore"),
            rescore=inner.flag("rescore") if "rescore" in inner else None,
            oversampling=inner.number("oversampling"),
        )
        inner.done()
    params = edge.SearchParams(
        hnsw_ef=body.whole("hnsw_ef", defaults.hnsw_ef, least=1, most=MAX_LIMIT),
        exact=body.flag("exact"),
        quantization=quantization,
        indexed_only=body.flag("indexed_only"),
    )
    body.done()
    return params


def read_with_vector(body: Body, spec: CollectionSpec) -> bool | list[str]:
    """Which vectors to return; default none."""
    value = body.take("with_vector", False)
    if isinstance(value, str):
        value = [value]
    if isinstance(value, bool):
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise wrong("`with_vector` must be true, false or a list of vector names")
    for name in value:
        if name not in spec.vectors:
            raise wrong(f"Not existing vector name error: {name}")
    return value


def read_with_payload(body: Body, *, default: bool) -> Any:
    """Which payload keys to return."""
    value = body.take("with_payload", default)
    if isinstance(value, bool) or (
        isinstance(value, list) and all(isinstance(name, str) for name in value)
    ):
        return value
    selector = Body(value, "with_payload")
    kind = "include" if "include" in selector else "exclude"
    names = selector.items(kind)
    selector.done()
    make = edge.PayloadSelector.Include if kind == "include" else edge.PayloadSelector.Exclude
    return make(names)


class Scroll(NamedTuple):
    """A page of points in the order of their ids, or of a payload key."""

    limit: int
    offset: PointId | None
    condition: edge.Filter | None
    with_payload: Any
    with_vector: bool | list[str]
    order: edge.OrderBy | None

    def request(self, offset: Any, limit: int) -> edge.ScrollRequest:
        """The engine's request for a part of the page."""
        return edge.ScrollRequest(
            offset=offset,
            limit=limit,
            filter=self.condition,
            with_payload=self.with_payload,
            with_vector=self.with_vector,
            order_by=self.order,
        )


def read_scroll(value: Any, spec: CollectionSpec) -> Scroll:
    """A scroll."""
    body = Body(value, "scroll")
    body.refuse("shard_key")
    offset = body.take("offset")
    order = body.take("order_by")
    if order is not None and offset is not None:
        raise wrong("scroll: `offset` does not go with `order_by`, use its `start_from`")
    found = Scroll(
        limit=_limit(body),
        offset=None if offset is None else read_id(offset),
        condition=read_filter(body.take("filter")),
        with_payload=read_with_payload(body, default=True),
        with_vector=read_with_vector(body, spec),
        order=None if order is None else read_order(order),
    )
    body.done()
    return found


class Retrieve(NamedTuple):
    """Points asked for by id."""

    ids: list[PointId]
    with_payload: Any
    with_vector: bool | list[str]


def read_retrieve(value: Any, spec: CollectionSpec) -> Retrieve:
    """Points by id; payloads are returned unless refused."""
    body = Body(value, "retrieve")
    body.refuse("shard_key")
    found = Retrieve(
        read_ids(body.items("ids")),
        read_with_payload(body, default=True),
        read_with_vector(body, spec),
    )
    body.done()
    return found


def read_count(value: Any) -> edge.CountRequest:
    """A count, exact unless the caller says otherwise."""
    body = Body(value, "count")
    body.refuse("shard_key")
    request = edge.CountRequest(
        exact=body.flag("exact", True), filter=read_filter(body.take("filter"))
    )
    body.done()
    return request


def read_facet(value: Any) -> edge.FacetRequest:
    """A facet: the values of one indexed key and how many points have each."""
    body = Body(value, "facet")
    body.refuse("shard_key")
    request = edge.FacetRequest(
        body.text("key"),
        limit=_limit(body),
        exact=body.flag("exact"),
        filter=read_filter(body.take("filter")),
    )
    body.done()
    return request
