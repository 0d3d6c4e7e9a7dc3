"""What filters mean, against a plain reading of domain.filters in Python, on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.filters import Condition
from tests.fixtures.stores import (
    ENGINES,
    OpenStore,
    Shelf,
    as_filters,
    item_point,
    make_shelf,
    vector,
)

# "mixed" holds every type; its payload index has only one. "none" has no item at first.
ITEMS: dict[str, dict[str, Any]] = {
    "film": {"genre": ["Drama", "War"], "year": 1999, "free": True, "mixed": "3"},
    "book": {"genre": "Drama", "year": 1999.5, "free": False, "mixed": 3},
    "song": {"genre": [], "year": [1990, 2005], "mixed": 3.0},
    "game": {"genre": "", "year": -4, "free": [True, False], "mixed": True},
    "play": {"genre": "drama", "year": 0, "mixed": ["3", 3, False]},
    "poem": {"genre": "Ärger 🦜", "year": 2**53 - 1, "free": True, "mixed": 1},
    "bare": {},
    "tale": {"genre": ["War", "War"], "year": 3.0, "mixed": 2**53 - 1},
}


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) or isinstance(right, str):
        return type(left) is type(right) and left == right
    return float(left) == float(right)


def _in_range(value: Any, condition: Condition) -> bool:
    if isinstance(value, bool | str):
        return False
    return (
        (condition.gt is None or value > condition.gt)
        and (condition.gte is None or value >= condition.gte)
        and (condition.lt is None or value < condition.lt)
        and (condition.lte is None or value <= condition.lte)
    )


def passes(attributes: dict[str, Any], raw: dict[str, Any]) -> bool:
    """Whether an item passes, read off the field descriptions of Condition."""
    for name, condition in as_filters(raw).items():
        held = attributes.get(name, [])
        values = held if isinstance(held, list) else [held]

        def one_of(wanted: list[Any], values: list[Any] = values) -> bool:
            return any(_same(value, one) for value in values for one in wanted)

        if condition.eq is not None and not one_of([condition.eq]):
            return False
        if condition.any is not None and not one_of(condition.any):
            return False
        if condition.not_ is not None and one_of(condition.not_):
            return False
        if condition.has_range and not any(_in_range(value, condition) for value in values):
            return False
    return True


@pytest.fixture(scope="module", params=ENGINES)
def catalogue(request: pytest.FixtureRequest, open_store: OpenStore) -> Iterator[Shelf]:
    shelves = make_shelf(open_store, request.param)
    shelf = next(shelves)
    points = [item_point(name, attributes=held) for name, held in ITEMS.items()]
    shelf.store.upsert(shelf.collection, points)
    yield shelf
    next(shelves, None)


CASES: list[dict[str, Any]] = [
    {"genre": "Drama"},
    {"genre": ["drama", "War"]},
    {"genre": ""},
    {"genre": {"not": ["Drama"]}},
    {"genre": {"any": ["Drama"], "not": ["War"]}},
    {"year": 1999},
    {"year": 1999.0},
    {"year": [1999, 1999.5, -4]},
    {"year": {"gte": 1999, "lt": 2006}},
    {"year": {"gt": 1990, "lt": 2005}},
    {"year": {"lte": 0}},
    {"year": {"not": [3, 0]}},
    {"year": 2**53 - 1},
    {"year": 2**53 - 2},
    {"free": True},
    {"free": False},
    {"free": {"not": [True]}},
    {"mixed": 3},
    {"mixed": "3"},
    {"mixed": True},
    {"mixed": 1},
    {"mixed": {"any": ["3", 3, True]}},
    {"mixed": {"not": ["3"]}},
    {"mixed": {"not": [3]}},
    {"mixed": {"gte": 0}},
    {"genre": "Drama", "year": {"lt": 2000}, "free": True},
]


@pytest.mark.parametrize("raw", CASES, ids=str)
def test_a_filter_passes_exactly_the_items_it_describes(
    catalogue: Shelf, raw: dict[str, Any]
) -> None:
    wanted = {name for name, held in ITEMS.items() if passes(held, raw)}
    assert catalogue.matching(raw) == wanted
    assert catalogue.store.count(catalogue.collection, as_filters(raw)) == len(wanted)
    hits = catalogue.store.query(
        catalogue.collection, vector(1, 12), limit=50, filters=as_filters(raw)
    )
    assert {hit.id for hit in hits} == wanted


TEXTS = ["Drama", "War", "drama", "", "3", "Ärger 🦜", "absent"]
NUMBERS = [3, 3.0, 1999, 1999.5, -4, 0, 1990, 2005, 1, 2**53 - 1, 12.25]
BOUNDS = st.one_of(st.none(), st.sampled_from([float(number) for number in NUMBERS]))
SCALARS = st.sampled_from([*TEXTS, *NUMBERS, True, False])
LISTS = st.lists(SCALARS, min_size=1, max_size=4)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {}
    parts = draw(st.sets(st.sampled_from(["eq", "any", "not", "range"]), min_size=1, max_size=3))
    if "eq" in parts:
        made["eq"] = draw(SCALARS)
    if "any" in parts:
        made["any"] = draw(LISTS)
    if "not" in parts:
        made["not"] = draw(LISTS)
    if "range" in parts:
        bounds = {name: draw(BOUNDS) for name in ("gt", "gte", "lt", "lte")}
        made |= {name: at for name, at in bounds.items() if at is not None}
    return made or {"eq": "Drama"}


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    raw=st.dictionaries(
        st.sampled_from(["genre", "year", "free", "mixed"]), conditions(), min_size=1, max_size=3
    )
)
def test_any_filter_passes_exactly_the_items_it_describes(
    catalogue: Shelf, raw: dict[str, Any]
) -> None:
    wanted = {name for name, held in ITEMS.items() if passes(held, raw)}
    assert catalogue.matching(raw) == wanted
