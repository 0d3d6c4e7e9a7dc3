"""Qdrant's filter JSON as the engine's Filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qdrant_edge as edge

from index.server.bodies import Body
from index.server.errors import wrong
from index.server.points import read_ids

MAX_DEPTH = 16
"""Filters within filters; a deeper one is a mistake or an attack."""


def read_filter(value: Any, depth: int = 0) -> edge.Filter | None:
    """A filter, or None where absent or without a condition."""
    if value is None:
        return None
    if depth > MAX_DEPTH:
        raise wrong(f"filter: nested deeper than {MAX_DEPTH}")
    body = Body(value, "filter")
    parts = {name: _conditions(body, name, depth) for name in ("must", "should", "must_not")}
    min_should = None
    if "min_should" in body:
        inner = Body(body.take("min_should"), "min_should")
        conditions = [_condition(one, depth) for one in inner.items("conditions")]
        min_should = edge.MinShould(conditions, int(inner.whole("min_count", 0)))
        inner.done()
    body.done()
    if min_should is None and not any(parts.values()):
        return None
    return edge.Filter(**parts, min_should=min_should)


def _conditions(body: Body, name: str, depth: int) -> list[Any] | None:
    value = body.take(name)
    if value is None:
        return None
    many = value if isinstance(value, list) else [value]
    return [_condition(one, depth) for one in many] or None


def _condition(value: Any, depth: int) -> Any:
    body = Body(value, "condition")
    found: Any
    if "key" in body:
        found = _field(body)
    elif "has_id" in body:
        found = edge.HasIdCondition(set(read_ids(body.items("has_id"))))
    elif "has_vector" in body:
        found = edge.HasVectorCondition(body.text("has_vector"))
    elif "is_empty" in body:
        found = edge.IsEmptyCondition(_key(body, "is_empty"))
    elif "is_null" in body:
        found = edge.IsNullCondition(_key(body, "is_null"))
    elif "nested" in body:
        nested = Body(body.take("nested"), "nested")
        key, inner = nested.text("key"), read_filter(nested.need("filter"), depth + 1)
        nested.done()
        if inner is None:
            raise wrong("nested: the filter has no condition")
        found = edge.NestedCondition(key, inner)
    else:
        inner = read_filter(value, depth + 1)
        return inner if inner is not None else edge.Filter()
    body.done()
    return found


def _key(body: Body, name: str) -> str:
    inner = Body(body.take(name), name)
    key = inner.text("key")
    inner.done()
    return key


def _field(body: Body) -> edge.FieldCondition:
    key = body.text("key")
    given: dict[str, Any] = {}
    for name, read in _FIELD.items():
        if name in body:
            given[name] = read(Body(body.take(name), name))
    for name in ("is_empty", "is_null"):
        if name in body:
            given[name] = body.flag(name)
    if not given:
        body.done()
        raise wrong(f"condition on `{key}`: no match, range or other test")
    return edge.FieldCondition(key, **given)


def _match(body: Body) -> Any:
    for name, build in _MATCH.items():
        if name in body:
            value = body.take(name)
            body.done()
            return build(value)
    body.done()
    raise wrong(f"match: one of {', '.join(_MATCH)} is needed")


def _match_value(value: Any) -> edge.MatchValue:
    if isinstance(value, bool):
        # The engine's binding takes Python's True for the integer 1; numpy's it takes as it is.
        return edge.MatchValue(np.bool_(value))  # type: ignore[arg-type]
    if isinstance(value, str) or _fits(value):
        return edge.MatchValue(value)
    raise wrong(f"match `value` must be a string, a 64-bit integer or a boolean, got {value!r}")


def _fits(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _match_list(name: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def build(value: Any) -> Any:
        if isinstance(value, list) and (
            all(isinstance(one, str) for one in value) or all(_fits(one) for one in value)
        ):
            return make(value)
        raise wrong(f"match `{name}` must be a list of strings or a list of 64-bit integers")

    return build


def _match_text(name: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def build(value: Any) -> Any:
        if isinstance(value, str):
            return make(value)
        raise wrong(f"match `{name}` must be a string")

    return build


_MATCH: dict[str, Callable[[Any], Any]] = {
    "value": _match_value,
    "any": _match_list("any", edge.MatchAny),
    "except": _match_list("except", edge.MatchExcept),
    "text": _match_text("text", edge.MatchText),
    "text_any": _match_text("text_any", edge.MatchTextAny),
    "phrase": _match_text("phrase", edge.MatchPhrase),
}


def _range(body: Body) -> Any:
    bounds = {name: body.take(name) for name in ("gt", "gte", "lt", "lte")}
    body.done()
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    if all(isinstance(bound, str) for bound in bounds.values()) and bounds:
        try:
            return edge.RangeDateTime(**bounds)
        except ValueError as error:
            given = ", ".join(f"{name} {bound!r}" for name, bound in bounds.items())
            raise wrong(f"range {given}: {error}") from None
    for name, bound in bounds.items():
        if not isinstance(bound, int | float) or isinstance(bound, bool):
            raise wrong(f"range `{name}`: {bound!r} is neither a number nor like its other bounds")
    return edge.RangeFloat(**bounds)


def _values_count(body: Body) -> edge.ValuesCount:
    bounds = {name: body.whole(name, None) for name in ("gt", "gte", "lt", "lte")}
    body.done()
    return edge.ValuesCount(**bounds)


def _point(value: Any) -> edge.GeoPoint:
    body = Body(value, "geo point")
    lon, lat = body.number("lon"), body.number("lat")
    body.done()
    if lon is None or lat is None:
        raise wrong("geo point: `lon` and `lat` are needed")
    try:
        return edge.GeoPoint(lon, lat)
    except ValueError as error:
        raise wrong(f"geo point: {error}") from None


def _geo_box(body: Body) -> edge.GeoBoundingBox:
    box = edge.GeoBoundingBox(_point(body.need("top_left")), _point(body.need("bottom_right")))
    body.done()
    return box


def _geo_radius(body: Body) -> edge.GeoRadius:
    center, radius = _point(body.need("center")), body.number("radius")
    body.done()
    if radius is None:
        raise wrong("geo_radius: `radius` is missing")
    return edge.GeoRadius(center, radius)


_FIELD: dict[str, Callable[[Body], Any]] = {
    "match": _match,
    "range": _range,
    "values_count": _values_count,
    "geo_bounding_box": _geo_box,
    "geo_radius": _geo_radius,
}
