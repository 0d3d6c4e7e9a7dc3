"""The newest items are filtered in the API exactly as the index filters."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter

from domain.filters import Filters, passes
from domain.vectors import RANK
from index import ItemPoint

VALUES = ["drama", "1", 1, 2.5, -3, 0, True, False, ["drama", "war"], [1, 2.5], [True], None]
CONDITIONS = [
    "drama",
    1,
    True,
    False,
    ["war", 2.5],
    {"not": ["drama"]},
    {"not": [1, True]},
    {"gte": 1},
    {"gt": 1},
    {"lte": 0},
    {"lt": 0, "not": [-3]},
    {"gte": 1, "lt": 2.5},
    {"any": ["drama"], "not": ["war"]},
]


@pytest.fixture(scope="module")
def filled(shared):
    collection = "newest-filters"
    shared.parts.index.ensure(collection, {RANK: 2})
    points = [
        ItemPoint(
            id=f"v{number}",
            version=1,
            vectors={RANK: np.array([1.0, number], dtype=np.float32)},
            attributes={} if value is None else {"a": value},
        )
        for number, value in enumerate(VALUES)
    ]
    shared.parts.index.upsert(collection, points)
    yield shared.parts.index, collection
    shared.parts.index.drop(collection)


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_a_condition_means_the_same_here_and_in_the_index(filled, condition):
    index, collection = filled
    filters = TypeAdapter(Filters).validate_python({"a": condition})
    query = np.array([1.0, 0.0], dtype=np.float32)
    found = index.query(collection, query, limit=100, filters=filters)
    here = {
        f"v{number}"
        for number, value in enumerate(VALUES)
        if passes({} if value is None else {"a": value}, filters)
    }
    assert {hit.id for hit in found} == here


def test_where_the_newest_have_expired_older_ones_are_shown(service):
    old = [f"old{number:02}" for number in range(12)]
    service.publish(*({"id": key, "title": f"tale {key}"} for key in old))
    gone = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    service.publish(
        *({"id": f"deal{n}", "title": f"deal {n}", "expires_at": gone} for n in range(105))
    )
    for ask in ({}, {"explore": 0.0}, {"limit": 5}):
        found = [one["id"] for one in service.recommend(**ask)["results"]]
        assert len(found) == ask.get("limit", 10)
        assert set(found) <= set(old)


def test_conditions_on_several_attributes_hold_together():
    filters = TypeAdapter(Filters).validate_python({"a": 1, "b": {"gte": 2}})
    for a, b in itertools.product((1, 2), (1, 2)):
        assert passes({"a": a, "b": b}, filters) == (a == 1 and b >= 2)
