"""Filters that compare with another type than the items hold."""

from __future__ import annotations

from typing import Any

import pytest

from api.mistyped import mistyped
from tests.fixtures.service import Service
from tests.fixtures.stores import as_filters

TYPES = {"year": "number", "category": "text", "free": "boolean"}


@pytest.mark.parametrize(
    ("raw", "asked"),
    [
        ({"year": "2026"}, "a text"),
        ({"year": ["2026", True]}, "a boolean or text"),
        ({"category": {"gte": 3}}, "a number"),
        ({"category": 3}, "a number"),
        ({"free": {"any": ["yes"]}}, "a text"),
        ({"year": {"eq": "2026", "gte": 3}}, "a text"),
    ],
)
def test_a_condition_that_no_value_of_the_type_meets_is_told(
    raw: dict[str, Any], asked: str
) -> None:
    (line,) = mistyped(as_filters(raw), TYPES)
    (name,) = raw
    assert line.startswith(f"filters.{name}: asks for {asked}, but ")
    assert line.endswith(f"ask for a {TYPES[name]}")


@pytest.mark.parametrize(
    "raw",
    [
        {"year": 2026},
        {"year": ["2026", 2026]},
        {"category": {"any": ["a"]}, "free": False},
        {"category": {"not": [3]}},
        {"unknown": "x"},
    ],
)
def test_a_condition_that_some_value_may_meet_is_not_told(raw: dict[str, Any]) -> None:
    assert list(mistyped(as_filters(raw), TYPES)) == []


def test_an_empty_answer_notes_it_and_one_with_results_does_not(service: Service) -> None:
    service.publish(
        {"id": "a", "title": "the sea", "attributes": {"year": 2026}},
        {"id": "b", "title": "a lighthouse", "attributes": {"year": 2025}},
    )
    asks = {
        "recommend": {"profile": "the sea"},
        "search": {"text": "the sea"},
        "similar": {"item": "a"},
    }

    def ask(path: str, year: Any) -> dict[str, Any]:
        body = {**asks[path], "filters": {"year": year}}
        found: dict[str, Any] = service.client.post(f"/v1/{path}", json=body).json()
        return found

    for path in asks:
        found = ask(path, "2025")
        assert found["results"] == []
        assert any(note.startswith("filters.year: asks for a text") for note in found["notes"])
        assert ask(path, 1800)["notes"] == []
    service.publish({"id": "c", "title": "a text year", "attributes": {"year": "2025"}})
    for path in asks:
        found = ask(path, "2025")
        assert [one["id"] for one in found["results"]] == ["c"]
        assert found["notes"] == []
