"""Texts of every kind that a keyboard, a crawler or a broken exporter makes."""

from __future__ import annotations

import pytest

from api.schemas import ItemAnswer, UserAnswer
from tests.fixtures.service import ServiceFactory

from .conftest import Counter

MEGABYTE = 2**20

UNUSUAL = {
    "emoji": "🦉🌧️👩‍🚀🏴‍☠️" * 20,
    "right-to-left": "مرحبا بالعالم، هذا فيلم عن البحر",
    "both directions": "שלום \u202eabc\u202c עולם",
    "combining": "e\u0301" * 50 + "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "zero width": "\u200b\u200d\ufeff",
    "one character": "x",
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_text_is_indexed_as_it_was_sent(counter: Counter, name: str) -> None:
    text = UNUSUAL[name]
    data = {"id": f"text {name}", "title": text}
    case = counter.publish({"type": "item.created", "data": data})
    found = counter.item(data["id"])
    assert (found["state"], found["item"]["title"]) == ("indexed", text)
    assert data["id"] in counter.ranked(case.number)
    asked = counter.post("/v1/recommend", {"profile": text, "filters": {"case": case.number}})
    assert data["id"] in {one["id"] for one in asked.json()["results"]}


@pytest.mark.parametrize(
    ("text", "says", "remedy"),
    [
        ("a lone \ud800 surrogate", "lone surrogate", "send valid Unicode"),
        ("\udfff", "lone surrogate", "send valid Unicode"),
        ("before\x00after", "NUL", "remove it"),
    ],
)
@pytest.mark.parametrize("field", ["id", "title", "description", "tags"])
def test_a_text_that_no_store_can_hold_is_refused_by_field(
    counter: Counter, field: str, text: str, says: str, remedy: str
) -> None:
    data = {"id": "unstorable", "title": "words", field: [text] if field == "tags" else text}
    case = counter.publish({"type": "item.created", "data": data})
    (error,) = case.errors
    assert error["field"].startswith(f"data.{field}")
    assert says in error["message"]
    assert remedy in error["remedy"]
    assert counter.service.client.get("/v1/items/unstorable").status_code == 404


def test_a_text_of_a_megabyte_is_refused_with_its_limit(counter: Counter) -> None:
    data = {"id": "megabyte", "title": "words", "description": "x " * (MEGABYTE // 2)}
    case = counter.publish({"type": "item.created", "data": data})
    (error,) = case.errors
    assert error["field"] == "data.description"
    assert "1048576 characters, the limit is 100000" in error["message"]
    assert "FIRSTLIGHT_LIMITS_DESCRIPTION_CHARS" in error["remedy"]


def test_where_it_is_allowed_a_text_of_a_megabyte_is_indexed(make_service: ServiceFactory) -> None:
    service = make_service(limits={"description_chars": MEGABYTE, "profile_chars": MEGABYTE})
    service.publish(
        {"id": "short", "title": "a good item"},
        {"id": "megabyte", "description": "word " * (MEGABYTE // 5)},
    )
    ItemAnswer.model_validate(service.client.get("/v1/items/megabyte").json())
    for record in service.client.get("/v1/items").json()["items"]:
        assert (record["id"], record["state"]) in (("short", "indexed"), ("megabyte", "indexed"))
    ranked = service.recommend(profile="word " * (MEGABYTE // 5))["results"]
    assert {one["id"] for one in ranked} == {"short", "megabyte"}


def test_where_it_is_allowed_a_profile_of_a_megabyte_is_read_back(
    make_service: ServiceFactory,
) -> None:
    service = make_service(limits={"profile_chars": MEGABYTE})
    profile = {"profile": "x" * MEGABYTE}
    assert service.client.put("/v1/users/talkative", json=profile).status_code == 202
    found = UserAnswer.model_validate(service.client.get("/v1/users/talkative").json())
    assert found.user is not None
    assert found.user.profile == profile["profile"]
