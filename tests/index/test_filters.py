"""Filters as Qdrant's JSON: few conditions, and numbers compared as numbers."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models

from index import point_id
from index.filters import exactly, outdated, replaceable, to_filter
from tests.fixtures.stores import as_filters

KEY = "attributes.a"


@pytest.mark.parametrize(
    ("raw", "must", "must_not"),
    [
        ("x", [{"key": KEY, "match": {"any": ["x"]}}], []),
        (["x", "y", "x"], [{"key": KEY, "match": {"any": ["x", "y"]}}], []),
        (3, [{"key": KEY, "range": {"gte": 3, "lte": 3}}], []),
        (2.5, [{"key": KEY, "range": {"gte": 2.5, "lte": 2.5}}], []),
        (True, [{"key": KEY, "match": {"value": True}}], []),
        (
            [1, True, "x"],
            [
                {
                    "should": [
                        {"key": KEY, "range": {"gte": 1, "lte": 1}},
                        {"key": KEY, "match": {"value": True}},
                        {"key": KEY, "match": {"any": ["x"]}},
                    ]
                }
            ],
            [],
        ),
        ({"gt": 1, "lte": 2}, [{"key": KEY, "range": {"gt": 1, "lte": 2}}], []),
        (
            {"not": ["x", 1]},
            [],
            [
                {"key": KEY, "range": {"gte": 1, "lte": 1}},
                {"key": KEY, "match": {"any": ["x"]}},
            ],
        ),
        (
            {"eq": "x", "gte": 0},
            [{"key": KEY, "match": {"any": ["x"]}}, {"key": KEY, "range": {"gte": 0}}],
            [],
        ),
    ],
)
def test_a_condition_becomes_these_of_qdrants(
    raw: Any, must: list[Any], must_not: list[Any]
) -> None:
    made = to_filter(as_filters({"a": raw}))
    assert made == ({"must": must} if must else {}) | ({"must_not": must_not} if must_not else {})
    models.Filter.model_validate(made)


def test_no_condition_is_no_filter() -> None:
    assert to_filter(None) is None
    assert to_filter({}) is None


def test_excluded_items_are_excluded_by_point_id() -> None:
    assert to_filter(None, ["b"]) == {"must_not": [{"has_id": [point_id("b")]}]}


def test_a_point_id_is_a_uuid_that_every_process_derives_alike() -> None:
    assert point_id("a") == "29a4015d-4f7e-537f-919f-a71b6dad43ec"
    assert point_id("a") != point_id("A")


def test_points_of_one_version_share_a_condition() -> None:
    made = replaceable({"a": 3, "b": 3})
    assert made == {
        "must": [
            {"has_id": [point_id("a"), point_id("b")]},
            {"key": "version", "range": {"lt": 3}},
        ]
    }


def test_every_version_of_a_batch_has_a_branch_of_its_own() -> None:
    made = replaceable({"a": 3, "b": 4})
    assert [branch["must"][1]["range"] for branch in made["should"]] == [{"lt": 3}, {"lt": 4}]


def test_a_deletion_takes_older_versions_and_an_undo_does_not() -> None:
    assert outdated([("a", 3)])["must"][1]["range"] == {"lte": 3}
    assert exactly([("a", 3)])["must"][1]["range"] == {"gte": 3, "lte": 3}
