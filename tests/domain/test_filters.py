"""Filters as the API takes them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.filters import Filters

FILTERS: TypeAdapter[Filters] = TypeAdapter(Filters)


def test_a_bare_value_means_eq_and_a_bare_list_any() -> None:
    found = FILTERS.validate_python(
        {"genre": "Comedy", "year": {"gte": 1990, "lt": 2000}, "country": ["US", "GB"], "ok": True}
    )
    assert found["genre"].eq == "Comedy"
    assert found["country"].any == ["US", "GB"]
    assert found["ok"].eq is True
    assert (found["year"].gte, found["year"].lt, found["year"].gt) == (1990, 2000, None)
    assert found["year"].has_range
    assert not found["genre"].has_range


def test_not_is_written_as_a_word() -> None:
    found = FILTERS.validate_python({"format": {"not": ["vhs"]}})
    assert found["format"].not_ == ["vhs"]
    assert FILTERS.dump_python(found, by_alias=True, exclude_none=True) == {
        "format": {"not": ["vhs"]}
    }


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"a": {}}, "an empty condition; use eq, any, not, gt, gte, lt or lte"),
        ({"a": {"like": "x"}}, "Extra inputs are not permitted"),
        ({"a": {"eq": [1]}}, "eq takes one value; use any for a list"),
        ({"a": []}, "at least 1 item"),
        ({"a": list(range(1001))}, "at most 1000 items"),
        ({"a": {"gt": float("nan")}}, "finite number"),
        ({"a": {"gt": "x"}}, "valid number"),
        ({"a": {"gt": "1990"}}, "valid number"),
        ({"a": {"lte": True}}, "valid number"),
        ({"a": {"eq": None}}, "an empty condition"),
        ({"a": {"gte": None}}, "an empty condition"),
        ({"a": float("nan")}, "NaN and infinity are not allowed"),
        ({"a": {"any": ["\ud800"]}}, "lone surrogate"),
        ({"a": None}, "not a condition; send a value, a list of values"),
        ({"a b": 1}, "String should match pattern"),
    ],
)
def test_a_bad_filter_is_refused(raw: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FILTERS.validate_python(raw)
