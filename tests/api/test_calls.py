"""What the client sends: what JSON cannot hold reaches the API, or is refused by its field."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from api import calls
from api.calls import Call
from domain.errors import RejectedError
from tests.fixtures.service import Service

NAN = float("nan")


@pytest.fixture
def send(shared: Service) -> Callable[[Call[Any]], Any]:
    return shared.send


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (calls.put_item({"id": "a", "title": "x", "attributes": {"a": NAN}}), "attributes.a"),
        (calls.put_item({"id": "a", "title": "x", "version": NAN}), "version"),
        (calls.put_item({"id": "a", "title": "x", "expires_at": -NAN}), "expires_at"),
        (calls.put_item({"id": "a", "title": "x\ud800"}), "title"),
        (calls.put_item({"id": "a", "title": "x", "version": 2**70}), "version"),
        (calls.recommend(profile="x", filters={"year": {"gte": float("inf")}}), "filters.year"),
        (calls.recommend(profile="x", explore=NAN), "explore"),
    ],
)
def test_the_api_names_the_field_that_json_has_no_form_for(
    send: Callable[[Call[Any]], Any], call: Call[Any], field: str
) -> None:
    with pytest.raises(RejectedError) as raised:
        send(call)
    assert raised.value.field.startswith(field)
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: calls.put_item({"id": "a", "tags": {"x"}}), "tags"),
        (lambda: calls.put_item({"id": "a", "attributes": {"a": [b"x"]}}), "attributes.a.0"),
        (lambda: calls.put_item({"id": "a", "attributes": {1: "x"}}), "attributes"),
        (lambda: calls.publish([{"data": {"id": "a"}}, {"data": {"id": {1}}}]), "events.1.data.id"),
        (lambda: calls.put_item({"title": "x"}), "id"),
        (lambda: calls.put_user({"profile": "x"}), "id"),
        (lambda: calls.item("\ud800"), "id"),
        (lambda: calls.delete_user("\ud800"), "id"),
        (lambda: calls.items(after="\ud800"), "after"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_field(
    make: Callable[[], Call[Any]], field: str
) -> None:
    with pytest.raises(RejectedError) as raised:
        make()
    assert raised.value.field == field
    assert raised.value.remedy


def test_what_contains_itself_is_refused() -> None:
    endless: dict[str, Any] = {"id": "a"}
    endless["attributes"] = endless
    with pytest.raises(RejectedError, match="JSON"):
        calls.put_item(endless)


def test_one_odd_value_changes_nothing_of_the_rest() -> None:
    rest = {"id": "a", "title": "Grüße 🦉", "version": datetime(2026, 1, 2, tzinfo=UTC), "tags": ()}
    usual = calls.put_item(rest).body
    odd = calls.put_item({**rest, "attributes": {"n": np.float64(1.5), "none": None}}).body
    assert usual is not None
    assert odd is not None
    attributes = {"n": 1.5, "none": None}
    assert json.loads(odd) == {**json.loads(usual), "attributes": attributes}


def test_none_is_still_null() -> None:
    body = calls.put_item({"id": "a", "title": "x", "expires_at": None}).body
    assert body == b'{"id":"a","title":"x","expires_at":null}'


def test_a_deletion_reaches_up_to_the_version_it_names(send: Callable[[Call[Any]], Any]) -> None:
    send(calls.put_item({"id": "gone", "title": "x", "version": 5}))
    assert send(calls.delete_item("gone", version=4)).status == "stale"
    assert send(calls.delete_item("gone", version=6)).version == 6
    send(calls.put_user({"id": "ann", "profile": "x", "version": 5}))
    assert send(calls.delete_user("ann", version="1970-01-01T00:00:01Z")).version == 1_000_000
    with pytest.raises(RejectedError, match="version"):
        send(calls.delete_item("gone", version="new"))


def test_similar_and_search_can_be_exact() -> None:
    for call in (calls.similar("a", exact=True), calls.search(text="a", exact=True)):
        assert call.body is not None
        assert json.loads(call.body)["exact"] is True
