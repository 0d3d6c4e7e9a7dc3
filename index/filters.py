"""Conditions on attributes, versions and ids as Qdrant's JSON filters.

Numbers, whole or not, are compared as float64: an attribute that is 3 for one item and 3.0 for
the next is one value, and one payload index (float) serves equality and ranges alike. domain
keeps whole numbers within 2^53, where float64 is exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from domain.fields import Scalar
from domain.filters import Condition, Filters
from index.ids import point_id

Json = dict[str, Any]

ATTRIBUTES = "attributes"
EXPIRES_KEY = "expires_at"


def to_filter(
    filters: Filters | None, exclude: Iterable[str] = (), live_at: float | None = None
) -> Json | None:
    """All conditions together, and none of the excluded item ids. None: everything passes.

    Args:
        live_at: seconds since 1970; what has expired by then does not pass.
    """
    must: list[Json] = []
    must_not: list[Json] = []
    for name, condition in (filters or {}).items():
        must.extend(_required(name, condition))
        if condition.not_ is not None:
            must_not.extend(_equals(name, _flat(condition.not_)))
    excluded = [point_id(item_id) for item_id in exclude]
    if excluded:
        must_not.append({"has_id": excluded})
    if live_at is not None:
        must_not.append({"key": EXPIRES_KEY, "range": {"lte": live_at}})
    made: Json = {}
    if must:
        made["must"] = must
    if must_not:
        made["must_not"] = must_not
    return made or None


def _required(name: str, condition: Condition) -> Iterable[Json]:
    if condition.eq is not None:
        yield from _equals(name, _flat([condition.eq]))
    if condition.any is not None:
        yield _one_of(_equals(name, _flat(condition.any)))
    if condition.has_range:
        bounds = {
            "gt": condition.gt,
            "gte": condition.gte,
            "lt": condition.lt,
            "lte": condition.lte,
        }
        yield {
            "key": f"{ATTRIBUTES}.{name}",
            "range": {bound: at for bound, at in bounds.items() if at is not None},
        }


def _flat(values: Sequence[Scalar | list[Scalar]]) -> list[Scalar]:
    found: list[Scalar] = []
    for value in values:
        found.extend(value if isinstance(value, list) else [value])
    return found


def _equals(name: str, values: Iterable[Scalar]) -> list[Json]:
    """Conditions of which any holding means: the attribute is one of the values."""
    texts: dict[str, None] = {}
    flags: dict[bool, None] = {}
    numbers: dict[float, None] = {}
    for value in values:
        if isinstance(value, str):
            texts[value] = None
        elif isinstance(value, bool):
            flags[value] = None
        else:
            numbers[value] = None
    key = f"{ATTRIBUTES}.{name}"
    made: list[Json] = [{"key": key, "range": {"gte": at, "lte": at}} for at in numbers]
    made += [{"key": key, "match": {"value": flag}} for flag in flags]
    if texts:
        made.append({"key": key, "match": {"any": list(texts)}})
    return made


def _one_of(conditions: list[Json]) -> Json:
    return conditions[0] if len(conditions) == 1 else {"should": conditions}


def replaceable(versions: Mapping[str, int]) -> Json:
    """Stored points, of these item ids, that are older than the version given for each.

    As an upsert's update_filter this is a compare-and-set for every point of one batch, applied
    by the store in one operation: points that fail it keep their state, absent ones are inserted.
    """
    return _by_version(versions.items(), "lt")


def outdated(pairs: Collection[tuple[str, int]]) -> Json:
    """Stored points at the version given for their item id, or older."""
    return _by_version(pairs, "lte")


def exactly(pairs: Collection[tuple[str, int]]) -> Json:
    """Stored points at exactly the version given for their item id."""
    return _by_version(pairs, "gte", "lte")


def _by_version(pairs: Iterable[tuple[str, int]], *bounds: str) -> Json:
    by_version: defaultdict[int, list[str]] = defaultdict(list)
    for item_id, version in pairs:
        by_version[version].append(point_id(item_id))
    branches = [
        {
            "must": [
                {"has_id": ids},
                {"key": "version", "range": dict.fromkeys(bounds, version)},
            ]
        }
        for version, ids in by_version.items()
    ]
    return branches[0] if len(branches) == 1 else {"should": branches}
