"""What a caller is told to do about each kind of bad input."""

from __future__ import annotations

from typing import Any

import pytest

from api.problems import FIX_IT
from tests.fixtures.service import Service, problem_of

TITLED = {"id": "x", "title": "t"}
TAKEN = {"user": "u", "item": "i"}
TIME = "2026-01-31T09:30:00Z"
NAME = "letters, digits, _ and -, at most 64"


@pytest.mark.parametrize(
    ("path", "body", "field", "remedy"),
    [
        ("items/x", {"title": "t", "version": 0}, "version", "send one in between"),
        ("items/x", {"title": "t", "version": "soon"}, "version", TIME),
        ("items/x", {"title": "t", "version": 1.5}, "version", TIME),
        ("items/x", {"title": "t", "expires_at": "2026-13-01T00:00:00Z"}, "expires_at", TIME),
        ("items/x", {"title": "t", "attributes": {"a b": 1}}, "attributes.a b", NAME),
        ("items/x", {"title": "t", "attributes": {"": 1}}, 'attributes.""', NAME),
        ("items/x", {"media": {"images": ["ftp://h/a"]}}, "media.images.0", "an http(s) URL"),
        ("users/u", {"demographics": {"1a": 1}}, "demographics.1a", NAME),
        ("events", {"type": "interaction", "data": {**TAKEN, "weight": 0}}, "data.weight", "large"),
        ("events", {"type": "interaction", "data": TAKEN, "time": "yesterday"}, "time", TIME),
        (
            "events",
            {"type": "item.created", "data": TITLED, "specversion": "2"},
            "specversion",
            "send one of these",
        ),
        ("recommend", {"diversity": 2}, "diversity", "send a smaller number"),
        ("recommend", {"explore": -1}, "explore", "send a larger number"),
        ("recommend", {"seed": -1}, "seed", "send a larger number"),
        ("recommend", {"seed": 2**53}, "seed", "send a smaller number"),
        (
            "recommend",
            {"rules": {"pin": [{"item": "a", "position": 0}]}},
            "rules.pin.0.position",
            "send a larger number",
        ),
        ("recommend", {"filters": {"x": []}}, "filters.x.any", "send at least one"),
        ("recommend", {"filters": {"x": None}}, "filters.x", "a list of values, or an object"),
        ("recommend", {"filters": {"a b": 1}}, "filters.a b", NAME),
        ("search", {"text": "a", "in": "video"}, "in", "send one of these"),
        ("search", {}, "body", "give exactly one of text, image, audio"),
        ("onboarding", {"count": 21}, "count", "send a smaller number"),
    ],
)
def test_a_bad_value_is_told_by_its_field_with_what_to_do(
    shared: Service, path: str, body: Any, field: str, remedy: str
) -> None:
    method = "PUT" if "/" in path else "POST"
    answer = shared.client.request(method, f"/v1/{path}", json=body)
    (error,) = problem_of(answer, 422)["errors"]
    assert error["field"] == field
    assert remedy in error["remedy"]
    assert error["remedy"] != FIX_IT
    assert "^[" not in answer.text


def test_a_state_that_is_none_is_told_with_those_there_are(shared: Service) -> None:
    (error,) = problem_of(shared.client.get("/v1/items?state=foo"), 422)["errors"]
    assert error["field"] == "state"
    assert "'indexed'" in error["message"]
    assert error["remedy"] == "send one of these as it is written here"


def test_a_number_of_thousands_of_digits_is_refused_in_plain_words(shared: Service) -> None:
    content = b'{"title": "t", "attributes": {"a": ' + b"1" * 6000 + b"}}"
    headers = {"Content-Type": "application/json"}
    answer = shared.client.put("/v1/items/x", content=content, headers=headers)
    (error,) = problem_of(answer, 400)["errors"]
    assert "a number of thousands of digits" in error["message"]
    assert error["remedy"] == "send it as text"
